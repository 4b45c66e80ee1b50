// rollout_record.h owns the byte format of sampled responses, the training data of critics. A record holds the
// responses to a few prompts. Numbers are little-endian. Reading checks every length and that every number is finite.
// Damaged bytes are INVALID_ROLLOUTS.
#pragma once

#include "safety/cost_model.h"

namespace ig {

struct rollout_shape {
    int32_t n_embd        = 0;
    int32_t n_summary     = 0;
    int32_t n_constraints = 0;
    int32_t n_mean        = 0;  // of the residual stream, for all layers that are kept
};

struct rollout_position {
    int32_t             n_tokens;      // response tokens so far
    std::vector<float>  summary;       // of the logits
    std::vector<double> cost;          // so far, per constraint
    std::vector<double> highest_cost;  // the highest so far; more than cost if negative costs refilled the budget
    std::vector<double> partial_cost;  // the whole-text cost model's score of the text so far; 0 for token cost models
    std::vector<uint16_t> hidden;      // [n_embd], half precision
    std::vector<uint16_t>
        mean;  // [n_mean], half precision: of the residual stream over the response's tokens except the last one
};

struct rollout {
    int32_t                       prompt;
    int32_t                       response;  // index among the prompt's responses
    std::vector<token_id>         tokens;
    double                        reward;
    std::vector<double>           binding_cost;  // the smallest budget that the response meets
    std::vector<rollout_position> positions;
};

// In half precision, clipped to its largest value.
std::vector<uint16_t> to_half(const float * values, size_t n);

std::vector<uint8_t> write_record(const std::vector<rollout> & rollouts);

std::vector<rollout> read_record(const rollout_shape & shape, const uint8_t * data, size_t n_bytes);

}  // namespace ig
