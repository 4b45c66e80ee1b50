// sequence_pool.h owns the free ids of sequences. It hands out the lowest first, and never more at a time than allowed.
#pragma once

#include "serving/decoder.h"
#include "support/error.h"

namespace ig {

class sequence_pool {
  public:
    // The first n_fixed ids are never handed out.
    explicit sequence_pool(size_t n_fixed = 0) : taken(n_fixed, true), n_allowed(n_fixed) {}

    // Sets how many may be taken at once, including the fixed ones.
    void allow(int32_t n) { n_allowed = size_t(n); }

    seq_id take() {
        if (n_free() == 0) {
            throw error("INTERNAL", "more sequences are needed than are allowed");
        }
        const size_t seq = size_t(std::find(taken.begin(), taken.end(), false) - taken.begin());
        taken.resize(std::max(taken.size(), seq + 1));
        taken[seq] = true;
        return seq_id(seq);
    }

    void give_back(seq_id seq) { taken[seq] = false; }

    size_t n_free() const {
        const size_t n_taken = size_t(std::count(taken.begin(), taken.end(), true));
        return n_allowed > n_taken ? n_allowed - n_taken : 0;
    }

  private:
    std::vector<bool> taken;
    size_t            n_allowed;
};

}  // namespace ig
