// ledger.h owns what a response has paid under every constraint, and the decision that follows. Token cost models
// charge each token as it comes, and the last one also with the cost of ending. Text that is held back is charged with
// the token that releases it, at the discount of the first token that held it. A whole-text model charges the last
// token, once the text is finished. The search, the re-check of an answer and the committed part of a stream all decide
// by this ledger:
//
//              | may begin, after the prefill        | may go on             | may end
//   anytime    | z >= 0                              | z >= 0 at every token | and z >= 0 including the cost of ending
//   terminal   | cost <= budget, if no cost is < 0   | always                | cost <= budget including the cost of ending
#pragma once

#include "safety/cost_model.h"

namespace ig {

class ledger {
  public:
    ledger() = default;

    // Before the first token, with the token cost models' states there, and what the text so far has cost.
    ledger(const std::vector<constraint> & constraints,
           const std::vector<cost_state> & starts,
           const std::vector<double> &     costs) :
        constraints(&constraints),
        models(starts),
        states(constraints.size()) {
        for (size_t c = 0; c < states.size(); ++c) {
            states[c].cost     = costs[c];
            states[c].exceeded = costs[c] > constraints[c].terms.budget;
            within             = within && may_begin(constraints[c].terms, states[c]);
        }
    }

    // Charges a token for the text that it adds and, if it ends the response, for the end. holds: text is held back.
    void charge_token(token_id token, std::string_view added, bool ends, bool holds) {
        could_end = true;
        for (size_t c = 0; c < states.size(); ++c) {
            const constraint & limit  = (*constraints)[c];
            double             cost   = 0;
            double             of_end = 0;
            if (limit.per_token) {
                cost   = limit.per_token->charge(models[c], token, added);
                of_end = limit.per_token->charge_end(models[c]);
            } else if (ends) {
                continue;  // see charge_whole
            }
            safety_state ended = states[c];
            ended.charge(limit.terms, sum_up(cost, of_end));
            if (ends) {
                states[c] = ended;
            } else {
                const bool keeps_text = holds && limit.per_token && limit.per_token->charges_text();
                states[c].charge(limit.terms, cost, keeps_text);
            }
            const bool may_end_here = is_within(limit, ended);
            could_end               = could_end && may_end_here;
            within                  = within && (ends ? may_end_here : states[c].may_continue(limit.terms));
        }
    }

    // Charges the last token of a finished response with its text's cost under constraint c, a whole-text model.
    void charge_whole(size_t c, double cost) {
        states[c].charge((*constraints)[c].terms, cost);
        within = within && is_within((*constraints)[c], states[c]);
    }

    // Whether a growing response may go on, or a finished one may be an answer.
    bool within_budgets() const { return within; }

    // Whether every token cost model would accept the response if it ended here.
    bool may_end() const { return could_end; }

    const safety_state & state(size_t c) const { return states[c]; }

    double cost(size_t c) const { return states[c].cost; }

    double z(size_t c) const { return states[c].left((*constraints)[c].terms); }

    // The total cost of a growing response if its text so far cost `cost` under constraint c.
    double cost_with_whole(size_t c, double cost) const { return states[c].cost_with((*constraints)[c].terms, cost); }

    double total_cost() const {
        double total = 0;
        for (const safety_state & state : states) {
            total += state.cost;
        }
        return total;
    }

    // Whether a text with this cost under a whole-text model may end.
    static bool allows_whole(const constraint & limit, double cost) {
        safety_state state;
        state.charge(limit.terms, cost);
        return is_within(limit, state);
    }

  private:
    const std::vector<constraint> * constraints = nullptr;
    std::vector<cost_state>         models;  // each token cost model's state
    std::vector<safety_state>       states;
    bool                            within    = true;
    bool                            could_end = true;

    // Costs that are not negative never go down again.
    static bool may_begin(const budget_terms & terms, const safety_state & state) {
        return terms.floored ? state.cost <= terms.budget : state.may_continue(terms);
    }

    static bool is_within(const constraint & limit, const safety_state & state) {
        return state.cost <= limit.terms.budget && state.may_continue(limit.terms);
    }
};

}  // namespace ig
