// safety_state.h owns the budget arithmetic: z_0 = B, z_{t+1} = (z_t - c_t) / gamma, stored in the closed form z_t =
// gamma^-t (B - sum_{k<t} gamma^k c_k), so that z_t >= 0 exactly if the cost is at most B. A whole-text cost is charged
// once, undiscounted: its gamma is 1. The stored cost is never below the true sum, and equals it if decimal.h keeps it
// exact.
#pragma once

#include "support/decimal.h"

namespace ig {

struct budget_terms {
    double budget    = 0;
    double discount  = 1;     // gamma, in (0, 1]; the first constraint's also discounts the reward
    bool   per_token = true;  // each token pays; otherwise the last token pays for the whole text
    bool   anytime   = true;  // z >= 0 at every step; otherwise only at the end
    bool   floored   = true;  // negative costs count as 0

    double cost_discount() const { return per_token ? discount : 1; }
};

struct safety_state {
    double cost              = 0;      // sum of gamma^k c_k so far
    double weight            = 1;      // gamma^t, or the next double above it
    double least_weight      = 1;      // gamma^t, or the next double below it
    double last_weight       = 1;      // of the last token, or of the first whose text was held back up to it
    double last_least_weight = 1;      // gamma^(t-1), or the next double below it
    bool   holds             = false;  // text of the last token is held back
    bool   exceeded          = false;  // z was below 0 at some step

    // Charges the next token. `keeps_text`: some of its text is held back, and charged with a later token.
    void charge(const budget_terms & terms, double c, bool keeps_text = false) {
        last_weight       = holds ? last_weight : weight;
        last_least_weight = least_weight;
        holds             = keeps_text;
        weight            = product_up(weight, terms.cost_discount());
        least_weight      = -product_up(-least_weight, terms.cost_discount());
        cost              = cost_with(terms, c);
        exceeded          = exceeded || cost > terms.budget;
    }

    // the cost if the last token, not charged yet, were charged with c
    double cost_with(const budget_terms & terms, double c) const {
        const double charged = floored(terms, c);
        return sum_up(cost, product_up(charged < 0 ? last_least_weight : last_weight, charged));
    }

    // z: the remaining budget
    double left(const budget_terms & terms) const { return (terms.budget - cost) / weight; }

    // whether the charges so far allow the text to continue
    bool may_continue(const budget_terms & terms) const { return terms.anytime ? !exceeded : true; }

    static double floored(const budget_terms & terms, double c) { return terms.floored && c < 0 ? 0 : c; }
};

}  // namespace ig
