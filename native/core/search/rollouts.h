// rollouts.h owns the sampling of a critic's training data: plain responses of the base model, several per prompt and
// several prompts in one batch, labelled by the true cost and reward models. A sample depends only on the seed, the
// prompt's number and the response's number.
#pragma once

#include "critic/rollout_record.h"
#include "search/search.h"

namespace ig {

struct rollout_prompt {
    int32_t                        number;
    std::vector<token_id>          tokens;
    std::optional<std::string>     question;  // what cost models read as context; unset: the prompt's text
    bool                           is_raw;    // responses continue its text
    std::shared_ptr<guard_session> session;   // set before sampling starts
};

struct rollout_options {
    int32_t             n_responses = 5;  // per prompt
    int32_t             max_tokens  = 128;
    int32_t             stride = 32;  // positions are kept every `stride` tokens, starting with the prompt's last one
    int32_t             top_k  = 8;   // of the logits' summary
    std::vector<size_t> mean_places;  // the layers whose means are kept, as places among the layers that are read
    size_t              n_stream    = 0;  // width of the residual stream
    double              temperature = 1;
    uint64_t            seed        = 0;
    int32_t             n_sequences = 0;  // reserved in the decoder, the same for every batch of a run
    int64_t             n_cells     = 0;
};

struct rollout_batch {
    std::vector<rollout> rollouts;
    int64_t              n_generated   = 0;
    int64_t              n_over_budget = 0;
};

rollout_batch sample_rollouts(const search_models &               models,
                              const std::vector<rollout_prompt> & prompts,
                              const rollout_options &             options,
                              const cancel_flag &                 cancel);

}  // namespace ig
