// response_reader.h owns the reading of responses that are at hand: what a search would have known of their latent states had it
// generated the tokens itself. Many are read beside one another, each as a sequence of its own.
#pragma once

#include "engine/residual_sum.h"
#include "serving/decoder.h"

#include <memory>

namespace ig {

struct given_response {
    const std::vector<token_id> * prompt;
    const std::vector<token_id> * tokens;
    std::vector<size_t>           lengths;  // numbers of its tokens after which it is visited: ascending, at least 1
};

struct response_state {
    size_t               response;  // its index
    size_t               length;    // index among its lengths
    const residual_sum & residual;  // over so many tokens
    const float *        hidden;    // [n_embd] final-norm state at the last of them; null unless it was asked for
};

using state_visitor = std::function<void(const response_state & state)>;

// A decoder for some responses; the one before is gone.
using open_decoder = std::function<std::unique_ptr<decoder>()>;

// Visits all responses, in no order but that of the lengths of each, on several threads at once. `with_hidden`: with the state of the
// last token. What the prompts begin with is kept for others that begin so.
void read_responses(const open_decoder &                open,
                    const std::vector<given_response> & responses,
                    bool                                with_hidden,
                    const state_visitor &               visit,
                    const cancel_flag &                 cancel);

}  // namespace ig
