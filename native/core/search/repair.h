// repair.h owns the one attempt that a refused prompt gets: a response that is drawn greedily behind the prompt with a note in it, and
// judged behind the prompt as it was asked. Its tokens are decoded behind both, side by side, so that cost models of the latent state
// and likelihoods know nothing of the note either.
#pragma once

#include "search/search.h"

namespace ig {

// The answer with the outcome OUTCOME_REPAIRED, or a refusal. Samples at most the options' repair_limit(), within a context of so many
// tokens.
search_result repair(const search_models &         models,
                     const std::vector<token_id> & prompt,
                     const std::vector<token_id> & noted,
                     int64_t                       context_size,
                     const search_options &        options,
                     const cancel_flag &           cancel);

}  // namespace ig
