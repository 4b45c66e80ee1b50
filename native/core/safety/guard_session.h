// guard_session.h owns the cost models' state for one search: each token cost model's state before the response, and a
// session of each whole-text cost model and of the reward model. Searches share the models, but not a session.
#pragma once

#include "safety/cost_model.h"

namespace ig {

class guard_session {
  public:
    // `before`: the text that responses continue. The models outlive the session.
    guard_session(const std::vector<constraint> & constraints,
                  const text_scorer &             reward_model,
                  session_scope                   given,
                  std::string_view                before) :
        scope(std::move(given)),
        states(constraints.size()),
        costs(constraints.size()),
        rewards(reward_model.open(scope)) {
        for (size_t c = 0; c < constraints.size(); ++c) {
            if (constraints[c].per_token) {
                states[c] = constraints[c].per_token->state_behind(before);
            } else {
                costs[c] = constraints[c].whole_text->open(scope);
            }
        }
    }

    guard_session(const guard_session &)             = delete;
    guard_session & operator=(const guard_session &) = delete;

    // Per constraint; valid if its model charges tokens.
    const std::vector<cost_state> & starts() const { return states; }

    // For a constraint on whole texts.
    scoring_session & cost(size_t c) { return *costs[c]; }

    scoring_session & reward() { return *rewards; }

  private:
    const session_scope                           scope;
    std::vector<cost_state>                       states;
    std::vector<std::unique_ptr<scoring_session>> costs;  // per constraint; null: its model charges tokens
    std::unique_ptr<scoring_session>              rewards;
};

}  // namespace ig
