// random_values.h owns the inputs of property tests: random values determined by a seed.
#pragma once

#include "safety/cost_model.h"
#include "support/random.h"

namespace ig {

inline int32_t draw_int(random_stream & random, int32_t least, int32_t most) {
    return least + int32_t(random.next() % uint64_t(most - least + 1));
}

inline bool draw_bool(random_stream & random) {
    return random.next() % 2 == 0;
}

template <typename T> T draw_of(random_stream & random, const std::vector<T> & choices) {
    return choices[size_t(draw_int(random, 0, int32_t(choices.size()) - 1))];
}

inline std::vector<token_id> random_tokens(random_stream & random, int32_t n, int32_t n_vocab) {
    std::vector<token_id> tokens;
    for (int32_t i = 0; i < n; ++i) {
        tokens.push_back(draw_int(random, 0, n_vocab - 1));
    }
    return tokens;
}

}  // namespace ig
