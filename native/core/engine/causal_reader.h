// causal_reader.h owns the reading of texts by a model with causal attention. A prefix cache keeps texts between calls:
// a text is forked from the entry with the longest common prefix, and only the rest is decoded. Tokens that several
// texts share are decoded once. The least recently used entries are evicted. If there are more texts than sequences,
// they are read in waves. A KV cache that is too small, or has too few sequences for the current searches, is replaced
// by a larger one.
#pragma once

#include "engine/reader_context.h"
#include "serving/prefix_cache.h"
#include "serving/sequence_pool.h"

namespace ig {

class causal_reader : public reader_context {
  public:
    causal_reader(std::shared_ptr<loaded_model>    model,
                  std::shared_ptr<ggml_threadpool> threads,
                  int32_t                          n_threads,
                  text_output                      output);

  private:
    // a text of the current wave
    struct reading {
        size_t                 index;  // in the call
        const token_sequence * sequence;
        seq_id                 seq = -1;
        prefix_cache::match    found;  // the text's match in the prefix cache
        size_t                 n_shared =
            0;  // length of the prefix that it shares with the previous text of the wave, if those tokens are decoded
    };

    struct pending_row {
        size_t index;
        size_t output;
        seq_id seq;
    };

    prefix_cache             prefixes;
    sequence_pool            pool;
    std::vector<pending_row> pending;         // outputs of the batch
    std::vector<float>       class_row;
    int32_t                  most_sequences;  // most sequences that memory has sufficed for

    void read(const std::vector<token_sequence> & sequences, const row_function & row) override;
    void read_wave(std::vector<reading> wave, const row_function & row);
    void provide(const std::vector<reading> & wave);
    void remake(const batch_shape & wanted);
    bool try_wave(std::vector<reading> & wave, const row_function & row);
    void find_matches(std::vector<reading> & wave);
    void place(std::vector<reading> & wave);
    bool decode(const std::vector<reading> & wave, const row_function & row, bool without_outputs, bool outputs);
    bool flush(const row_function & row);
    const float * classes_of(seq_id sequence);
    bool          make_room();
    void          keep(const std::vector<reading> & wave);
    void          give_up(const std::vector<reading> & wave);
    void          drop_oldest();
    void          drop(seq_id seq);
    void          forget();
};

}  // namespace ig
