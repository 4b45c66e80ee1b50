// log_likelihood.h owns the built-in reward: the mean log-likelihood of the response tokens under the base model.
#pragma once

#include "safety/cost_model.h"

namespace ig {

inline double mean_log_likelihood(const text_view & view) {
    return view.tokens->empty() ? 0 : view.log_likelihood / double(view.tokens->size());
}

class log_likelihood_reward : public text_scorer {
  public:
    std::unique_ptr<scoring_session> open(const session_scope &) const override {
        return std::make_unique<plain_session>([](const std::vector<text_view> & texts) {
            std::vector<double> means;
            for (const text_view & view : texts) {
                means.push_back(mean_log_likelihood(view));
            }
            return means;
        });
    }
};

}  // namespace ig
