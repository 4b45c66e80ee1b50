// kv_plan.h owns the units in which a KV cache is shared out: budgets of sequences and cells, and what a search plans to hold.
#pragma once

#include <algorithm>
#include <cstdint>

namespace ig {

struct kv_budget {
    int32_t n_sequences = 0;
    int64_t n_cells     = 0;  // of one token each

    kv_budget operator+(const kv_budget & other) const {
        return { n_sequences + other.n_sequences, n_cells + other.n_cells };
    }

    kv_budget operator-(const kv_budget & other) const {
        return { n_sequences - other.n_sequences, n_cells - other.n_cells };
    }

    bool operator==(const kv_budget & other) const {
        return n_sequences == other.n_sequences && n_cells == other.n_cells;
    }

    bool fits_into(const kv_budget & other) const {
        return n_sequences <= other.n_sequences && n_cells <= other.n_cells;
    }
};

inline kv_budget larger_of(const kv_budget & a, const kv_budget & b) {
    return { std::max(a.n_sequences, b.n_sequences), std::max(a.n_cells, b.n_cells) };
}

// what a search plans to hold
struct kv_plan {
    int32_t n_sequences;     // that are its own from beginning to end
    int64_t n_cells;         // for them
    int32_t n_more     = 0;  // sequences that it may ask for in addition
    int64_t cells_each = 0;  // for each of these

    // with n of the additional sequences
    kv_budget widened_by(int32_t n) const { return { n_sequences + n, n_cells + n * cells_each }; }
};

}  // namespace ig
