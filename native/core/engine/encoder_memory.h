// encoder_memory.h owns the encoder's prefix cache: for each prompt a tree of stretches of tokens, so that texts with a
// common prefix share its states. Each stretch continues another one from some place in it. The least recently used
// goes first.
#pragma once

#include "ggml.h"

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

namespace ig {

// Tokens that were read at once. A tree's first stretch holds a prompt.
struct stretch {
    stretch *            parent      = nullptr;  // null: the first of its tree
    size_t               n_of_parent = 0;        // number of the parent's tokens that precede these
    size_t               position    = 0;        // of the first token
    std::vector<int32_t> tokens;
    uint64_t             last_use = 0;

    std::vector<ggml_fp16_t> states;  // [kinds, tokens, width]
    std::vector<float>       sums;    // over the response up to each token, [tokens, members, width]
    std::vector<float>       said;    // output of the heads at the last token, [members, outputs]; empty: not computed

    std::vector<std::unique_ptr<stretch>> children;

    // in the current pass: first of its rows of states
    size_t row    = 0;
    size_t n_rows = 0;

    size_t end() const { return position + tokens.size(); }

    const stretch & prompt() const { return parent != nullptr ? parent->prompt() : *this; }
};

// after the first n tokens of a stretch
struct place {
    stretch * in;
    size_t    n;
};

class encoder_memory {
  public:
    explicit encoder_memory(size_t most_tokens) : most_tokens(most_tokens) {}

    // The tree of a prompt. A new tree is one stretch without states.
    stretch & tree_of(const std::vector<int32_t> & prompt);

    // The end of the longest prefix of the response in the tree. It is marked as used.
    place longest_beginning(stretch & tree, const std::vector<int32_t> & response);

    // Adds tokens after a place, without states.
    stretch & add(const place & behind, std::vector<int32_t> tokens);

    // Drops the least recently used until the size limit is met.
    void shrink();

    void clear();

    // Advances the clock: later uses count as more recent.
    void tick() { ++clock; }

  private:
    const size_t                        most_tokens;
    size_t                              n_tokens = 0;
    uint64_t                            clock    = 0;
    std::list<std::unique_ptr<stretch>> trees;

    void      use(stretch & s);
    void      remove(const stretch & leaf);
    stretch * oldest_leaf() const;
};

}  // namespace ig
