// kv_plan.h owns the units of KV allocation: budgets of sequences and cells, and the plan of a search.
#pragma once

#include <algorithm>
#include <cstdint>

namespace ig {

struct kv_budget {
    int32_t n_sequences = 0;
    int64_t n_cells     = 0;  // one per token

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
    int32_t n_sequences;     // reserved for the whole search
    int64_t n_cells;         // for them
    int32_t n_more     = 0;  // sequences that it may request in addition
    int64_t cells_each = 0;  // for each of these

    // with n additional sequences
    kv_budget widened_by(int32_t n) const { return { n_sequences + n, n_cells + n * cells_each }; }
};

}  // namespace ig
