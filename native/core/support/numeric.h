// numeric.h owns the arithmetic on rows of logits: plain loops that compilers vectorise, in single precision with
// relative errors below 1e-6.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ig {

inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// of a label (or a probability) under a prediction
inline double cross_entropy(double log_odds, double label) {
    return std::fmax(log_odds, 0.0) - log_odds * label + std::log1p(std::exp(-std::fabs(log_odds)));
}

float max_of(const float * x, size_t n);

// out[i] = exp(x[i] * scale - shift); returns the sum. `out` may be `x`.
double exp_and_sum(const float * x, size_t n, float scale, float shift, float * out);

const size_t sum_chunk = 256;

// out[i] = exp(x[i] - shift), with the sum over each sum_chunk of them; returns the whole sum.
double exp_and_sums(const float * x, size_t n, float shift, float * out, std::vector<double> & chunks);

double sum_of(const float * x, size_t n);

// log sum exp(x[i])
double log_sum_exp(const float * x, size_t n, float * scratch);

// index of the largest value; the first one on ties
size_t argmax(const float * x, size_t n);

// Fills `best` with the indices of the k largest values in descending order; the lower index first on ties.
void top_k(const float * x, size_t n, size_t k, std::vector<int32_t> & best);

// index i drawn with probability weights[i] / total, for u in [0, 1)
size_t draw(const float * weights, size_t n, double total, double u);

// the index behind `mass` in the running sum of the weights, whose sums over each sum_chunk are known
size_t draw_chunked(const float * weights, size_t n, const std::vector<double> & chunks, double mass);

}
