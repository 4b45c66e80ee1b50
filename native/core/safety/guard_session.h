// guard_session.h owns the cost models' state for one search: each token cost model's state before the first sampled
// token, what the response's given beginning (its prefill) has cost, and a session of each whole-text cost model and of
// the reward model. Searches share the models, but not a session.
#pragma once

#include "safety/cost_model.h"

namespace ig {

// what a response begins with before its first token is sampled
struct response_prefill {
    std::string           text;
    std::vector<token_id> tokens;
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
        begun(prefill.text),
        states(constraints.size()),
        begun_costs(constraints.size(), 0),
        costs(constraints.size()),
        rewards(reward_model.open(scope)) {
        for (size_t c = 0; c < constraints.size(); ++c) {
            if (constraints[c].per_token) {
                states[c] = constraints[c].per_token->state_behind(before);
                charge(constraints[c], c, prefill);
            } else {
                costs[c] = constraints[c].whole_text->open(scope);
            }
        }
    }

    guard_session(const guard_session &)             = delete;
    guard_session & operator=(const guard_session &) = delete;

    // The text of the prefill.
    const std::string & prefill() const { return begun; }

    // What the prefill costs, per constraint; 0 if its model judges whole texts.
    const std::vector<double> & prefill_costs() const { return begun_costs; }

    // The state before the first sampled token, per constraint; valid if its model charges tokens.
    const std::vector<cost_state> & starts() const { return states; }

    // For a constraint on whole texts.
    scoring_session & cost(size_t c) { return *costs[c]; }

    scoring_session & reward() { return *rewards; }

  private:
    const session_scope                           scope;
    const std::string                             begun;
    std::vector<cost_state>                       states;
    std::vector<double>                           begun_costs;
    std::vector<std::unique_ptr<scoring_session>> costs;  // per constraint; null: its model charges tokens
    std::unique_ptr<scoring_session>              rewards;

    // The first token stands for the whole text, which may have been cut into tokens together with the prompt's.
    void charge(const constraint & limit, size_t c, const response_prefill & prefill) {
        for (size_t i = 0; i < prefill.tokens.size(); ++i) {
            const std::string_view text = i == 0 ? prefill.text : std::string_view();
            const double           cost = limit.per_token->charge(states[c], prefill.tokens[i], text);
            begun_costs[c]              = sum_up(begun_costs[c], safety_state::floored(limit.terms, cost));
        }
    }
};

}  // namespace ig
