// decoder.h owns what a search needs from a model: token sequences that share a prompt, grow by one token each per
// step, fork and are dropped. Sequence 0 holds the prompt. The rows of a step are processed one by one, on several
// threads at once, before the step returns. All calls come from one thread, but those that say otherwise and those that process rows.
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
    bool     residual = false;  // what the residual stream holds of it is read
};

// of a row that nothing truncates; of most rows they hold nearly all the mass
const size_t most_listed = 64;

// the most probable tokens of a row that stayed on the device: most_listed or more, so that both routes draw the same tokens
struct row_head {
    const token_id * tokens      = nullptr;  // [n], the most probable first
    const float *    logits      = nullptr;  // [n]
    size_t           n           = 0;        // 0: the whole row was copied to the host
    double           log_sum_exp = 0;        // over the whole row
};

// the output of one item, to be read while it is processed
struct output_row {
    size_t        index;          // of the item
    size_t        place;          // in the decoder's batch
    size_t        thread;         // that processes it, below n_row_threads()
    row_head      head;
    const float * hidden;         // [n_embd], null unless it was asked for
    const float * critic_output;  // what the critic says of it, null unless the critic runs on the device
    const float * residual;       // [n_residual], null unless the item asked for it
};

// how many tokens both begin with
inline size_t shared_tokens(const std::vector<token_id> & a, const std::vector<token_id> & b) {
    const size_t n = std::min(a.size(), b.size());
    return size_t(std::mismatch(a.begin(), a.begin() + std::ptrdiff_t(n), b.begin()).first - a.begin());
}

using row_processor = std::function<void(const output_row & row)>;
using residual_processor =
    std::function<void(size_t index, const float * residual)>;  // of items that asked for it: [n_residual]

// what a step is to give beside the logits
struct step_wishes {
    bool               hidden        = false;
    bool               critic_output = false;  // by the critic on the device, where there is one
    std::vector<float> critic_inputs;          // [items, n] what that critic reads beside the model's own outputs
};

// KV cells, in tokens
struct cell_use {
    int64_t capacity;  // of the cache, which other generations may share
    int64_t peak;      // held at once by the prompt and the live tree
};

// what all kinds of decoder have in common
class sequence_decoder {
  public:
    virtual ~sequence_decoder() = default;

    virtual int32_t             n_vocab() const = 0;
    virtual int32_t             n_embd() const  = 0;  // width of a hidden state; 0 when the model gives none
    virtual bool                is_end(token_id token) const = 0;
    virtual const std::string & piece(token_id token)        = 0;  // the bytes it adds to a text; from any thread
    virtual int32_t             max_sequences() const        = 0;
    virtual size_t              n_row_threads() const        = 0;  // so many threads process at most

    virtual size_t n_residual() const { return 0; }  // values of the residual stream that are read per token; 0: none

    virtual void fork(seq_id from, seq_id to) = 0;
    virtual void drop(seq_id seq)             = 0;

    // Shortens a sequence, where the model's memory can be cut: recurrent memory cannot, and a sliding window has lost what is needed.
    virtual bool can_cut() const                 = 0;
    virtual void cut(seq_id seq, int32_t length) = 0;

    // Appends tokens without outputs; processes those whose residual stream is read, one after the other.
    virtual void extend(const std::vector<decode_item> & items,
                        const residual_processor &       process,
                        const cancel_flag &              cancel) = 0;

    // Appends one token to each of several sequences and processes the rows of output.
    virtual void step(const std::vector<decode_item> & items,
                      const step_wishes &              wishes,
                      const row_processor &            process,
                      const cancel_flag &              cancel) = 0;

    // The whole row of logits, [n_vocab], of a row that is being processed.
    virtual const float * logits(const output_row & row) = 0;

    // How many values per row a critic on the model's device says; 0: there is none.
    virtual size_t n_critic_outputs() const { return 0; }

    // The logits that the output head gives for hidden states: [n, n_embd] -> [n, n_vocab]. `known` is a hidden state with the
    // logits that the model made of it. Throws UNSUPPORTED_MODEL where the head cannot be applied on its own.
    virtual std::vector<float> project(const std::vector<float> & hidden,
                                       const std::vector<float> & known_hidden,
                                       const std::vector<float> & known_logits) = 0;
};

// a model with its cache
class real_decoder : public sequence_decoder {
  public:
    // Makes room for sequences with ids below n_sequences and n_cells tokens in all; what is held stays. Throws KV_CAPACITY,
    // and then nothing has changed, or OUT_OF_MEMORY, and then nothing is held any more and there is room for nothing. The first
    // room also throws what a first step does. Returns how many tokens there is room for.
    virtual int64_t make_room(int32_t n_sequences, int64_t n_cells) = 0;
};

// what one search works on
class decoder : public sequence_decoder {
  public:
    // Makes room for a search, which begins with nothing but the first tokens of the prompt in sequence 0: returns how many were at
    // hand. Waits for other searches where they leave too little. Throws KV_CAPACITY, also where `n_more` would not fit alone.
    virtual int32_t reserve(const kv_plan & plan, const std::vector<token_id> & prompt, const cancel_flag & cancel) = 0;

    // From now on the search may hold n sequences beside its own, in place of those that it asked for before; returns n, or what there
    // is where other searches hold the rest. Does not wait for them.
    virtual int32_t widen(int32_t n, const cancel_flag & cancel) = 0;

    // Once the search is over, what this sequence holds is kept for a prompt that begins with it.
    virtual void keep(seq_id seq, std::vector<token_id> tokens) = 0;

    virtual cell_use cells() const = 0;
};

}  // namespace ig
