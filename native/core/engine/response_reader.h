// response_reader.h owns the reading of existing responses: it yields the latent states that a search would have seen
// if it had generated the tokens. Many responses are read in parallel, each in its own sequence.
#pragma once

#include "engine/residual_sum.h"
#include "serving/decoder.h"

#include <memory>

namespace ig {

struct given_response {
    const std::vector<token_id> * prompt;
    const std::vector<token_id> * tokens;
    std::vector<size_t>           lengths;  // prefix lengths, in tokens, at which it is visited: ascending, at least 1
};

struct response_state {
    size_t               response;  // its index
    size_t               length;    // index among its lengths
    const residual_sum & residual;  // over the first `length` tokens
    const float *        hidden;    // [n_embd] final-norm state at the last of them; null unless requested
};

using state_visitor = std::function<void(const response_state & state)>;

// Returns a decoder for some responses. The previous one must be gone.
using open_decoder = std::function<std::unique_ptr<decoder>()>;

// Visits all responses on several threads at once. The order is unspecified, except that each response's lengths
// ascend. with_hidden adds the state of the last token. The prompts' common prefixes are kept and shared.
void read_responses(const open_decoder &                open,
                    const std::vector<given_response> & responses,
                    bool                                with_hidden,
                    const state_visitor &               visit,
                    const cancel_flag &                 cancel);

}  // namespace ig
