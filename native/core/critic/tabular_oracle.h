// tabular_oracle.h owns the exact critic of a tabular model under token costs and the log-likelihood reward. It
// enumerates every continuation up to the length limit, so it suits only small models and short texts.
#pragma once

#include "critic/critic.h"
#include "engine/tabular_decoder.h"

namespace ig {

struct oracle_constraint {
    budget_terms        terms;
    std::vector<double> costs;  // per token id
};

class tabular_oracle : public critic {
  public:
    tabular_oracle(const tabular_model & model, std::vector<oracle_constraint> constraints);

    std::vector<float> keep(const float * hidden, const float * logits, size_t n_vocab) const override;

    void append_inputs(const critic_input &, std::vector<float> &) const override {}

    std::vector<critic_output> judge(const std::vector<critic_input> & inputs, const cancel_flag & cancel) override;
    std::vector<float>         ascend(const std::vector<critic_input> & inputs,
                                      const ascent_options &            options,
                                      const cancel_flag &               cancel) override;

  private:
    struct outlook {
        double p_safe = 0;
        double value  = 0;
    };

    const tabular_model &          model;
    std::vector<oracle_constraint> constraints;
    std::vector<double>            log_p;  // [n_vocab, n_vocab]

    outlook look_ahead(token_id                  last,
                       std::vector<safety_state> states,
                       int32_t                   n_tokens,
                       double                    log_likelihood,
                       int32_t                   max_tokens,
                       const cancel_flag &       cancel) const;
};

}  // namespace ig
