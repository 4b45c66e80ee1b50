// llama_decoder.h owns the decoder on llama.cpp: one context with a unified KV cache in which all sequences share the
// prompt. Every condition on which llama.cpp would abort is checked before the call.
// After a failed or aborted decode each sequence is cut back to what it held before.
#pragma once

#include "engine/llama_model.h"
#include "engine/output_head.h"

namespace ig {

struct decoder_options {
    int32_t n_threads = 1;
    int64_t max_cells = 0; // KV cells; 0: as many as fit into the device's free memory
};

class llama_decoder : public decoder {
  public:
    llama_decoder(loaded_model & model, std::shared_ptr<ggml_threadpool> threads, const decoder_options & options);
    ~llama_decoder() override;

    int32_t             n_vocab() const override { return model.n_vocab(); }
    int32_t             n_embd() const override { return with_hidden ? llama_model_n_embd_out(model.get()) : 0; }
    bool                is_end(token_id token) const override { return model.is_end(token); }
    const std::string & piece(token_id token) override { return model.piece(token); }
    int32_t             max_sequences() const override { return int32_t(llama_max_parallel_sequences()); }

    void reserve(int32_t n_sequences, int64_t n_cells) override;
    void prefill(const std::vector<token_id> & prompt, const cancel_flag & cancel) override;
    void fork(seq_id from, seq_id to) override;
    void drop(seq_id seq) override;
    void extend(const std::vector<decode_item> & items, const cancel_flag & cancel) override;
    void step(const std::vector<decode_item> & items, const cancel_flag & cancel) override;

    // What is added to the residual stream behind layers 1, 2, ... from the next prefill on: [n_layers - 1, n_embd]; empty: nothing.
    void steer(std::vector<float> directions);

    // Memory that the process may still use; 0: unknown.
    void set_available_bytes(uint64_t bytes) { available_bytes = bytes; }

    const float * logits(size_t row) const override;
    const float * hidden(size_t row) const override;

    std::vector<float> project(const std::vector<float> & hidden) override;

  private:
    loaded_model &                   model;
    decoder_options                  options;
    bool                             with_hidden; // recurrent models would decode one sequence at a time
    std::shared_ptr<ggml_threadpool> threads; // outlives the context
    llama_context_ptr                context;
    int32_t                          n_sequences = 0;
    int64_t                          n_cells = 0;
    llama_batch                      batch;
    std::vector<int32_t>             lengths; // tokens per sequence
    const cancel_flag *              current_cancel = nullptr;
    uint64_t                         available_bytes = 0;
    std::unique_ptr<output_head>     head; // once it was asked for
    std::vector<float>               steering;
    bool                             steering_is_set = true; // in the context

    void check_memory(int64_t cells) const;
    void decode(const decode_item * items, size_t n, bool outputs, const cancel_flag & cancel);
    void repair();
    void set_steering();
};

}
