// reader_context.h owns the common part of all text readers: a llama.cpp context of a loaded model, its batch, and the
// calls on them. Every condition on which llama.cpp would abort is checked before the call.
#pragma once

#include "engine/llama_model.h"
#include "engine/text_model.h"
#include "engine/word_pieces.h"

#include <memory>

namespace ig {

class reader_context : public text_model {
  public:
    reader_context(std::shared_ptr<loaded_model>    model,
                   std::shared_ptr<ggml_threadpool> threads,
                   int32_t                          n_threads,
                   text_output                      output);
    ~reader_context() override;

    int32_t      width() const override;
    text_classes classes() const override;

    const markup & chat_markup() const override { return model->chat_markup(); }

    token_id              beginning() const override;
    // Throws TEXT_TOO_LONG for a text that is too long to be read.
    std::vector<token_id> tokenize(const std::string & text, bool with_ends, const cancel_flag * cancel) const override;

  protected:
    struct batch_shape {
        int64_t n_cells;
        int32_t n_tokens;   // per batch
        int32_t n_sequences;
        int32_t n_outputs;  // per batch
    };

    std::shared_ptr<loaded_model>    model;
    std::shared_ptr<ggml_threadpool> threads;  // outlives the context
    int32_t                          n_threads;
    text_output                      output;
    enum llama_pooling_type          pooling;
    llama_context_ptr                context;
    batch_shape                      shape = { 0, 0, 0, 0 };
    llama_batch                      batch = {};

    // Creates a fresh context. Throws KV_CAPACITY.
    void make_context(const batch_shape & wanted);

    void clear_batch() { batch.n_tokens = 0; }

    void add_to_batch(token_id token, int32_t position, const std::vector<seq_id> & sequences, bool with_output);

    // Computes the batch. Returns false if the KV cache is full. Throws OUT_OF_MEMORY, DECODE_FAILED or ABORTED.
    bool compute();

    // Throws TEXT_TOO_LONG, or INTERNAL for a sequence that llama.cpp would reject.
    void check(const std::vector<token_sequence> & sequences) const;

    // the pooled output of a sequence of the last batch
    const float * pooled_row(seq_id sequence) const;

  private:
    std::unique_ptr<word_pieces> pieces;                         // null: llama.cpp's tokenizer
    std::string (*prepare)(const std::string & text) = nullptr;  // applied before llama.cpp tokenizes; null: none
};

}  // namespace ig
