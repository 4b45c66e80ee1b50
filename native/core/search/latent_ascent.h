// latent_ascent.h owns RE-Control (Kong et al. 2024). Gradient steps move hidden states uphill through the critic, and
// tokens are drawn from the resulting logits. Likelihoods stay the base model's. The reader of a step's rows is not
// affected.
#pragma once

#include "search/search.h"
#include "search/token_sampler.h"

namespace ig {

// reads the output of one item of a step
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

    // Decodes a step of these items, the ends of their owners, and reads its rows one by one. `critic_inputs` is what
    // the critic reads of each item besides its output.
    void step(const std::vector<decode_item> & items,
              const std::vector<path *> &      owners,
              const std::vector<float> &       critic_inputs,
              const row_reader &               read) const;

  private:
    const search_models &  models;
    const search_options & options;
    const cancel_flag &    cancel;
    search_timings &       timings;

    // the model's output for one item
    struct output {
        std::vector<float> hidden;
        std::vector<float> logits;
    };

    std::vector<float> propose(const std::vector<path *> & owners,
                               const std::vector<output> & outputs,
                               const std::vector<float> &  critic_inputs) const;
};

}  // namespace ig
