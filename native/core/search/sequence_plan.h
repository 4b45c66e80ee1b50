// sequence_plan.h owns the sequences and KV cells of a search: what it reserves before it begins, which ids are free,
// and the waves in which candidates grow if there are more of them than sequences.
#pragma once

#include "search/search.h"
#include "serving/sequence_pool.h"

namespace ig {

class sequence_plan {
  public:
    sequence_plan(const search_options & options, int32_t max_sequences);

    kv_plan reservation(size_t n_prompt) const;

    // Whether finished beams may keep their sequences.
    bool keeps_finished() const { return has_all; }

    // The number of sequences that a block of `width` candidates needs in addition to the reserved ones.
    int32_t n_wider_for(size_t width) const { return std::min(n_more, std::max(0, int32_t(width) - options.n_start)); }

    void set_wider(int32_t n) { pool.allow(n_own + n); }

    seq_id take() { return pool.take(); }

    void give_back(seq_id seq) { pool.give_back(seq); }

    // Whether n candidates find free sequences besides those that are held.
    bool fits(const std::vector<path *> & parents, size_t n) const;

    // The number of candidates in each wave, in their order. `parents` has the parent of each candidate. A wave needs a
    // sequence per candidate, and one per parent without a sequence.
    std::vector<size_t> waves(const std::vector<const path *> & parents) const;

  private:
    const search_options & options;
    int32_t                n_own;      // sequences for the whole search
    int32_t                n_more;     // sequences that it may request in addition
    bool                   has_all;    // all of its own sequences are reserved
    sequence_pool          pool{ 1 };  // 0 stays with the prompt
};

}  // namespace ig
