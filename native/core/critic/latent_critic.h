// latent_critic.h owns a trained critic at inference. It reads the file, standardises the features, and judges all
// states of a block in one batch, on the model's backend or inside the model's own graph. pSafe is the mean over the
// members; its spread is their standard deviation.
#pragma once

#include "critic/critic.h"
#include "critic/features.h"
#include "critic/network.h"
#include "engine/graph_critic.h"

#include <mutex>

namespace ig {

// everything in a critic's file that inference needs
struct critic_weights {
    feature_shape                   features;
    network_shape                   net;
    std::vector<int32_t>            layers;        // after which the residual stream is read
    std::vector<float>              mean, scale;   // of the features: x becomes (x - mean) / scale
    double                          value_mean = 0, value_scale = 1;
    std::vector<double>             budget_scale;  // per constraint: the unit of z
    std::vector<std::vector<float>> tensors;       // in the order of network_tensors
};

// the model and the constraints that a critic is used with
struct critic_surroundings {
    int32_t n_embd;
    int32_t n_stream;
    int32_t n_vocab;
    size_t  n_constraints;
};

// Reads a critic's file; throws INVALID_CRITIC.
critic_weights load_critic(const std::string & path);

class latent_critic : public critic,
                      public graph_critic {
  public:
    // `places` of its layers among the layers that are read. Throws CRITIC_MISMATCH if the critic's inputs do not fit
    // this model and these constraints.
    latent_critic(critic_weights              weights,
                  std::vector<size_t>         places,
                  const critic_surroundings & around,
                  ggml_backend_dev_t          device);

    std::vector<float>         keep(const float * hidden, const float * logits, size_t n_vocab) const override;
    void                       append_inputs(const critic_input & input, std::vector<float> & out) const override;
    std::vector<critic_output> judge(const std::vector<critic_input> & inputs, const cancel_flag & cancel) override;
    std::vector<float>         ascend(const std::vector<critic_input> & inputs,
                                      const ascent_options &            options,
                                      const cancel_flag &               cancel) override;

    int32_t n_top() const override { return weights.features.groups.logits ? int32_t(n_top_tokens()) : 0; }

    int32_t n_critic_inputs() const override { return weights.features.size() - int32_t(n_of_output()); }

    int32_t n_critic_outputs() const override { return weights.net.n_members * int32_t(n_heads); }

    ggml_tensor * build(ggml_context * ctx, const graph_latents & latents) const override;

  private:
    critic_weights      weights;
    std::vector<size_t> places;
    ggml_backend_ptr    backend;
    network             net;
    network_runner      runner;
    ggml_context_ptr    scales;  // 1 / scale and -mean / scale of the features from the model's outputs, on the device
    ggml_backend_buffer_ptr scales_buffer;
    ggml_tensor *           factor;  // [n_of_output]
    ggml_tensor *           offset;
    std::mutex              one_at_a_time;

    // on the CPU: backends of GPUs lack operations of the backward pass
    struct climber {
        ggml_backend_ptr backend;
        network          net;

        explicit climber(const critic_weights & weights);
    };

    std::unique_ptr<climber> climbs;  // created on first use

    size_t n_top_tokens() const { return size_t(weights.features.n_summary) - n_summary_beside_top_k; }

    // the first features come from the model's outputs: hidden state, top log-probabilities, entropy
    size_t n_of_output() const {
        return (weights.features.groups.hidden ? size_t(weights.features.n_embd) : 0) +
               (weights.features.groups.logits ? n_top_tokens() + 1 : 0);
    }

    void               make_scales();
    std::vector<float> standardised(const std::vector<critic_input> & inputs) const;  // [inputs, features]
};

// the members' outputs combined
critic_output combine_members(const network_output & out, size_t row, double value_mean, double value_scale);

}  // namespace ig
