// objective.h owns how reward and cost become one number, higher is better.
#pragma once

#include "search/search.h"

namespace ig {

// `reward` is the task reward or its estimate, `cost` the discounted cost over all constraints.
double objective(const search_options & options, double reward, double cost);

}  // namespace ig
