// function_model.h owns cost and reward models that are functions of the caller: one call with all candidates.
#pragma once

#include "safety/cost_model.h"

#include <functional>

namespace ig {

using score_function = std::function<std::vector<double>(const std::vector<text_view> &)>;

class function_cost : public sequence_cost_model {
  public:
    explicit function_cost(score_function score) : score(std::move(score)) {}

    std::vector<double> costs(const std::vector<text_view> & texts) override { return score(texts); }

  private:
    score_function score;
};

class function_reward : public reward_model {
  public:
    explicit function_reward(score_function score) : score(std::move(score)) {}

    std::vector<double> rewards(const std::vector<text_view> & texts) override { return score(texts); }

  private:
    score_function score;
};

}  // namespace ig
