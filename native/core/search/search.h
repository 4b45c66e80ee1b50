// search.h owns the search loop, its input and its output. It accesses model, cost models, reward model and critic only
// through their interfaces. A decoder runs one search at a time.
#pragma once

#include "critic/critic.h"
#include "safety/guard_session.h"
#include "search/stop_strings.h"
#include "search/trace.h"
#include "serving/decoder.h"

#include <functional>
#include <optional>

namespace ig {

enum expansion_kind {
    EXPANSION_SAMPLE,  // blocks of sampled tokens
    EXPANSION_TOKEN,   // the most probable next tokens, one each
};

enum estimator_kind {
    ESTIMATOR_MODELS,  // cost and reward model on the partial text
    ESTIMATOR_CRITIC,
    ESTIMATOR_BOTH,    // the critic, and the cost model must find the partial text within budget
    ESTIMATOR_LOG_LIKELIHOOD,
};

enum objective_kind {
    OBJECTIVE_AUGMENTED,   // reward if within budget, otherwise -infinity; the only objective that enforces the budget
    OBJECTIVE_REWARD,
    OBJECTIVE_LAGRANGIAN,  // reward - lambda cost
    OBJECTIVE_COST,        // -cost
};

enum selection_kind {
    SELECTION_TOP,   // the K best
    SELECTION_SOFT,  // drawn with weights that bound the bias of the selection
};

struct sampling_options {
    double  temperature = 1;
    int32_t top_k       = 0;  // 0: all
    double  top_p       = 1;
    double  min_p       = 0;
};

// Defaults: one sampled path.
struct search_options {
    expansion_kind        expansion = EXPANSION_SAMPLE;
    estimator_kind        estimator = ESTIMATOR_MODELS;
    objective_kind        objective = OBJECTIVE_AUGMENTED;
    selection_kind        selection = SELECTION_TOP;
    sampling_options      sampling;
    stop_strings          stop;
    int32_t               max_tokens        = 1;  // T
    int32_t               block_length      = 1;  // d
    int32_t               n_candidates      = 1;  // N, the maximum width of a block
    int32_t               n_start           = 1;  // initial width of a block
    int32_t               growth            = 2;  // factor by which it widens
    double                satisfied_p_safe  = 0;  // pSafe of a candidate that needs no further ones
    int32_t               n_beams           = 1;  // K
    int32_t               n_retries         = 0;  // M
    double                diversity_penalty = 0;  // beta
    double                lambda            = 0;
    std::optional<double> omega;         // ARGS: a score is the last token's log-probability + omega * objective
    double                softness = 1;  // b of soft selection
    double lowest_score   = -std::numeric_limits<double>::infinity();  // soft selection clips scores to this range
    double highest_score  = std::numeric_limits<double>::infinity();
    ascent_options ascent = { 0, 0, 0 };                               // RE-Control, if it has steps
    double         p_safe_threshold     = 0;                           // eta
    double         uncertainty_penalty  = 0;                           // kappa
    bool           ranks_by_value       = true;  // with a critic; otherwise by the partial text's reward
    int64_t        max_generated_tokens = 0;
    int64_t        max_backtracks       = 0;
    bool           repairs              = false;  // reserves tokens for a repair of a refusal
    uint64_t       seed                 = 0;
    bool           caches_prompt        = false;  // uses earlier prompts from the prefix cache, and adds its own
    bool           stream               = false;  // commit while searching
    bool           trace                = false;  // keep all candidates

    bool widens() const { return n_start < n_candidates; }

    bool enforces_budget() const { return objective == OBJECTIVE_AUGMENTED; }

    bool edits_hidden() const { return ascent.n_steps > 0; }

    bool is_random() const { return expansion == EXPANSION_SAMPLE && sampling.temperature > 0 && sampling.top_k != 1; }

    bool asks_critic() const { return estimator == ESTIMATOR_CRITIC || estimator == ESTIMATOR_BOTH; }

    bool may_restart() const { return enforces_budget() && expansion == EXPANSION_SAMPLE && max_backtracks > 0; }

    // How the token limit is divided. Restarts get half, and at least one response. A repair gets up to one response
    // from what remains. The search gets the rest. No share shrinks if the limit grows.
    int64_t restart_limit() const {
        const int64_t half = max_generated_tokens - max_generated_tokens / 2;
        return may_restart() ? std::max(half, std::min<int64_t>(max_generated_tokens, max_tokens)) : 0;
    }

    int64_t repair_limit() const {
        const int64_t first = std::max<int64_t>(restart_limit(), max_tokens);
        return repairs && enforces_budget() ?
                   std::max<int64_t>(0, std::min<int64_t>(max_tokens, max_generated_tokens - first)) :
                   0;
    }

    int64_t search_limit() const { return max_generated_tokens - restart_limit() - repair_limit(); }
};

struct search_models {
    decoder &                       model;
    const std::vector<constraint> & constraints;
    guard_session *                 session;
    critic *                        judge;  // null: not needed
};

// A response without tokens: its prefill, and what that costs.
inline response begin_response(const search_models & models) {
    response                 begun;
    const response_prefill & prefill = models.session->prefill();
    begun.text                       = prefill.text;
    begun.end.bytes                  = prefill.end;
    begun.residual.n_begun           = prefill.tokens.size();
    begun.paid = ledger(models.constraints, models.session->starts(), models.session->prefill_costs());
    return begun;
}

// The part of the prompt that the prefix cache may have: all but a prefill whose residual stream is read.
inline std::vector<token_id> reusable_part(const search_models &         models,
                                           const search_options &        options,
                                           const std::vector<token_id> & prompt) {
    const size_t n_read = models.model.n_residual() > 0 ? models.session->prefill().tokens.size() : 0;
    const size_t n      = options.caches_prompt ? prompt.size() - n_read : 0;
    return { prompt.begin(), prompt.begin() + std::ptrdiff_t(n) };
}

enum search_outcome {
    OUTCOME_SAFE,
    OUTCOME_STEERED,
    OUTCOME_TRUNCATED,
    OUTCOME_REPAIRED,
    OUTCOME_REFUSED,
    OUTCOME_UNGUARDED,
};

struct search_timings {  // milliseconds
    double prefill = 0;
    double decode  = 0;
    double cost    = 0;  // cost and reward models
    double critic  = 0;
    double total   = 0;
};

struct rejected_text {
    std::string  text;
    residual_sum residual;
};

struct search_result {
    search_outcome                   outcome = OUTCOME_REFUSED;
    std::string                      text;            // with the prefill
    std::vector<token_id>            tokens;          // that spell the text, without the end-of-generation token
    token_id                         end_token = -1;  // that ended the turn; -1: none
    finish_reason                    finish    = FINISH_NONE;
    std::vector<double>              cost;            // [constraint]
    std::vector<std::vector<double>> z;               // [constraint][token + 1]
    std::vector<critic_note>         notes;
    double                           reward              = 0;
    bool                             has_reward          = false;
    double                           mean_log_likelihood = 0;
    std::vector<double>              log_likelihoods;   // of each token, then of the end-of-generation token
    int64_t                          n_generated  = 0;
    int32_t                          n_reused     = 0;  // prompt tokens from the prefix cache
    cell_use                         cells        = { 0, 0 };
    int64_t                          n_rounds     = 0;
    int64_t                          n_backtracks = 0;
    residual_sum                     residual;        // what the cost models read of the answer's residual stream
    rejected_text                    first_rejected;  // the first rejected candidate; empty text: none
    std::vector<trace_node>          trace;
    search_timings                   timings;
};

using commit_function = std::function<void(const std::string & text)>;

search_result search(const search_models &         models,
                     const std::vector<token_id> & prompt,
                     const search_options &        options,
                     const cancel_flag &           cancel,
                     const commit_function &       commit);

}  // namespace ig
