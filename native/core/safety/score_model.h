// score_model.h owns the cost or reward model that is a linear head on a language model's final-norm hidden state at
// the conversation's last token, such as the models of Safe RLHF (Dai et al. 2024). The state is not normalised.
#pragma once

#include "safety/cost_model.h"
#include "safety/prompt_template.h"

namespace ig {

struct scorer_kind;

struct linear_head {
    std::vector<float> weight;  // [n_embd]
    double             bias = 0;

    double score(const float * hidden) const;
};

// Reads score.weight [n_embd, 1] and, if present, score.bias [1]. Throws INVALID_COST_MODEL.
linear_head load_head(const std::string & path, int32_t n_embd);

class score_model : public text_scorer {
  public:
    // Throws COST_MODEL_TOKENIZER.
    score_model(std::unique_ptr<text_model> model, template_pieces pieces, linear_head head) :
        model(std::move(model)),
        pieces(*this->model, std::move(pieces)),
        head(std::move(head)) {}

    std::unique_ptr<scoring_session> open(const session_scope & scope) const override;

  private:
    std::unique_ptr<text_model> model;
    prompt_template             pieces;
    linear_head                 head;
};

extern const scorer_kind score_model_kind;

}  // namespace ig
