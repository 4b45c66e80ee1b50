// features.h owns the critic's input features and their order: the hidden state, normalised to a root mean square of 1;
// a summary of the logits; the remaining budgets; the position; and, for each of some layers, the mean of the residual
// stream after it over the response's tokens except the last, normalised likewise. Each group can be left out.
#pragma once

#include "engine/graph_critic.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ig {

// The log-probabilities of the k most probable tokens in order, the entropy, the log-probability of the last sampled
// token, and its mean over all tokens sampled so far (both 0 before the first one). k is at most the vocabulary's size.
std::vector<float> summarise_logits(const float * logits,
                                    size_t        n_vocab,
                                    size_t        k,
                                    double        last_log_likelihood,
                                    double        mean_log_likelihood);

const size_t n_summary_beside_top_k = 3;

struct feature_groups {
    bool hidden   = true;
    bool logits   = true;
    bool z        = true;
    bool position = true;
    bool mean     = false;
};

struct feature_shape {
    feature_groups groups;
    int32_t        n_embd        = 0;
    int32_t        n_summary     = 0;
    int32_t        n_constraints = 0;
    int32_t        n_layers      = 0;  // layers whose means are read
    int32_t        n_stream      = 0;  // width of the residual stream

    int32_t size() const {
        return (groups.hidden ? n_embd : 0) + (groups.logits ? n_summary : 0) + (groups.z ? n_constraints : 0) +
               (groups.position ? 1 : 0) + (groups.mean ? n_layers * n_stream : 0);
    }
};

struct latent_state {
    const float *  hidden;    // [n_embd]
    const float *  summary;   // [n_summary]
    const double * z;         // [n_constraints], in units of the budget scale
    double         position;  // as a share of the longest response
    const float *  mean;      // [n_layers, n_stream]; zeros before the first token
};

const double hidden_epsilon = 1e-6;  // avoids a division by 0 for a hidden state of zeros

// The factor that normalises a hidden state or a mean.
double inverse_root_mean_square(const float * hidden, size_t n);

// Writes shape.size() values, the hidden state first.
void write_features(const feature_shape & shape, const latent_state & state, float * out);

}  // namespace ig
