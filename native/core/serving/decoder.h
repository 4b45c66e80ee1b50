// decoder.h owns what a search needs from a model: token sequences that share a prompt, grow by one token each per
// step, fork and are dropped. Sequence 0 holds the prompt. Several threads process the rows of a step, one row at a
// time each, before the step returns. All calls come from one thread, except those marked otherwise and those that
// process rows.
#pragma once

#include "serving/kv_plan.h"
#include "support/cancel.h"
#include "support/token.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ig {

using seq_id = int32_t;

struct decode_item {
    seq_id   seq;
    int32_t  position;
    token_id token;
    bool     residual = false;  // its residual stream is read
};

// of an untruncated row; they usually hold nearly all of its mass
const size_t most_listed = 64;

// the most probable tokens of a row that stayed on the device: at least most_listed, so that both routes draw the same
// tokens
struct row_head {
    const token_id * tokens      = nullptr;  // [n], the most probable first
    const float *    logits      = nullptr;  // [n]
    size_t           n           = 0;        // 0: the whole row was copied to the host
    double           log_sum_exp = 0;        // over the whole row
};

// the output of one item, valid while it is processed
struct output_row {
    size_t        index;          // of the item
    size_t        place;          // in the decoder's batch
    size_t        thread;         // that processes it, below n_row_threads()
    row_head      head;
    const float * hidden;         // [n_embd], null unless it was asked for
    const float * critic_output;  // of the critic on the device; null if none runs there
    const float * residual;       // [n_residual], null unless the item asked for it
};

// length of the common prefix
inline size_t shared_tokens(const std::vector<token_id> & a, const std::vector<token_id> & b) {
    const size_t n = std::min(a.size(), b.size());
    return size_t(std::mismatch(a.begin(), a.begin() + std::ptrdiff_t(n), b.begin()).first - a.begin());
}

using row_processor      = std::function<void(const output_row & row)>;
using residual_processor = std::function<void(size_t index, const float * residual)>;  // [n_residual]

// what a step returns besides the logits
struct step_wishes {
    bool               hidden        = false;
    bool               critic_output = false;  // of the critic on the device, if there is one
    std::vector<float> critic_inputs;          // [items, n] what that critic reads besides the model's outputs
};

// KV cells, in tokens
struct cell_use {
    int64_t capacity;  // of the cache, which other generations may share
    int64_t peak;      // most cells held at once by the prompt and the live tree
};

// common to all decoders
class sequence_decoder {
  public:
    virtual ~sequence_decoder() = default;

    virtual int32_t             n_vocab() const              = 0;
    virtual int32_t             n_embd() const               = 0;  // width of a hidden state; 0 if the model has none
    virtual bool                is_end(token_id token) const = 0;
    virtual const std::string & piece(token_id token)        = 0;  // the bytes that it adds to a text; from any thread
    virtual int32_t             max_sequences() const        = 0;
    virtual size_t              n_row_threads() const        = 0;  // maximum number of threads that process rows

    virtual size_t n_residual() const { return 0; }  // values of the residual stream read per token; 0: none

    virtual void fork(seq_id from, seq_id to) = 0;
    virtual void drop(seq_id seq)             = 0;

    // Whether a sequence can be shortened. Recurrent memory cannot, nor can a sliding window that has dropped the cells
    // needed.
    virtual bool can_cut() const                 = 0;
    virtual void cut(seq_id seq, int32_t length) = 0;

    // Appends tokens without outputs. Processes those whose residual stream is read, one by one.
    virtual void extend(const std::vector<decode_item> & items,
                        const residual_processor &       process,
                        const cancel_flag &              cancel) = 0;

    // Appends one token to each of several sequences and processes the output rows.
    virtual void step(const std::vector<decode_item> & items,
                      const step_wishes &              wishes,
                      const row_processor &            process,
                      const cancel_flag &              cancel) = 0;

    // The whole row of logits, [n_vocab], of a row in processing.
    virtual const float * logits(const output_row & row) = 0;

    // Number of values per row from a critic on the model's device; 0: there is none.
    virtual size_t n_critic_outputs() const { return 0; }

    // Applies the output head to hidden states: [n, n_embd] -> [n, n_vocab]. `known` is a hidden state with the model's
    // own logits for it. Throws UNSUPPORTED_MODEL if the head cannot be applied separately.
    virtual std::vector<float> project(const std::vector<float> & hidden,
                                       const std::vector<float> & known_hidden,
                                       const std::vector<float> & known_logits) = 0;
};

// a model with its KV cache
class real_decoder : public sequence_decoder {
  public:
    // Resizes the cache for n_sequences sequences and n_cells tokens in total, keeping its contents. Throws KV_CAPACITY
    // and leaves the cache as it was, or OUT_OF_MEMORY and leaves it empty and without room. The first call also throws
    // what a first step throws. Returns the number of tokens that the cache can hold.
    virtual int64_t make_room(int32_t n_sequences, int64_t n_cells) = 0;
};

// the decoder of one search
class decoder : public sequence_decoder {
  public:
    // Reserves the KV cache for a search. Sequence 0 then holds the part of the prompt that the prefix cache has, and
    // the search holds nothing else. Returns the length of that part. Waits while other searches leave too little.
    // Throws KV_CAPACITY, also if `n_more` would not fit alone.
    virtual int32_t reserve(const kv_plan & plan, const std::vector<token_id> & prompt, const cancel_flag & cancel) = 0;

    // Lets the search hold n sequences besides its own, replacing its earlier request. Returns n, or the number
    // available if other searches hold the rest. Does not wait for them.
    virtual int32_t widen(int32_t n, const cancel_flag & cancel) = 0;

    // When the search is over: moves this sequence to the prefix cache.
    virtual void keep(seq_id seq, std::vector<token_id> tokens) = 0;

    virtual cell_use cells() const = 0;
};

}  // namespace ig
