// encoder_memory.h owns what an encoder has read: for each prompt a tree of stretches of tokens, each behind a place in another one, so
// that texts which begin alike share what was read of their beginning. What was not used for longest goes first.
#pragma once

#include "ggml.h"

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

namespace ig {

// Tokens that were read at once; the first of a tree holds a prompt.
struct stretch {
    stretch *            parent      = nullptr;  // null: the first of its tree
    size_t               n_of_parent = 0;        // tokens of the parent that these stand behind
    size_t               position    = 0;        // of the first token
    std::vector<int32_t> tokens;
    uint64_t             last_use = 0;

    std::vector<ggml_fp16_t> states;  // [kinds, tokens, width]
    std::vector<float>       sums;    // over a response up to each token, [tokens, members, width]
    std::vector<float>       said;  // by the heads at the last token, [members, outputs]; empty: it is still to be read

    std::vector<std::unique_ptr<stretch>> children;

    // of the pass at work: the rows of states that its first tokens take
    size_t row    = 0;
    size_t n_rows = 0;

    size_t end() const { return position + tokens.size(); }

    const stretch & prompt() const { return parent != nullptr ? parent->prompt() : *this; }
};

// behind the first n tokens of a stretch
struct place {
    stretch * in;
    size_t    n;
};

class encoder_memory {
  public:
    explicit encoder_memory(size_t most_tokens) : most_tokens(most_tokens) {}

    // The tree of a prompt; a new one is a stretch without states.
    stretch & tree_of(const std::vector<int32_t> & prompt);

    // Where the longest beginning of a response ends that is held; marks it as used.
    place longest_beginning(stretch & tree, const std::vector<int32_t> & response);

    // Tokens behind a place, without states.
    stretch & add(const place & behind, std::vector<int32_t> tokens);

    // Drops what was not used for longest, until no more is held than may be.
    void shrink();

    void clear();

    // A moment begins: what is used from now on was used later than what was used before.
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
