#include "search/objective.h"

namespace ig {

double objective(const search_options & options, double reward, double cost) {
    switch (options.objective) {
        case OBJECTIVE_LAGRANGIAN:
            return reward - options.lambda * cost;
        case OBJECTIVE_COST:
            return -cost;
        case OBJECTIVE_REWARD:
        case OBJECTIVE_AUGMENTED:  // for candidates within budget
            break;
    }
    return reward;
}

}  // namespace ig
