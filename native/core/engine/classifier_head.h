// classifier_head.h owns the head of a classifying encoder: a dense layer with its activation, a norm if the model has
// one, and a logit per class. Its input is the encoder's pooled hidden state. The head is read from the model's file
// and computed here, because llama.cpp applies tanh where DistilBERT has ReLU, and pools every ModernBERT by its mean.
// Files by `inferenceguard convert` name activation and pooling; otherwise the architecture's are used.
#pragma once

#include "engine/llama_model.h"

#include <string>
#include <vector>

namespace ig {

class classifier_head {
  public:
    // For a file that check_model_file identified as a classifier. Throws INVALID_MODEL.
    explicit classifier_head(const loaded_model & model);

    enum llama_pooling_type pooling() const { return pooled; }

    // [n_classes], valid until the next call
    const std::vector<float> & logits(const float * hidden);

  private:
    struct linear_layer {
        std::vector<float> weight;  // [n_out][n_in]; empty: none
        std::vector<float> bias;    // empty: none
    };

    enum llama_pooling_type pooled;
    float (*activation)(float);
    float              epsilon;  // of the norm
    linear_layer       dense;
    std::vector<float> norm;     // empty: none
    linear_layer       output;
    std::vector<float> inner;    // [n_embd]
    std::vector<float> classes;

    void normalize(std::vector<float> & row) const;
};

}  // namespace ig
