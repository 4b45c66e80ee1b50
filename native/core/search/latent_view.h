// latent_view.h owns the conversion of a path to the critic's input.
#pragma once

#include "search/search.h"

namespace ig {

// `kept` is the part of the last token's output that the critic keeps; null if the caller needs only the other inputs.
inline critic_input latent_view(const search_models &      models,
                                const search_options &     options,
                                const response &           r,
                                const std::vector<float> * kept,
                                bool                       from_device) {
    const double before = r.ends.size() >= 2 ? r.ends[r.ends.size() - 2].log_likelihood : 0;
    return { kept, from_device, r.log_likelihood - before, &r.paid, r.view(), options.max_tokens };
}

// The part of the output of item i of n that the critic keeps, followed by its other inputs. `critic_inputs` has the
// same number of values for each item.
inline std::vector<float> kept_output(const search_models &      models,
                                      const float *              hidden,
                                      const float *              logits,
                                      const std::vector<float> & critic_inputs,
                                      size_t                     i,
                                      size_t                     n) {
    std::vector<float> kept     = models.judge->keep(hidden, logits, size_t(models.model.n_vocab()));
    const size_t       n_inputs = critic_inputs.size() / n;
    const auto         begin    = critic_inputs.begin() + std::ptrdiff_t(i * n_inputs);
    kept.insert(kept.end(), begin, begin + std::ptrdiff_t(n_inputs));
    return kept;
}

}  // namespace ig
