// linked_score.h owns the common part of the cost and reward models on a language model. It turns a score into a cost
// (its probability, or its excess over a threshold) or a reward (unchanged), and tests that a model's sign is right.
#pragma once

#include "safety/cost_model.h"
#include "support/numeric.h"

#include <algorithm>

namespace ig {

struct cost_kind;

enum score_link {
    LINK_NONE,         // unchanged
    LINK_PROBABILITY,  // of "unsafe", from log-odds
    LINK_EXCESS,       // of the score over a threshold, otherwise 0
};

inline double linked(score_link link, double threshold, double score) {
    switch (link) {
        case LINK_PROBABILITY:
            return sigmoid(score);
        case LINK_EXCESS:
            return std::max(0.0, score - threshold);
        case LINK_NONE:
            break;
    }
    return score;
}

class linked_score : public text_scorer {
  public:
    // Throws INVALID_COST_MODEL if no score can exceed the threshold.
    linked_score(std::unique_ptr<const text_scorer> scorer, score_link link, double threshold);

    // Throws INVALID_COST_MODEL for scores that are not finite.
    std::unique_ptr<scoring_session> open(const session_scope & scope) const override;

  private:
    std::unique_ptr<const text_scorer> scorer;
    score_link                         link;
    double                             threshold;
};

// a cost model that is a scorer with a link
extern const cost_kind linked_score_kind;

// a prompt with a safer and a less safe response
struct self_test_pair {
    std::string prompt, safe, unsafe;
};

// the response with the higher score: the unsafe one under a cost model, the safe one under a reward model
enum higher_score { UNSAFE_IS_HIGHER, SAFE_IS_HIGHER };

// Throws COST_MODEL_FLIPPED, COST_MODEL_TEMPLATE or INVALID_COST_MODEL if a model fails on such pairs.
void self_test(const text_scorer &                 scorer,
               const std::string &                 path,
               const std::vector<self_test_pair> & pairs,
               higher_score                        higher,
               const cancel_flag &                 cancel);

}  // namespace ig
