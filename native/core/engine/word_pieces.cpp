#include "engine/word_pieces.h"

#include "support/canonical_form.h"
#include "support/unicode.h"
#include "support/utf8.h"

#include <algorithm>
#include <cstdlib>

namespace ig {

namespace {

const std::string word_beginning = "\xe2\x96\x81";  // ▁ precedes such pieces in a model's file
const std::string continuation   = "##";            // precedes the others in a vocabulary list
const size_t      longest_word   = 100;             // characters; longer words are unknown
const token_id    usual_unknown  = 100;             // llama.cpp's choice if the file names none

bool is_dropped(uint32_t c) {
    return c == 0 || c == 0xfffd || (is_invisible(c) && c != '\t' && c != '\n' && c != '\r');
}

// the ranges that BERT calls Chinese
bool is_ideograph(uint32_t c) {
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
           (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

bool stands_alone(uint32_t c) {
    const bool is_ascii_symbol =
        (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
    return is_ascii_symbol || is_punctuation(c);
}

bool starts_with(const std::string & text, const std::string & beginning) {
    return text.compare(0, beginning.size(), beginning) == 0;
}

bool has_capitals(const std::string & piece) {
    const bool is_name = piece.find('[') != std::string::npos;  // such as [MASK]
    return !is_name && std::any_of(piece.begin(), piece.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

}  // namespace

word_pieces::word_pieces(const loaded_model & model) {
    const llama_vocab * vocab    = llama_model_get_vocab(model.get());
    bool                is_cased = false;
    for (token_id token = 0; token < llama_vocab_n_tokens(vocab); ++token) {
        if (llama_vocab_is_control(vocab, token)) {
            continue;
        }
        const std::string piece = llama_vocab_get_text(vocab, token);
        is_cased                = is_cased || has_capitals(piece);
        if (starts_with(piece, word_beginning)) {
            add(beginnings, piece.substr(word_beginning.size()), token);
        } else {
            add(continuations, piece, token);
        }
    }
    begin                        = llama_vocab_bos(vocab);
    end                          = llama_vocab_sep(vocab);
    const std::string unknown_id = model.metadata("tokenizer.ggml.unknown_token_id");
    unknown = unknown_id.empty() ? usual_unknown : token_id(std::strtol(unknown_id.c_str(), nullptr, 10));
    const std::string lower = model.metadata("tokenizer.ggml.normalizer.lowercase");
    const std::string strip = model.metadata("tokenizer.ggml.normalizer.strip_accents");
    lowercase               = lower.empty() ? !is_cased : lower == "true";
    strip_accents           = strip.empty() ? lowercase : strip == "true";
}

word_pieces::word_pieces(const std::vector<std::string> & vocabulary) {
    for (size_t i = 0; i < vocabulary.size(); ++i) {
        const std::string & piece = vocabulary[i];
        if (starts_with(piece, continuation)) {
            add(continuations, piece.substr(continuation.size()), token_id(i));
        } else {
            add(beginnings, piece, token_id(i));
        }
    }
    const auto id_of = [&](const char * name) {
        const auto found = beginnings.find(name);
        return found != beginnings.end() ? found->second : -1;
    };
    begin   = id_of("[CLS]");
    end     = id_of("[SEP]");
    unknown = id_of("[UNK]");
}

void word_pieces::add(piece_ids & where, const std::string & piece, token_id token) {
    longest = std::max(longest, piece.size());
    where.emplace(piece, token);
}

std::vector<uint32_t> word_pieces::normalized(const std::string & text) const {
    std::vector<uint32_t> clean;
    for (size_t at = 0; at < text.size();) {
        const uint32_t c = next_character(text, at);
        if (is_dropped(c)) {
            continue;
        }
        if (is_ideograph(c)) {
            clean.insert(clean.end(), { ' ', c, ' ' });
        } else {
            clean.push_back(is_white_space(c) ? ' ' : c);
        }
    }
    if (strip_accents) {
        clean = decomposed_form(clean);
        clean.erase(std::remove_if(clean.begin(), clean.end(), is_nonspacing_mark), clean.end());
    }
    if (!lowercase) {
        return clean;
    }
    std::vector<uint32_t> lower;
    for (uint32_t c : clean) {
        append_lower_case(c, lower);
    }
    return lower;
}

void word_pieces::append(const std::vector<uint32_t> & word, std::vector<token_id> & tokens) const {
    if (word.empty()) {
        return;
    }
    std::string         text;
    std::vector<size_t> borders = { 0 };  // of characters
    for (uint32_t c : word) {
        append_utf8(text, c);
        borders.push_back(text.size());
    }
    std::vector<token_id> found;
    for (size_t from = 0; from < word.size() && word.size() <= longest_word;) {
        const piece_ids & ids   = from == 0 ? beginnings : continuations;
        auto              piece = ids.end();
        size_t            to    = word.size() + 1;
        while (piece == ids.end() && --to > from) {
            const size_t n = borders[to] - borders[from];
            piece          = n <= longest ? ids.find(text.substr(borders[from], n)) : ids.end();
        }
        if (piece == ids.end()) {
            found.clear();
            break;
        }
        found.push_back(piece->second);
        from = to;
    }
    if (found.empty()) {
        found.push_back(unknown);
    }
    tokens.insert(tokens.end(), found.begin(), found.end());
}

std::vector<token_id> word_pieces::tokenize(const std::string & text, bool with_ends) const {
    std::vector<token_id> tokens;
    if (with_ends) {
        tokens.push_back(begin);
    }
    std::vector<uint32_t> word;
    const auto            finish = [&] {
        append(word, tokens);
        word.clear();
    };
    for (uint32_t c : normalized(text)) {
        if (is_white_space(c)) {
            finish();
        } else if (stands_alone(c)) {
            finish();
            append({ c }, tokens);
        } else {
            word.push_back(c);
        }
    }
    finish();
    if (with_ends) {
        tokens.push_back(end);
    }
    return tokens;
}

}  // namespace ig
