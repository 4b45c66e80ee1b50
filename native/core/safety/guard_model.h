// guard_model.h owns the cost model that asks a guard LLM (Llama Guard, ShieldGemma, Qwen3Guard, Granite Guardian). Its
// score is the log-odds of the "unsafe" answers against the "safe" ones, at the position of the answer. If the template
// asks several questions about one text, one per policy, the worst answer counts.
#pragma once

#include "safety/cost_model.h"
#include "safety/prompt_template.h"

namespace ig {

struct scorer_kind;

struct guard_answers {
    std::vector<std::string> safe, unsafe;     // the first of each is one token; the others count by their first token
    std::string              before_category;  // text between the template's end and a category's name
    std::vector<std::string> categories;       // empty: none, or one per question
};

class guard_model : public text_scorer {
  public:
    // Throws COST_MODEL_TOKENIZER.
    guard_model(std::unique_ptr<text_model> model, template_pieces pieces, guard_answers answers);

    std::unique_ptr<scoring_session> open(const session_scope & scope) const override;

  private:
    friend class guard_model_session;

    std::unique_ptr<text_model> model;
    prompt_template             pieces;
    guard_answers               answers;
    std::vector<token_id>       safe, unsafe;

    std::vector<token_id> label_tokens(const std::vector<std::string> & labels) const;
    double                log_odds(const float * logits) const;
};

extern const scorer_kind guard_model_kind;

}  // namespace ig
