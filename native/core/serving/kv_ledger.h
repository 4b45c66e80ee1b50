// kv_ledger.h owns the count of the KV cells that one search holds. The prompt's cells, in sequence 0, are counted by
// its length. Any other cell is counted once while any sequence holds it. Sequence 0 outlives its forks.
#pragma once

#include "serving/decoder.h"

namespace ig {

class kv_ledger {
  public:
    // Starts with n_prompt tokens in sequence 0 and none in the others.
    void start(size_t n_sequences, int32_t n_prompt);

    void fork(seq_id from, seq_id to);
    void append(seq_id seq);
    void cut(seq_id seq, int32_t length);

    int64_t n_held() const { return n_behind_prompt + lengths[0]; }

    int64_t peak() const { return most_held; }

  private:
    std::vector<int32_t>              lengths;  // tokens per sequence
    std::vector<std::vector<int32_t>> held;     // cells after the prompt, per sequence
    std::vector<int32_t>              holders;  // per cell
    std::vector<int32_t>              free_cells;
    int64_t                           n_behind_prompt = 0;
    int64_t                           most_held       = 0;
};

}  // namespace ig
