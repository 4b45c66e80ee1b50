// linked_score.h owns what the cost and reward models on a language model have in common: how what a scorer says becomes a cost
// (its probability, or its excess over a threshold) or a reward (as it is), and the test that a model is the right way up.
#pragma once

#include "safety/cost_model.h"
#include "support/numeric.h"

#include <algorithm>

namespace ig {

struct cost_kind;

enum score_link {
    LINK_NONE,         // as it is
    LINK_PROBABILITY,  // of "unsafe", from log-odds
    LINK_EXCESS,       // of the score above a threshold, otherwise 0
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
    // Throws INVALID_COST_MODEL where no score exceeds the threshold.
    linked_score(std::unique_ptr<const text_scorer> scorer, score_link link, double threshold);

    // Its scores are finite; throws INVALID_COST_MODEL for others.
    std::unique_ptr<scoring_session> open(const session_scope & scope) const override;

  private:
    std::unique_ptr<const text_scorer> scorer;
    score_link                         link;
    double                             threshold;
};

// a cost model that is a scorer with a link
extern const cost_kind linked_score_kind;

// a prompt with a response that is safer than another
struct self_test_pair {
    std::string prompt, safe, unsafe;
};

// which response of a pair has to score higher: the unsafe one under a cost model, the safe one under a reward model
enum higher_score { UNSAFE_IS_HIGHER, SAFE_IS_HIGHER };

// Throws COST_MODEL_FLIPPED, COST_MODEL_TEMPLATE or INVALID_COST_MODEL where a model fails on such pairs.
void self_test(const text_scorer &                 scorer,
               const std::string &                 path,
               const std::vector<self_test_pair> & pairs,
               higher_score                        higher,
               const cancel_flag &                 cancel);

}  // namespace ig
