// tabular_decoder.h owns a model that is a transition table. The next token's logits depend only on the last token, the
// hidden state is that token, one-hot, and the output head is the table. The tests of the search use it as ground
// truth. Hence it counts KV cells as a real cache does (forked sequences share theirs) and treats misuse of the
// interface as an error.
#pragma once

#include "serving/decoder.h"

#include <memory>

namespace ig {

struct tabular_model {
    std::vector<std::string> pieces;  // [n_vocab]
    std::vector<float>       logits;  // [n_vocab, n_vocab], row = last token
    std::vector<bool>        ends;    // [n_vocab]
    int32_t                  max_sequences = 256;
};

class tabular_decoder : public real_decoder {
  public:
    explicit tabular_decoder(const tabular_model & model) : model(model) {}

    int32_t n_vocab() const override { return int32_t(model.pieces.size()); }

    int32_t n_embd() const override { return n_vocab(); }

    bool is_end(token_id token) const override { return model.ends[token]; }

    const std::string & piece(token_id token) override { return model.pieces[token]; }

    int32_t max_sequences() const override { return model.max_sequences; }

    size_t n_row_threads() const override { return 1; }

    int64_t make_room(int32_t n_sequences, int64_t n_cells) override;
    void    fork(seq_id from, seq_id to) override;
    void    drop(seq_id seq) override;

    bool can_cut() const override { return true; }

    void cut(seq_id seq, int32_t length) override;
    void extend(const std::vector<decode_item> & items,
                const residual_processor &       process,
                const cancel_flag &              cancel) override;
    void step(const std::vector<decode_item> & items,
              const step_wishes &              wishes,
              const row_processor &            process,
              const cancel_flag &              cancel) override;

    const float * logits(const output_row & row) override {
        return &model.logits[size_t(rows[row.place]) * model.pieces.size()];
    }

    std::vector<float> project(const std::vector<float> & hidden,
                               const std::vector<float> & known_hidden,
                               const std::vector<float> & known_logits) override;

  private:
    using cell = std::shared_ptr<token_id>;  // shared by forks

    const tabular_model &          model;
    std::vector<std::vector<cell>> sequences;
    std::vector<token_id>          rows;  // last token of each output row
    int64_t                        capacity = 0;

    void append(const std::vector<decode_item> & items);
};

}  // namespace ig
