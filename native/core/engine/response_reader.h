// response_reader.h owns the reading of a response that is at hand: what a search would have known of its latent state had it
// generated the tokens itself.
#pragma once

#include "engine/decoder.h"

namespace ig {

struct response_state {
    size_t               n_tokens;
    const residual_sum & residual; // over these tokens
    const float *        hidden; // [n_embd] final-norm state at the last of them; null unless it was asked for
};

using state_visitor = std::function<void(const response_state & state)>;

// Visits a response after each of some numbers of its tokens, ascending and at least 1. `with_hidden`: with the state of the last
// token. The prompt is kept for the next response to it.
void read_response(decoder & model, const std::vector<token_id> & prompt, const std::vector<token_id> & response,
                   const std::vector<size_t> & lengths, bool with_hidden, const state_visitor & visit, const cancel_flag & cancel);

}
