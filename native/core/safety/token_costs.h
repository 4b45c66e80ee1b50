// token_costs.h owns the simplest token cost model: a table with one cost per token id.
#pragma once

#include "safety/cost_kind.h"

namespace ig {

class token_costs : public token_cost_model {
  public:
    explicit token_costs(std::vector<double> costs) : costs(std::move(costs)) {}

    bool charges_text() const override { return false; }

    double charge(cost_state &, token_id token, std::string_view) const override {
        return size_t(token) < costs.size() ? costs[token] : 0;
    }

    double charge_end(const cost_state &) const override { return 0; }

  private:
    std::vector<double> costs;
};

inline const cost_kind token_costs_kind = {
    "tokenCosts",
    false,
    [](constraint & made, const constraint_spec & spec, size_t, cost_materials &) {
        made.per_token = std::make_unique<token_costs>(spec.token_costs);
    },
};

}  // namespace ig
