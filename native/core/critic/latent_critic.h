// latent_critic.h owns a trained critic at work: it reads the file, standardises the features, and judges all states of a
// block in one batch on the model's backend. pSafe is the mean over the members, its spread their standard deviation.
#pragma once

#include "critic/critic.h"
#include "critic/features.h"
#include "critic/network.h"

namespace ig {

// everything in a critic's file that inference needs
struct critic_weights {
    feature_shape                   features;
    network_shape                   net;
    std::vector<float>              mean, scale; // of the features: x becomes (x - mean) / scale
    double                          value_mean = 0, value_scale = 1;
    std::vector<double>             budget_scale; // per constraint: the unit of z
    std::vector<std::vector<float>> tensors; // in the order of network_tensors
};

// Reads a critic's file; throws INVALID_CRITIC.
critic_weights load_critic(const std::string & path);

class latent_critic : public critic {
  public:
    // Throws CRITIC_MISMATCH where the critic's inputs are not this model's and these constraints'.
    latent_critic(critic_weights weights, int32_t n_embd, int32_t n_vocab, size_t n_constraints, ggml_backend_dev_t device);

    void begin(int32_t max_tokens) override { this->max_tokens = max_tokens; }

    std::vector<critic_output> judge(const std::vector<critic_input> & inputs) override;
    std::vector<float>         ascend(const std::vector<critic_input> & inputs, const ascent_options & options,
                                      const cancel_flag & cancel) override;

  private:
    critic_weights   weights;
    ggml_backend_ptr backend;
    network          net;
    network_runner   runner;
    int32_t          max_tokens = 1;

    // on the CPU: backends of GPUs lack operations of the backward pass
    struct climber {
        ggml_backend_ptr backend;
        network          net;

        explicit climber(const critic_weights & weights);
    };
    std::unique_ptr<climber> climbs; // once it was asked for

    std::vector<float> standardised(const std::vector<critic_input> & inputs) const; // [inputs, features]
};

// what the members' heads say together
critic_output combine_members(const network_output & out, size_t row, double value_mean, double value_scale);

}
