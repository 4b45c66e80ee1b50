// critic.h owns the critic's interface to the search. For each latent state a critic returns the probability that the
// base model's continuation ends within every budget, its spread, and the expected discounted reward. It keeps no state
// between calls, so several searches can share one.
#pragma once

#include "safety/ledger.h"
#include "support/cancel.h"

namespace ig {

struct critic_input {
    const std::vector<float> *
                   kept;         // of the output, by keep() and append_inputs(); or the critic's output from the device
    bool           from_device;  // the latter
    double         last_log_likelihood;  // of the token sampled last; 0 before the first
    const ledger * paid;                 // the safety state
    text_view      text;
    int32_t        max_tokens;           // of the longest response
};

struct critic_output {
    float p_safe;
    float p_safe_std;
    float value;
};

// gradient steps on the hidden state, uphill on value - lambda (1 - pSafe)
struct ascent_options {
    int32_t n_steps;
    double  step_size;
    double  lambda;
};

class critic {
  public:
    virtual ~critic() = default;

    // The part of an output that judge() needs. The values of append_inputs() follow it. hidden is [n_embd], logits
    // [n_vocab]. From any thread.
    virtual std::vector<float> keep(const float * hidden, const float * logits, size_t n_vocab) const = 0;

    // Appends the inputs that do not come from the model to `out`, before the step that computes the outputs. Every
    // input has the same number of values.
    virtual void append_inputs(const critic_input & input, std::vector<float> & out) const = 0;

    // Throws ABORTED.
    virtual std::vector<critic_output> judge(const std::vector<critic_input> & inputs, const cancel_flag & cancel) = 0;

    // The hidden states after the steps: [inputs, n_embd]. The critic's other inputs stay unchanged. Throws
    // CRITIC_MISMATCH if the critic reads no hidden state.
    virtual std::vector<float> ascend(const std::vector<critic_input> & inputs,
                                      const ascent_options &            options,
                                      const cancel_flag &               cancel) = 0;
};

}  // namespace ig
