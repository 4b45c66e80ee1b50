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

}  // namespace ig
