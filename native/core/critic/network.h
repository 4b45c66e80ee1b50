// network.h owns the critic's network: E members, each a stack of SiLU layers (none: linear) under two heads, the
// log-odds of pSafe (row 0 of the last matrix) and the standardised value (row 1). Its weights are in one backend
// buffer. Graphs are built on them, for the forward pass here and for training.
#pragma once

#include "ggml-cpp.h"
#include "support/tensor_file.h"

#include <memory>
#include <vector>

namespace ig {

// A backend on this device; null: the CPU.
ggml_backend_ptr open_backend(ggml_backend_dev_t device, int32_t n_threads);

struct network_shape {
    int32_t n_inputs  = 0;
    int32_t n_layers  = 1;
    int32_t width     = 256;
    int32_t n_members = 4;

    int64_t n_parameters() const;
};

// The weights by name, with shapes and without values.
std::vector<named_tensor> network_tensors(const network_shape & shape);

const int64_t n_heads = 2;

class network {
  public:
    network(const network_shape & shape, ggml_backend_t backend, bool trainable);

    const network_shape shape;

    void                            set_weights(const std::vector<std::vector<float>> & values);
    std::vector<std::vector<float>> weights() const;

    // x: [n_inputs, n] -> [n_heads, n]
    ggml_tensor * forward(ggml_context * ctx, ggml_tensor * x, int32_t member) const;

  private:
    ggml_context_ptr           ctx;
    ggml_backend_buffer_ptr    buffer;
    std::vector<ggml_tensor *> tensors;  // in the order of network_tensors
};

// the network's output for n rows: [member][row]
struct network_output {
    std::vector<std::vector<float>> log_odds;
    std::vector<std::vector<float>> value;
};

// Runs the forward pass on many rows at once.
class network_runner {
  public:
    network_runner(const network & net, ggml_backend_t backend);

    network_output run(const std::vector<float> & inputs, size_t n_rows);  // inputs: [n_rows, n_inputs]

  private:
    const network &  net;
    ggml_backend_t   backend;
    ggml_gallocr_ptr allocator;
};

// Runs forward and backward passes on a fixed number of rows.
class network_gradient {
  public:
    network_gradient(const network & net, ggml_backend_t backend, size_t n_rows);

    // The gradient of value_scale * value + lambda * pSafe with respect to every input: [n_rows, n_inputs]. Value and
    // pSafe are means over the members.
    std::vector<float> at(const std::vector<float> & inputs, double value_scale, double lambda);

  private:
    const network &            net;
    ggml_backend_t             backend;
    size_t                     n_rows;
    network_runner             forward;
    ggml_gallocr_ptr           allocator;
    ggml_context_ptr           ctx;
    ggml_cgraph *              graph;
    ggml_tensor *              x;
    std::vector<ggml_tensor *> slopes;  // per member, the factor of each head's output, [n_heads, n_rows]
    ggml_tensor *              gradient;
};

}  // namespace ig
