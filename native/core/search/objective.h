// objective.h owns the number that reward and cost are combined into. Higher is better.
#pragma once

#include "search/search.h"

namespace ig {

// `reward` is the task reward or its estimate. `cost` is the discounted cost, summed over all constraints.
double objective(const search_options & options, double reward, double cost);

}  // namespace ig
