// latent_ascent.h owns RE-Control (Kong et al. 2024): tokens are drawn from the logits of hidden states that gradient steps have moved
// uphill through the critic. Their likelihoods stay the base model's. What reads a step's rows knows nothing of it.
#pragma once

#include "search/search.h"
#include "search/token_sampler.h"

namespace ig {

// reads what a step gives for one of its items
using row_reader = std::function<void(size_t item, const row_source & source, const output_row & row)>;

class latent_ascent {
  public:
    latent_ascent(const search_models &  models,
                  const search_options & options,
                  const cancel_flag &    cancel,
                  search_timings &       timings) :
        models(models),
        options(options),
        cancel(cancel),
        timings(timings) {}

    // Takes a step of these items, the ends of their owners, and reads its rows one after the other. `critic_inputs` is what the critic reads of
    // each item in addition to its output.
    void step(const std::vector<decode_item> & items,
              const std::vector<path *> &      owners,
              const std::vector<float> &       critic_inputs,
              const row_reader &               read) const;

  private:
    const search_models &  models;
    const search_options & options;
    const cancel_flag &    cancel;
    search_timings &       timings;

    // what the model made of an item
    struct output {
        std::vector<float> hidden;
        std::vector<float> logits;
    };

    std::vector<float> propose(const std::vector<path *> & owners,
                               const std::vector<output> & outputs,
                               const std::vector<float> &  critic_inputs) const;
};

}  // namespace ig
