// layer_reader.h owns a context that returns the residual stream after every layer at the last token of a prompt. It
// shares the model's weights and does not steer. The graph is cut at every layer, so it is for prompts, not for
// decoding.
#pragma once

#include "engine/llama_model.h"

namespace ig {

class layer_reader {
  public:
    layer_reader(const loaded_model & model, std::shared_ptr<ggml_threadpool> threads, int32_t n_threads) :
        model(model),
        threads(std::move(threads)),
        n_threads(n_threads) {}

    // [n_layers, n_embd]. Throws UNSUPPORTED_MODEL if the architecture does not name its layers' outputs, and
    // KV_CAPACITY if the prompt does not fit into the memory that the process may still use (0: unknown).
    std::vector<float> read(const std::vector<token_id> & prompt, uint64_t available_bytes, const cancel_flag & cancel);

  private:
    const loaded_model &             model;
    std::shared_ptr<ggml_threadpool> threads;  // outlives the context
    int32_t                          n_threads;
    llama_context_ptr                context;
    std::vector<float>               layers;  // of the last chunk
    int32_t                          n_seen         = 0;
    const cancel_flag *              current_cancel = nullptr;

    void reserve(size_t n_tokens, uint64_t available_bytes);

    static bool on_node(ggml_tensor * node, bool ask, void * self);
};

}  // namespace ig
