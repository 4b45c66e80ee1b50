// block.h owns the bookkeeping of one block of candidates: the parent of each, its random stream, its first token, its
// maximum length, and whether it is complete. It decodes nothing.
#pragma once

#include "search/search.h"
#include "search/token_sampler.h"

namespace ig {

using rejected_tokens = std::vector<token_counts>;  // per position of the block

struct block_spec {
    std::vector<path *>     parents;   // candidates are spread evenly over them
    size_t                  n;         // candidates
    int32_t                 length;    // of the block
    const rejected_tokens & rejected;  // tokens that they avoid; empty in the first round
    uint64_t                stream;    // random numbers of candidate i: (stream, first + i)
    uint64_t                first = 0;
};

// how many tokens may be sampled
struct token_limit {
    int64_t plain;         // by the candidate that is plain sampling's response
    int64_t beside_plain;  // by all the others
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
    // Parents with too few first tokens left drop them, so that they are sampled anew.
    block(const block_spec & spec, const search_options & options, size_t n_vocab);

    std::vector<candidate> candidates;

    int32_t wanted_length() const { return wanted; }

    // The length that the limit allows all candidates. Plain sampling's candidate is not cut short for the sake of the
    // others.
    int32_t affordable_length(const token_limit & limit) const;

    // The candidate's first token.
    sampled_token take_first(candidate & c) const;

    // Whether the candidate reached the end of the block, or may not grow that far.
    bool is_complete(const candidate & c) const;

  private:
    const search_options & options;
    int32_t                wanted;

    void make_children(const block_spec & spec, size_t n_vocab);
    void refresh_next_tokens(path & parent, size_t share, bool penalised) const;
};

}  // namespace ig
