// block.h owns the bookkeeping of a block of candidates: whose child each is, what it draws with, which of the first tokens at its parent's
// end it takes, how long all of them may get, and which have come to the end of the block. It decodes nothing.
#pragma once

#include "search/search.h"
#include "search/token_sampler.h"

namespace ig {

using rejected_tokens = std::vector<token_counts>;  // per position of the block

struct block_spec {
    std::vector<path *>     parents;   // the candidates are spread evenly on top of them
    size_t                  n;         // candidates
    int32_t                 length;    // of the block
    const rejected_tokens & rejected;  // what they avoid; empty in the first round
    uint64_t                stream;    // random numbers of candidate i: (stream, first + i)
    uint64_t                first = 0;
};

// how many tokens may be sampled
struct token_limit {
    int64_t plain;         // by a candidate that is what plain sampling gives
    int64_t beside_plain;  // by all others
};

struct candidate {
    path * parent;
    path   text;
    bool   last;  // of its siblings
};

// Whether a response may get another token.
bool may_grow(const response & r, const search_options & options);

class block {
  public:
    // Where parents have too few first tokens left, they forget them, to be sampled anew.
    block(const block_spec & spec, const search_options & options, size_t n_vocab);

    std::vector<candidate> candidates;

    int32_t wanted_length() const { return wanted; }

    // The same for all candidates, as far as the limit goes for all of them: what plain sampling gives is not cut off for the others.
    int32_t affordable_length(const token_limit & limit) const;

    // What a candidate begins with.
    sampled_token take_first(candidate & c) const;

    // Whether it came to the end of the block, or may not get there.
    bool is_complete(const candidate & c) const;

  private:
    const search_options & options;
    int32_t                wanted;

    void make_children(const block_spec & spec, size_t n_vocab);
    void refresh_next_tokens(path & parent, size_t share, bool penalised) const;
};

}  // namespace ig
