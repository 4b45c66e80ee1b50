// encoder_weights.h owns the weights of a judge that reads a response as it grows (see streaming_encoder.h), as stored
// in its file: a table of words, a trunk of layers, and members with layers and a head of their own after it. Matrices
// keep the file's type, in the memory layout that the CPU multiplies fastest.
#pragma once

#include "ggml-cpp.h"
#include "support/tensor_file.h"

#include <vector>

namespace ig {

// a matrix [n_in, n_out] and a bias, or a norm's factors and offsets
struct affine {
    ggml_tensor * weight = nullptr;
    ggml_tensor * bias   = nullptr;
};

// of a transformer that normalises after each half
struct encoder_layer {
    affine qkv;  // queries, keys and values, joined
    affine o, norm1, up, down, norm2;
};

// a small layer that is computed here
struct dense_layer {
    std::vector<float> weight;  // [n_out, n_in]
    std::vector<float> bias;    // [n_out]

    std::vector<float> operator()(const std::vector<float> & in) const;
};

struct encoder_member {
    std::vector<encoder_layer> layers;
    dense_layer                hidden, output;  // of the last state and the mean of all
    dense_layer                prompt;          // of the state at the prompt's end
};

class encoder_weights {
  public:
    // Throws the file's errors if something is missing, and INVALID_COST_MODEL.
    explicit encoder_weights(const tensor_file & file);

    int32_t width, n_heads, n_positions;
    size_t  n_outputs;  // per member
    double  epsilon;    // of the norms

    std::vector<std::string>    vocabulary;
    ggml_tensor *               word;      // [width, vocabulary]
    ggml_tensor *               position;  // [width, n_positions]
    affine                      norm;      // of their sum
    std::vector<encoder_layer>  trunk;
    std::vector<encoder_member> members;

    size_t n_layers() const { return trunk.size() + members.size() * members[0].layers.size(); }

  private:
    class loader;

    std::vector<ggml_context_ptr>        contexts;
    std::vector<ggml_backend_buffer_ptr> buffers;
};

}  // namespace ig
