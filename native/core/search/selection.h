// selection.h owns which of the candidates become beams.
#pragma once

#include "search/search.h"

namespace ig {

// Keeps the k best by score in descending order (earlier ones first on ties) and returns the rest, also in order.
std::vector<path> select_top(std::vector<path> & candidates, size_t k);

}
