#include "engine/layer_reader.h"

#include "engine/llama_backend.h"
#include "engine/residual_tap.h"

#include <algorithm>

namespace ig {

// The last row is the last token of the chunk.
bool layer_reader::on_node(ggml_tensor * node, bool ask, void * self) {
    if (layer_of_output(node) < 0) {
        return !ask;
    }
    if (!ask) {
        layer_reader & reader = *static_cast<layer_reader *>(self);
        const size_t   layer  = size_t(layer_of_output(node));
        const size_t   n_embd = size_t(node->ne[0]);
        if (node->type == GGML_TYPE_F32 && (layer + 1) * n_embd <= reader.layers.size() && node->ne[1] > 0) {
            ggml_backend_tensor_get(node, &reader.layers[layer * n_embd], size_t(node->ne[1] - 1) * node->nb[1],
                                    n_embd * sizeof(float));
            ++reader.n_seen;
        }
    }
    return true;
}

void layer_reader::reserve(size_t n_tokens, uint64_t available_bytes) {
    if (context && n_tokens <= llama_n_ctx(context.get())) {
        return;
    }
    const memory_need need = model.memory_for(int64_t(std::max(n_tokens, size_t(tokens_per_decode))), available_bytes);
    if (!need.fits()) {
        throw error(
            "KV_CAPACITY",
            format("reading the hidden states of a prompt needs %.1f GiB of KV cache, but %.1f GiB of memory are "
                   "free; shorten the prompt",
                   need.needed_gib(), need.free_gib()));
    }
    llama_context_params params = llama_context_default_params();
    params.n_ctx                = uint32_t(model.context_cells(int64_t(n_tokens), tokens_per_decode));
    params.n_batch              = tokens_per_decode;
    params.n_ubatch             = tokens_per_decode;
    params.n_seq_max            = 1;
    params.n_threads            = n_threads;
    params.n_threads_batch      = n_threads;
    params.cb_eval              = on_node;
    params.cb_eval_user_data    = this;
    context.reset();
    context = make_llama_context(model.get(), params, threads.get(), &current_cancel);
    if (!context) {
        throw error("KV_CAPACITY", "llama.cpp could not create a context to read hidden states: " + llama_errors());
    }
}

std::vector<float> layer_reader::read(const std::vector<token_id> & prompt,
                                      uint64_t                      available_bytes,
                                      const cancel_flag &           cancel) {
    reserve(prompt.size(), available_bytes);
    const int32_t n_layers = llama_model_n_layer(model.get());
    layers.assign(size_t(n_layers) * size_t(llama_model_n_embd(model.get())), 0);
    llama_memory_clear(llama_get_memory(context.get()), false);
    std::vector<token_id> tokens = prompt;
    for (size_t begin = 0; begin < tokens.size(); begin += tokens_per_decode) {
        cancel.check();
        n_seen               = 0;
        current_cancel       = &cancel;
        const int32_t n      = int32_t(std::min(size_t(tokens_per_decode), tokens.size() - begin));
        const int32_t status = decode_batch(context.get(), llama_batch_get_one(&tokens[begin], n));
        current_cancel       = nullptr;
        model.check_files();
        cancel.check();
        if (status != 0) {
            throw error("DECODE_FAILED",
                        format("llama.cpp failed to read a prompt (%d): %s", status, llama_errors().c_str()));
        }
    }
    if (n_seen != n_layers) {
        throw error(
            "UNSUPPORTED_MODEL",
            format("expected an architecture that names the outputs of its %d layers for steering, got %d of them",
                   n_layers, n_seen));
    }
    return layers;
}

}  // namespace ig
