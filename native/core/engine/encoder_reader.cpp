#include "engine/encoder_reader.h"

#include "support/error.h"

#include <algorithm>

namespace ig {

namespace {

const int32_t n_sequences = 64;    // of a batch
const int64_t least_batch = 1024;  // tokens
const int64_t unit        = 256;

}  // namespace

void encoder_reader::read(const std::vector<token_sequence> & sequences, const row_function & row) {
    check(sequences);
    int64_t longest = 0;
    for (const token_sequence & s : sequences) {
        longest = std::max(longest, int64_t(s.tokens.size()));
    }
    if (!context || longest > shape.n_tokens) {
        const int64_t n_tokens = std::max(least_batch, (longest + unit - 1) / unit * unit);
        make_context({ n_tokens, int32_t(n_tokens), n_sequences, int32_t(n_tokens) });
        llama_set_embeddings(context.get(), true);
    }
    for (size_t begin = 0; begin < sequences.size();) {
        size_t end = begin, n_tokens = 0;
        while (end < sequences.size() && end - begin < size_t(n_sequences) &&
               n_tokens + sequences[end].tokens.size() <= size_t(shape.n_tokens)) {
            n_tokens += sequences[end++].tokens.size();
        }
        read_batch(sequences, begin, end, row);
        begin = end;
    }
}

void encoder_reader::read_batch(const std::vector<token_sequence> & sequences,
                                size_t                              begin,
                                size_t                              end,
                                const row_function &                row) {
    clear_batch();
    for (size_t i = begin; i < end; ++i) {
        const std::vector<token_id> & tokens = sequences[i].tokens;
        for (size_t p = 0; p < tokens.size(); ++p) {
            add_to_batch(tokens[p], int32_t(p), { seq_id(i - begin) }, true);
        }
    }
    if (!compute()) {
        throw error("INTERNAL", "llama.cpp has no room for a batch of texts");
    }
    for (size_t i = begin; i < end; ++i) {
        row(i, 0, head.logits(pooled_row(seq_id(i - begin))).data());
    }
}

}  // namespace ig
