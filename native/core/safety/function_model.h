// function_model.h owns cost and reward models that are functions of the caller: one call for all candidates.
#pragma once

#include "safety/cost_kind.h"

namespace ig {

class function_model : public text_scorer {
  public:
    // see ask_function
    function_model(const char * kind, size_t index) : kind(kind), index(index) {}

    std::unique_ptr<scoring_session> open(const session_scope & scope) const override {
        return std::make_unique<plain_session>(
            [this, &scope](const std::vector<text_view> & texts) { return scope.ask(kind, index, texts); });
    }

  private:
    const char * kind;
    size_t       index;
};

inline const cost_kind function_kind = {
    "function",
    false,
    [](constraint & made, const constraint_spec &, size_t index, cost_materials &) {
        made.whole_text = std::make_unique<function_model>("cost", index);
    },
};

}  // namespace ig
