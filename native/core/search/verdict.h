// verdict.h owns the names of what can be decided about a candidate. Estimator, selection and search set a verdict where they decide, and a
// trace shows it.
#pragma once

namespace ig {

enum class verdict {
    open,                // may be continued
    finished,            // may be the answer
    over_budget,         // what was charged is over a budget
    judged_over_budget,  // a model of whole texts finds the unfinished text over its budget
    unlikely_safe,       // the critic gives it too little chance to end within budget, and others more
    not_selected,        // others were better
    failed_recheck,      // judged once more from its tokens, it was not within budget
    out_of_tokens,       // the token limit was reached before it was finished
};

// Nothing of it goes on: it costs too much.
inline bool is_rejected(verdict v) {
    return v == verdict::over_budget || v == verdict::judged_over_budget;
}

}  // namespace ig
