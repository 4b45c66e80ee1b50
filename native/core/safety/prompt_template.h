// prompt_template.h owns the conversion of prompt and response to the tokens of a model that judges them. The pieces of
// a template may write markup; prompt and response never do (engine/markup.h).
#pragma once

#include "engine/text_model.h"

namespace ig {

struct template_pieces {
    std::string              before, between;  // the prompt stands between them
    std::vector<std::string> after;            // one per question about the same text
    std::vector<std::string> controls;         // control tokens that the pieces spell
    bool                     trims = false;    // removes white space at the ends of prompt and response
};

class prompt_template {
  public:
    // Throws COST_MODEL_TOKENIZER if the model lacks one of the control tokens.
    prompt_template(const text_model & model, template_pieces pieces);

    size_t n_questions() const { return pieces.after.size(); }

    // The tokens of prompt and text, followed by the question and the forced tokens; n_kept excludes these two. The
    // flag (may be null) stops the tokenization of a long text.
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
