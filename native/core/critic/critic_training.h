// critic_training.h owns the training of a critic on rollouts (paper, section 4): AdamW through ggml-opt, binary
// cross-entropy for pSafe and squared error for the standardised value. In every epoch each example gets a new initial
// budget that the text can still meet, so that one set of rollouts trains for a range of budgets (Sauté RL). The
// members train on bootstrap samples of the prompts. The weights with the lowest validation loss are kept, and pSafe is
// calibrated on the validation split. The same data, seed and number of threads give the same weights.
#pragma once

#include "critic/latent_critic.h"
#include "critic/rollout_record.h"
#include "safety/safety_state.h"
#include "support/cancel.h"
#include "support/epoch.h"

namespace ig {

enum rollout_split : uint8_t { SPLIT_TRAIN, SPLIT_VALIDATION, SPLIT_TEST };

struct budget_range {
    double lowest;
    double highest;
};

struct critic_training_options {
    rollout_shape             shape;
    feature_groups            inputs;
    int32_t                   n_stream = 0;  // width of the residual stream; the rollouts keep its means
    std::vector<budget_terms> terms;         // per constraint: the budget of the report, the discount and the criterion
    std::vector<budget_range>
                         budgets;  // per constraint: the range to draw from; empty: the costs of the training responses
    std::vector<uint8_t> splits;   // rollout_split of every prompt
    int32_t              max_tokens    = 128;  // T of the rollouts
    int32_t              n_layers      = 1;
    int32_t              width         = 256;
    int32_t              n_members     = 4;
    int32_t              max_epochs    = 30;
    int32_t              batch_size    = 256;
    double               learning_rate = 1e-3;
    double               weight_decay  = 0.01;
    uint64_t             seed          = 0;
    int32_t              n_threads     = 1;
    ggml_backend_dev_t   device        = nullptr;  // null: the CPU
};

// the critic's prediction for one state of the test split, and the outcome
struct critic_prediction {
    int32_t prompt;
    int32_t response;
    int32_t position;  // response tokens
    bool    feasible;  // so far, under the reported budgets
    bool    safe;      // the response ended within them
    float   p_safe;
    float   value;
    float   true_value;
    float   cost_share;          // cost so far as a share of the budget; the largest of all constraints
    float   partial_cost_share;  // the same for the whole-text cost models' score of the text so far
};

struct critic_training {
    critic_weights                 weights;
    std::vector<budget_range>      budgets;              // per constraint: the range that was drawn from
    std::vector<critic_prediction> predictions;          // on the test split
    int64_t                        n_examples      = 0;  // in the training split
    int32_t                        n_epochs        = 0;  // until the lowest validation loss
    double                         validation_loss = 0;
};

critic_training train_critic(const std::vector<rollout> &    rollouts,
                             const critic_training_options & options,
                             const cancel_flag &             cancel,
                             const epoch_function &          on_epoch);

}  // namespace ig
