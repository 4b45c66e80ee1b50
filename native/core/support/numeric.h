// numeric.h owns the arithmetic on rows of logits: plain loops that compilers vectorise, in single precision, with
// relative errors below 1e-6.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ig {

inline double sigmoid(double x) {
    return 1 / (1 + std::exp(-x));
}

// of a label (or a probability) under a prediction
inline double cross_entropy(double log_odds, double label) {
    return std::fmax(log_odds, 0.0) - log_odds * label + std::log1p(std::exp(-std::fabs(log_odds)));
}

float max_of(const float * x, size_t n);

const size_t mass_chunk = 1024;  // keeps sums in single precision short

// out[i] = exp(x[i] - shift). Returns the sum. For at most mass_chunk numbers.
double exp_and_sum(const float * x, size_t n, float shift, float * out);

// The sum of weights[i] * max(x[i] - shift, least). For at most mass_chunk numbers.
double weighted_sum(const float * weights, const float * x, size_t n, float shift, float least);

// the sum of a row's exponentials, in units of the largest
struct row_mass {
    float               peak;    // largest value
    double              sum;
    std::vector<double> chunks;  // the sum of each mass_chunk
};

void weigh(const float * x, size_t n, row_mass & mass);

double sum_of(const float * x, size_t n);

// Multiplies each x[i] by the standard normal distribution function at x[i].
void gelu(float * x, size_t n);

float dot(const float * x, const float * y, size_t n);

// to[i] += factor * x[i]
void add_scaled(float * to, const float * x, size_t n, float factor);

// log sum exp(x[i])
double log_sum_exp(const float * x, size_t n);

// index of the largest value; the first one on ties
size_t argmax(const float * x, size_t n);

// Fills `best` with the indices of the k largest values in descending order, lower indices first on ties.
void top_k(const float * x, size_t n, size_t k, std::vector<int32_t> & best);

// index i drawn with probability weights[i] / total, for u in [0, 1)
size_t draw(const float * weights, size_t n, double total, double u);

}  // namespace ig
