#include "search/sequence_plan.h"

namespace ig {

namespace {

// for the prompt, the beams and a block that does not widen
int32_t least_sequences(const search_options & options) {
    return 1 + options.n_beams + std::min(options.n_start, options.n_candidates);
}

// The maximum number of rounds of a block.
int64_t n_rounds(const search_options & options) {
    int64_t n = 1 + options.n_retries;
    for (int64_t width = options.n_start; width < options.n_candidates; width *= options.growth) {
        ++n;
    }
    return n;
}

}  // namespace

sequence_plan::sequence_plan(const search_options & options, int32_t max_sequences) :
    options(options),
    n_own(std::min(max_sequences, least_sequences(options))),
    n_more(std::min(max_sequences - n_own, std::max(0, options.n_candidates - options.n_start))),
    has_all(n_own == least_sequences(options)) {
    pool.allow(n_own);
}

kv_plan sequence_plan::reservation(size_t n_prompt) const {
    const int64_t live_beams      = std::min(options.n_beams, n_own - 1);
    const int64_t live_candidates = std::min({ options.n_start, options.n_candidates, n_own - 1 });
    const int64_t block           = std::min(options.block_length, options.max_tokens);
    // Each round may decode the end of each beam, or of the prompt, again to sample other first tokens. Existing
    // children keep the old cell.
    const int64_t n_read_again    = n_rounds(options) * (live_beams + 1);
    const int64_t n_cells =
        int64_t(n_prompt) + live_beams * options.max_tokens + live_candidates * block + n_read_again;
    return { n_own, n_cells, n_more, block };
}

bool sequence_plan::fits(const std::vector<path *> & parents, size_t n) const {
    const auto homeless = std::count_if(parents.begin(), parents.end(), [](const path * p) { return p->seq < 0; });
    return pool.n_free() >= n + size_t(homeless);
}

std::vector<size_t> sequence_plan::waves(const std::vector<const path *> & parents) const {
    std::vector<size_t> sizes(1, 0);
    size_t              used = 0;
    for (size_t i = 0; i < parents.size(); ++i) {
        const size_t for_parent = parents[i]->seq < 0 ? 1 : 0;
        const bool   is_new     = i == 0 || parents[i] != parents[i - 1];
        const size_t more       = 1 + (is_new ? for_parent : 0);
        const bool   is_full    = used + more > pool.n_free();
        if (is_full) {
            sizes.push_back(0);
        }
        used = is_full ? 1 + for_parent : used + more;
        ++sizes.back();
    }
    return sizes;
}

}  // namespace ig
