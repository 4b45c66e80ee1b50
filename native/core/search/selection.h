// selection.h owns which of the candidates become beams: the K best, or a draw whose weights bound how far any candidate can
// be preferred over what the model would say (soft selection).
#pragma once

#include "search/search.h"
#include "support/random.h"

namespace ig {

// Keeps the k best by score in descending order (earlier ones first on ties) and returns the rest, also in order.
std::vector<path> select_top(std::vector<path> & candidates, size_t k);

// The weights ReLU((clip(r) - nu) / b) of n scores, with nu such that their mean is 1 (InferenceTimePessimism, Huang et al.
// 2025): none is above n, however high its score.
std::vector<double> soft_weights(const std::vector<double> & scores, const search_options & options);

// Keeps k in the order drawn, without replacement, by their weights; candidates of weight 0 come last, the best first. Returns
// the rest.
std::vector<path> select_soft(std::vector<path> &    candidates,
                              size_t                 k,
                              const search_options & options,
                              random_stream &        random);

}  // namespace ig
