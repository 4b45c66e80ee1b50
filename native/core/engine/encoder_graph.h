// encoder_graph.h owns the computation of an encoder's layers for many tokens at once: a ggml graph on the CPU. It is
// built anew for every pass, because its sizes are those of the pass. The states (keys and values, half precision) of
// earlier passes that tokens attend to come first in the rows. The caller provides them, and reads the new ones back.
#pragma once

#include "engine/encoder_weights.h"

#include <cstdint>
#include <memory>

struct ggml_threadpool;

namespace ig {

class encoder_graph {
  public:
    encoder_graph(const encoder_weights & weights, std::shared_ptr<ggml_threadpool> threads, int32_t n_threads);

    size_t n_states() const { return 2 * weights.n_layers(); }  // kinds of rows: keys and values of every layer

    // Throws OUT_OF_MEMORY.
    void begin(size_t n_past, size_t n_new);

    // Sets n rows of one kind, beginning at `row`. n_past rows in total precede the new ones: [n, width].
    void set_states(size_t kind, size_t row, size_t n, const ggml_fp16_t * states);
    void get_states(size_t kind, size_t row, size_t n, ggml_fp16_t * states) const;

    // mask: [n_new, n_past + n_new], 0 if a token attends to a row, otherwise minus infinity. Throws DECODE_FAILED.
    void compute(const std::vector<int32_t> &     tokens,
                 const std::vector<int32_t> &     positions,
                 const std::vector<ggml_fp16_t> & mask);

    // The output of a member's last layer for the new tokens: [n_new, width].
    std::vector<float> output(size_t member) const;

  private:
    const encoder_weights &          weights;
    std::shared_ptr<ggml_threadpool> threads;
    ggml_backend_ptr                 backend;
    ggml_gallocr_ptr                 allocator;

    // of the pass
    ggml_context_ptr           ctx;
    ggml_cgraph *              graph     = nullptr;
    ggml_tensor *              tokens    = nullptr;
    ggml_tensor *              positions = nullptr;
    ggml_tensor *              mask      = nullptr;
    std::vector<ggml_tensor *> states;   // [kinds], each [width, n_past + n_new]
    std::vector<ggml_tensor *> outputs;  // [members]

    ggml_tensor * linear(const affine & by, ggml_tensor * x) const;
    ggml_tensor * normalised(const affine & by, ggml_tensor * x) const;
    ggml_tensor * part(ggml_tensor * of, size_t which) const;
    ggml_tensor * by_head(ggml_tensor * rows) const;
    ggml_tensor * add_states(ggml_tensor * rows, size_t n_past);
    ggml_tensor * layer(const encoder_layer & l, ggml_tensor * x, size_t n_past);
};

}  // namespace ig
