// latent_view.h owns how a path becomes what a critic reads.
#pragma once

#include "search/search.h"

namespace ig {

// `kept` is what the critic keeps of the output at the last token; null where only what it reads beside that is wanted.
inline critic_input latent_view(const search_models &      models,
                                const search_options &     options,
                                const response &           r,
                                const std::vector<float> * kept,
                                bool                       judged) {
    std::vector<double> z;
    for (size_t c = 0; c < models.constraints.size(); ++c) {
        z.push_back(r.paid.z(c));
    }
    const double before = r.ends.size() >= 2 ? r.ends[r.ends.size() - 2].log_likelihood : 0;
    return { kept, judged, r.log_likelihood - before, std::move(z), r.view(), options.max_tokens };
}

// What the critic keeps of the output of item i of n, followed by what it reads beside that: `beside` has as many values for each item.
inline std::vector<float> kept_output(const search_models &      models,
                                      const float *              hidden,
                                      const float *              logits,
                                      const std::vector<float> & beside,
                                      size_t                     i,
                                      size_t                     n) {
    std::vector<float> kept     = models.judge->keep(hidden, logits, size_t(models.model.n_vocab()));
    const size_t       n_beside = beside.size() / n;
    const auto         begin    = beside.begin() + std::ptrdiff_t(i * n_beside);
    kept.insert(kept.end(), begin, begin + std::ptrdiff_t(n_beside));
    return kept;
}

}  // namespace ig
