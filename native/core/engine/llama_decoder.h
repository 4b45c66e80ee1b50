// llama_decoder.h owns the decoder on llama.cpp: one context with a unified KV cache, in which all sequences share the
// prompt. Every condition on which llama.cpp would abort is checked before the call. Outputs are copied to the host
// whole, or reduced on the device that computed them. After a failed or aborted decode each sequence is cut back to its
// earlier length, or dropped if its memory cannot be cut.
#pragma once

#include "engine/device_rows.h"
#include "engine/llama_model.h"
#include "engine/output_head.h"
#include "engine/residual_tap.h"
#include "engine/thread_team.h"

#include <atomic>

namespace ig {

enum row_route {
    ROWS_AUTO,  // on the device if it is a GPU that can reduce them
    ROWS_ON_DEVICE,
    ROWS_ON_HOST,
};

struct decoder_options {
    int32_t   n_threads = 1;
    int64_t   max_cells = 0;  // KV cells; 0: as many as fit into the device's free memory
    row_route rows      = ROWS_AUTO;
};

class llama_decoder : public real_decoder {
  public:
    llama_decoder(loaded_model & model, std::shared_ptr<ggml_threadpool> threads, const decoder_options & options);
    ~llama_decoder() override;

    // Before the first make_room(): sets the critic that runs on the device if rows are reduced there.
    void set_critic(const graph_critic * critic) { on_device = critic; }

    // Before the first make_room(): the layers after which the residual stream can be read. Throws UNSUPPORTED_MODEL.
    void read_residual(const std::vector<int32_t> & layers);

    int32_t n_vocab() const override { return model.n_vocab(); }

    int32_t n_embd() const override { return with_hidden ? llama_model_n_embd_out(model.get()) : 0; }

    bool is_end(token_id token) const override { return model.is_end(token); }

    const std::string & piece(token_id token) override { return model.piece(token); }

    int32_t max_sequences() const override { return int32_t(llama_max_parallel_sequences()); }

    size_t n_row_threads() const override { return size_t(team.size()); }

    size_t n_residual() const override { return tap ? tap->n_values() : 0; }

    int64_t make_room(int32_t n_sequences, int64_t n_cells) override;
    void    fork(seq_id from, seq_id to) override;
    void    drop(seq_id seq) override;

    bool can_cut() const override { return with_hidden && llama_model_n_swa(model.get()) == 0; }

    void cut(seq_id seq, int32_t length) override;
    void extend(const std::vector<decode_item> & items,
                const residual_processor &       process,
                const cancel_flag &              cancel) override;
    void step(const std::vector<decode_item> & items,
              const step_wishes &              wishes,
              const row_processor &            process,
              const cancel_flag &              cancel) override;

    const float * logits(const output_row & row) override;

    size_t n_critic_outputs() const override {
        return rows && on_device != nullptr ? size_t(on_device->n_critic_outputs()) : 0;
    }

    // Whether outputs are reduced on the device. From any thread.
    bool cuts_rows() const { return rows_are_cut; }

    // Sets what is added to the residual stream after layers 1, 2, ...: [n_layers - 1, n_embd]; empty: nothing.
    void steer(std::vector<float> directions);

    // Memory that the process may still use; 0: unknown. From any thread.
    void set_available_bytes(uint64_t bytes) { available_bytes = bytes; }

    std::vector<float> project(const std::vector<float> & hidden,
                               const std::vector<float> & known_hidden,
                               const std::vector<float> & known_logits) override;

  private:
    loaded_model &  model;
    decoder_options options;
    bool            with_hidden;  // with hidden states, recurrent models would decode one sequence at a time
    std::shared_ptr<ggml_threadpool> threads;  // outlives the context
    thread_team                      team;
    const graph_critic *             on_device = nullptr;
    std::unique_ptr<device_rows>     rows;  // null: whole outputs are copied to the host; outlives the context
    bool                             cuts_proven = false;  // in this context or an earlier one
    std::unique_ptr<residual_tap>    tap;  // null: nobody reads the residual stream; outlives the context
    llama_context_ptr                context;
    int32_t                          n_sequences = 0;
    int64_t                          n_cells     = 0;
    llama_batch                      batch;
    std::atomic<bool>                rows_are_cut{ false };
    std::vector<int32_t>             lengths;               // tokens per sequence; 0: it holds no cells
    const cancel_flag *              current_cancel = nullptr;
    const float *                   host_logits = nullptr;  // of the last step, if whole outputs are copied to the host
    std::atomic<uint64_t>           available_bytes{ 0 };
    std::vector<std::vector<float>> whole_rows;  // per thread that processes rows: a whole row from the device
    std::unique_ptr<output_head>    head;        // created on first use
    std::vector<float>              steering;
    bool                            steering_is_set = true;  // in the context

    struct held_tokens {
        std::vector<int32_t> lengths;
        std::vector<uint8_t> state;  // empty if nothing is held
    };

    void        check_memory(int64_t more_cells, uint64_t copied_bytes) const;
    void        reopen(int32_t sequences, int64_t cells, const held_tokens & held);
    void        put_back(int32_t sequences, int64_t cells, const held_tokens & held);
    int64_t     usable_cells() const;
    void        make_context(int32_t sequences, int64_t cells);
    bool        cut_rows();
    bool        first_rows_are_cut();
    void        lose_context();
    uint64_t    held_bytes() const;
    held_tokens save_held(uint64_t n_bytes);
    void        restore(const held_tokens & held);
    void        decode(const decode_item * items, size_t n, bool outputs, const cancel_flag & cancel);
    void        repair();

    const float * residual_of(size_t item) const { return tap ? tap->row(item) : nullptr; }

    void set_steering();
};

}  // namespace ig
