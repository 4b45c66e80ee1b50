// residual_sum.h owns the running sum of the residual stream over a response, which yields its means.
#pragma once

#include <cstddef>
#include <vector>

namespace ig {

// the residual stream after chosen layers, summed over the first tokens of a response
struct residual_sum {
    std::vector<float> values;  // [layer, n_embd]; empty before the first token
    size_t             n_tokens = 0;

    void add(const float * row, size_t n) {
        values.resize(n, 0);
        for (size_t i = 0; i < n; ++i) {
            values[i] += row[i];
        }
        ++n_tokens;
    }

    // The mean of n values; zeros before the first token.
    std::vector<float> mean(size_t first, size_t n) const {
        std::vector<float> result(n, 0);
        for (size_t i = 0; i < n && n_tokens > 0; ++i) {
            result[i] = values[first + i] / float(n_tokens);
        }
        return result;
    }
};

}  // namespace ig
