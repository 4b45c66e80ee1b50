// prefix_cache.h owns which sequences of a KV cache are kept, with their tokens, so that a text that begins with the same tokens need not
// be read again. It holds no cells itself: whoever removes an entry here drops its sequence. The longest unused entry goes first.
#pragma once

#include "serving/decoder.h"

#include <optional>

namespace ig {

class prefix_cache {
  public:
    explicit prefix_cache(size_t max_entries) : max_entries(max_entries) {}

    // the beginning of a text that an entry holds
    struct match {
        seq_id  source   = -1;     // -1: none does
        int32_t n_tokens = 0;
        bool    whole    = false;  // all that the entry holds
    };

    // The longest one, of at most so many tokens of the text. Where sequences cannot be cut, only whole entries match. What is found counts
    // as used last.
    match find(const std::vector<token_id> & text, size_t most, bool can_cut);

    // Whether an entry begins with these tokens.
    bool covers(const std::vector<token_id> & tokens) const;

    // The holder's own sequence shares these tokens, until its leases end.
    void lease(const match & found, const void * holder);
    void end_leases(const void * holder);

    // Returns the sequences that give way: those that the new one begins with, and the longest unused where there are too many.
    std::vector<seq_id> keep(seq_id seq, std::vector<token_id> tokens);

    // the longest unused; none where nothing is kept
    std::optional<seq_id> remove_oldest();

    void clear() { entries.clear(); }

    size_t size() const { return entries.size(); }

    // Cells that are held by nobody else, also where somebody leases this match.
    int64_t n_own_cells(const match & leased) const;

  private:
    struct lease_of_tokens {
        const void * holder;
        int32_t      n_tokens;
    };

    struct entry {
        seq_id                       seq;
        std::vector<token_id>        tokens;
        std::vector<lease_of_tokens> leases;
    };

    size_t             max_entries;
    std::vector<entry> entries;  // the longest unused first

    std::vector<entry>::iterator entry_of(seq_id seq);
};

}  // namespace ig
