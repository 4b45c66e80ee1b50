// graph_critic.h owns the interface of a critic that runs inside the model's own graph, on the model's device.
#pragma once

#include <cstdint>

struct ggml_context;
struct ggml_tensor;

namespace ig {

const double least_log_p = -100;  // of a token that the model excludes

// a step's rows in the graph
struct graph_latents {
    ggml_tensor * hidden;         // [n_embd, n]
    ggml_tensor * top_log_p;      // [n_top, n] log-probabilities of the most probable tokens, in order
    ggml_tensor * entropy;        // [1, n]
    ggml_tensor * critic_inputs;  // [n_critic_inputs, n] from the host; null if there are none
};

class graph_critic {
  public:
    virtual ~graph_critic() = default;

    virtual int32_t n_top() const            = 0;  // 0: the critic reads no logits
    virtual int32_t n_critic_inputs() const  = 0;
    virtual int32_t n_critic_outputs() const = 0;

    virtual ggml_tensor * build(ggml_context * ctx, const graph_latents & latents) const = 0;  // [n_critic_outputs, n]
};

}  // namespace ig
