// selection.h owns the choice of candidates that become beams: the K best, or a draw with weights that bound how far
// any candidate is preferred over the model's own distribution (soft selection).
#pragma once

#include "search/search.h"
#include "support/random.h"

namespace ig {

// Keeps the k best in descending order of score (earlier ones first on ties). Returns the rest in the same order.
std::vector<path> select_top(std::vector<path> & candidates, size_t k);

// The weights ReLU((clip(r) - nu) / b) of n scores, with nu such that their mean is 1 (InferenceTimePessimism, Huang et
// al. 2025). No weight exceeds n, however high the score.
std::vector<double> soft_weights(const std::vector<double> & scores, const search_options & options);

// Draws k without replacement by their weights, in the order drawn. Candidates of weight 0 come last, the best first.
// Returns the rest.
std::vector<path> select_soft(std::vector<path> &    candidates,
                              size_t                 k,
                              const search_options & options,
                              random_stream &        random);

}  // namespace ig
