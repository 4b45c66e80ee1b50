// verdict.h owns the possible decisions about a candidate. Estimator, selection and search set the verdict where they
// decide. The trace shows it.
#pragma once

namespace ig {

enum class verdict {
    open,                // may be continued
    finished,            // may be the answer
    over_budget,         // its charges exceed a budget
    judged_over_budget,  // a model of whole texts puts the unfinished text over its budget
    unlikely_safe,       // too unlikely, says the critic, to end within budget, and others are likelier
    not_selected,        // others were better
    failed_recheck,      // not within budget when judged again from its tokens
    out_of_tokens,       // the token limit came before its end
};

// Whether it costs too much to be continued or to be the answer.
inline bool is_rejected(verdict v) {
    return v == verdict::over_budget || v == verdict::judged_over_budget;
}

}  // namespace ig
