// prompt_template.h owns how prompt and response become the tokens of a model that judges them: the pieces of a template write
// markup, prompt and response never do (engine/markup.h).
#pragma once

#include "engine/text_model.h"

namespace ig {

struct template_pieces {
    std::string              before, between;  // the prompt stands between them
    std::vector<std::string> after;            // one per question that is asked of the same text
    std::vector<std::string> controls;         // control tokens that the pieces are meant to spell
    bool                     trims = false;    // white space at the ends of prompt and response
};

class prompt_template {
  public:
    // Throws COST_MODEL_TOKENIZER where a control token is none of the model's.
    prompt_template(const text_model & model, template_pieces pieces);

    size_t n_questions() const { return pieces.after.size(); }

    // The tokens of a text behind a prompt, with the question and what is forced behind it; n_kept leaves both out. The flag (null:
    // none) stops the reading of a long one.
    token_sequence fill(const std::string & prompt,
                        const std::string & response,
                        size_t              question,
                        const cancel_flag * cancel,
                        const std::string & forced = "") const;

  private:
    const text_model & model;
    template_pieces    pieces;
    markup             rules;
};

}  // namespace ig
