// sequence_plan.h owns which sequences and KV cells a search needs: what it reserves before it begins, which ids it has in hand, and in
// which waves candidates grow that are more than those.
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

    // How many sequences a block of so many candidates wants in addition to those that are reserved.
    int32_t n_wider_for(size_t width) const { return std::min(n_more, std::max(0, int32_t(width) - options.n_start)); }

    void set_wider(int32_t n) { pool.allow(n_own + n); }

    seq_id take() { return pool.take(); }

    void give_back(seq_id seq) { pool.give_back(seq); }

    // Whether n candidates find sequences in addition to those that are held.
    bool fits(const std::vector<path *> & parents, size_t n) const;

    // How many candidates grow in each wave, in their order; `parents` has the parent of each. A wave needs a sequence for each of its
    // candidates and for each of their parents that has none of its own.
    std::vector<size_t> waves(const std::vector<const path *> & parents) const;

  private:
    const search_options & options;
    int32_t                n_own;      // sequences from beginning to end
    int32_t                n_more;     // that may be asked for in addition
    bool                   has_all;    // of its own sequences
    sequence_pool          pool{ 1 };  // 0 stays with the prompt
};

}  // namespace ig
