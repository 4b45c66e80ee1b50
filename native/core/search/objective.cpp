#include "search/objective.h"

namespace ig {

double objective(const search_options & options, double reward, double cost, bool feasible) {
    switch (options.objective) {
        case OBJECTIVE_REWARD:
            return reward;
        case OBJECTIVE_LAGRANGIAN:
            return reward - options.lambda * cost;
        case OBJECTIVE_COST:
            return -cost;
        case OBJECTIVE_AUGMENTED:
            break;
    }
    return feasible ? reward : -std::numeric_limits<double>::infinity();
}

}
