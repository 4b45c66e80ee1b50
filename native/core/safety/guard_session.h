// guard_session.h owns the cost models' state for one search: each token cost model's state before the first sampled
// token, what the response's given beginning (its prefill) has cost, and a session of each whole-text cost model and of
// the reward model. Searches share the models, but not a session.
#pragma once

#include "safety/cost_model.h"
#include "support/utf8.h"

namespace ig {

// what a response begins with before its first token is sampled
struct response_prefill {
    std::string           text;    // complete characters
    std::vector<token_id> tokens;  // the last of the prompt's
    utf8_stream           end;     // the beginning of a character that the response completes
};

class guard_session {
  public:
    // `before`: the text that responses continue. The models outlive the session.
    guard_session(const std::vector<constraint> & constraints,
                  const text_scorer &             reward_model,
                  session_scope                   given,
                  std::string_view                before,
                  const response_prefill &        prefill = {}) :
        scope(std::move(given)),
        begun(prefill),
        states(constraints.size()),
        begun_costs(constraints.size(), 0),
        costs(constraints.size()),
        rewards(reward_model.open(scope)) {
        for (size_t c = 0; c < constraints.size(); ++c) {
            if (constraints[c].per_token) {
                states[c] = constraints[c].per_token->state_behind(before);
                charge_prefill(constraints[c], c);
            } else {
                costs[c] = constraints[c].whole_text->open(scope);
            }
        }
    }

    guard_session(const guard_session &)             = delete;
    guard_session & operator=(const guard_session &) = delete;

    const response_prefill & prefill() const { return begun; }

    // What the prefill costs, per constraint; 0 if its model judges whole texts.
    const std::vector<double> & prefill_costs() const { return begun_costs; }

    // The state before the first sampled token, per constraint; valid if its model charges tokens.
    const std::vector<cost_state> & starts() const { return states; }

    // For a constraint on whole texts.
    scoring_session & cost(size_t c) { return *costs[c]; }

    scoring_session & reward() { return *rewards; }

  private:
    const session_scope                           scope;
    const response_prefill                        begun;
    std::vector<cost_state>                       states;
    std::vector<double>                           begun_costs;
    std::vector<std::unique_ptr<scoring_session>> costs;  // per constraint; null: its model charges tokens
    std::unique_ptr<scoring_session>              rewards;

    // The text may have been cut into tokens together with the prompt's, so it is charged apart from them.
    void charge_prefill(const constraint & limit, size_t c) {
        const auto charge = [&](token_id token, std::string_view text) {
            const double cost = limit.per_token->charge(states[c], token, text);
            begun_costs[c]    = sum_up(begun_costs[c], safety_state::floored(limit.terms, cost));
        };
        charge(/*token =*/-1, begun.text);
        for (const token_id token : begun.tokens) {
            charge(token, {});
        }
    }
};

}  // namespace ig
