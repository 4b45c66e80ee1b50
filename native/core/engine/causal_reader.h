// causal_reader.h owns the reading of texts by a model that reads left to right. A prefix cache keeps what texts began with between
// calls: a text is forked from the entry that it shares the most tokens with, and only the rest is decoded, tokens that several texts
// share once. The longest unused entries make room. More texts than sequences are read in waves; a KV cache that is too small is made
// anew, larger, and so is one with too few sequences for the searches at work.
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
        prefix_cache::match    found;  // what the prefix cache has of the text
        size_t n_shared = 0;  // tokens of the text before it in the wave that it shares, where they are decoded
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
    int32_t                  most_sequences;  // that there was no lack of memory for

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
