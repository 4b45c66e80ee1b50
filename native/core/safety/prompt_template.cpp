#include "safety/prompt_template.h"

#include "support/error.h"
#include "support/unicode.h"
#include "support/utf8.h"

#include <algorithm>

namespace ig {

namespace {

std::string trimmed(const std::string & text) {
    size_t begin = std::string::npos, end = 0;
    for (size_t at = 0; at < text.size();) {
        const size_t here = at;
        if (!is_space(next_character(text, at))) {
            begin = std::min(begin, here);
            end   = at;
        }
    }
    return begin == std::string::npos ? "" : text.substr(begin, end - begin);
}

}  // namespace

prompt_template::prompt_template(const text_model & model, template_pieces given) :
    model(model),
    pieces(std::move(given)),
    rules(model.chat_markup()) {
    for (const std::string & control : pieces.controls) {
        if (rules.markers().find(control) == nullptr) {
            throw error("COST_MODEL_TOKENIZER",
                        "expected a model whose vocabulary has the control token " + control +
                            " of the template, "
                            "but it has none; choose the template that this model was trained with");
        }
    }
    rules.use_text(pieces.before);
    rules.use_text(pieces.between);
    for (const std::string & after : pieces.after) {
        rules.use_text(after);
    }
}

token_sequence prompt_template::fill(const std::string & prompt,
                                     const std::string & response,
                                     size_t              question,
                                     const cancel_flag * cancel,
                                     const std::string & forced) const {
    const plain_tokenizer tokenize = [&](const std::string & plain) {
        return model.tokenize(plain, /*with_ends =*/false, cancel);
    };
    marked_text text(rules, tokenize);
    text.add_template(pieces.before);
    text.add_content(pieces.trims ? trimmed(prompt) : prompt);
    text.add_template(pieces.between);
    text.add_content(pieces.trims ? trimmed(response) : response);
    marked_text whole = text;
    whole.add_template(pieces.after[question]);
    whole.add_content(forced);
    const std::vector<token_id> content = begun_with(model.beginning(), text.finish());
    std::vector<token_id>       tokens  = begun_with(model.beginning(), whole.finish());
    const size_t                n       = std::min(content.size(), tokens.size());
    const auto                  end     = std::mismatch(content.begin(), content.begin() + n, tokens.begin()).first;
    return { std::move(tokens), size_t(end - content.begin()) };
}

}  // namespace ig
