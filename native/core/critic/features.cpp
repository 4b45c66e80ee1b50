#include "critic/features.h"

#include "support/numeric.h"

#include <algorithm>
#include <cmath>

namespace ig {

std::vector<float> summarise_logits(const float * logits,
                                    size_t        n_vocab,
                                    size_t        k,
                                    double        last_log_likelihood,
                                    double        mean_log_likelihood) {
    const float top           = max_of(logits, n_vocab);
    double      sum           = 0;
    double      sum_of_logits = 0;  // weighted
    for (size_t begin = 0; begin < n_vocab; begin += mass_chunk) {
        const size_t n = std::min(mass_chunk, n_vocab - begin);
        float        weights[mass_chunk];
        sum += exp_and_sum(logits + begin, n, top, weights);
        sum_of_logits += weighted_sum(weights, logits + begin, n, top, float(least_log_p));
    }
    const double         total = top + std::log(sum);
    std::vector<float>   summary;
    std::vector<int32_t> best;
    top_k(logits, n_vocab, k, best);
    for (int32_t token : best) {
        summary.push_back(float(std::max(least_log_p, logits[token] - total)));
    }
    summary.push_back(float(std::log(sum) - sum_of_logits / sum));  // the entropy
    summary.push_back(float(last_log_likelihood));
    summary.push_back(float(mean_log_likelihood));
    return summary;
}

double inverse_root_mean_square(const float * hidden, size_t n) {
    double squares = 0;
    for (size_t i = 0; i < n; ++i) {
        squares += double(hidden[i]) * hidden[i];
    }
    return 1 / std::sqrt(squares / double(n) + hidden_epsilon);
}

namespace {

float * write_normalised(const float * values, int32_t n, float * out) {
    const float scale = float(inverse_root_mean_square(values, size_t(n)));
    return std::transform(values, values + n, out, [&](float x) { return x * scale; });
}

}  // namespace

void write_features(const feature_shape & shape, const latent_state & state, float * out) {
    if (shape.groups.hidden) {
        out = write_normalised(state.hidden, shape.n_embd, out);
    }
    if (shape.groups.logits) {
        out = std::copy(state.summary, state.summary + shape.n_summary, out);
    }
    if (shape.groups.z) {
        for (int32_t i = 0; i < shape.n_constraints; ++i) {
            *out++ = float(state.z[i]);
        }
    }
    if (shape.groups.position) {
        *out++ = float(state.position);
    }
    for (int32_t l = 0; l < shape.n_layers && shape.groups.mean; ++l) {
        out = write_normalised(state.mean + l * shape.n_stream, shape.n_stream, out);
    }
}

}  // namespace ig
