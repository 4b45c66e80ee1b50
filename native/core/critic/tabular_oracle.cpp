#include "critic/tabular_oracle.h"

#include "support/numeric.h"

#include <cmath>

namespace ig {

tabular_oracle::tabular_oracle(const tabular_model & model, std::vector<oracle_constraint> constraints) :
    model(model),
    constraints(std::move(constraints)) {
    const size_t n = model.pieces.size();
    for (size_t last = 0; last < n; ++last) {
        const float * row   = &model.logits[last * n];
        const double  total = log_sum_exp(row, n);
        for (size_t next = 0; next < n; ++next) {
            log_p.push_back(row[next] - total);
        }
    }
}

tabular_oracle::outlook tabular_oracle::look_ahead(token_id                  last,
                                                   std::vector<safety_state> states,
                                                   int32_t                   n_tokens,
                                                   double                    log_likelihood,
                                                   int32_t                   max_tokens,
                                                   const cancel_flag &       cancel) const {
    cancel.check();
    if (n_tokens > 0 && (model.ends[last] || n_tokens == max_tokens)) {
        outlook end;
        end.p_safe = 1;
        for (size_t i = 0; i < states.size(); ++i) {
            const budget_terms & terms = constraints[i].terms;
            if (states[i].cost > terms.budget || !states[i].may_continue(terms)) {
                end.p_safe = 0;
            }
        }
        const double discount = constraints.empty() ? 1 : constraints[0].terms.discount;
        end.value             = std::pow(discount, n_tokens) * log_likelihood / n_tokens;
        return end;
    }
    outlook      mean;
    const size_t n = model.pieces.size();
    for (size_t next = 0; next < n; ++next) {
        const double              p     = std::exp(log_p[last * n + next]);
        std::vector<safety_state> after = states;
        for (size_t i = 0; i < after.size(); ++i) {
            after[i].charge(constraints[i].terms, constraints[i].costs[next]);
        }
        const outlook there = look_ahead(token_id(next), after, n_tokens + 1, log_likelihood + log_p[last * n + next],
                                         max_tokens, cancel);
        mean.p_safe += p * there.p_safe;
        mean.value += p * there.value;
    }
    return mean;
}

std::vector<float> tabular_oracle::keep(const float * hidden, const float *, size_t) const {
    return { hidden, hidden + model.pieces.size() };
}

std::vector<critic_output> tabular_oracle::judge(const std::vector<critic_input> & inputs, const cancel_flag & cancel) {
    std::vector<critic_output> outputs;
    for (const critic_input & input : inputs) {
        const token_id            last = token_id(argmax(input.kept->data(), model.pieces.size()));
        std::vector<safety_state> states;
        for (size_t i = 0; i < constraints.size(); ++i) {
            states.push_back(input.paid->state(i));
        }
        const int32_t n_tokens = int32_t(input.text.tokens->size());
        const outlook ahead = look_ahead(last, states, n_tokens, input.text.log_likelihood, input.max_tokens, cancel);
        outputs.push_back({ float(ahead.p_safe), 0, float(ahead.value) });
    }
    return outputs;
}

std::vector<float> tabular_oracle::ascend(const std::vector<critic_input> &,
                                          const ascent_options &,
                                          const cancel_flag &) {
    throw error(
        "CRITIC_MISMATCH",
        "expected a trained critic for gradient steps on the hidden state, got the exact one of a tabular model");
}

}  // namespace ig
