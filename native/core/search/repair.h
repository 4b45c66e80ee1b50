// repair.h owns the repair: the one attempt that a refused prompt gets. A response is drawn greedily after the prompt
// with a note in it, and judged after the prompt as it was asked. Its tokens are decoded after both prompts in
// parallel, so that likelihoods and cost models of the latent state are not affected by the note.
#pragma once

#include "search/search.h"

namespace ig {

// The answer, with the outcome OUTCOME_REPAIRED, or a refusal. Samples at most options.repair_limit() tokens within the
// given context.
search_result repair(const search_models &         models,
                     const std::vector<token_id> & prompt,
                     const std::vector<token_id> & noted,
                     int64_t                       context_size,
                     const search_options &        options,
                     const cancel_flag &           cancel);

}  // namespace ig
