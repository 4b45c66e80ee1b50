// prefix_cache.h owns the list of sequences kept in a KV cache, with their tokens, so that a text with the same prefix
// need not be processed again. It holds no cells itself: whoever removes an entry here drops its sequence. Eviction is
// least recently used first.
#pragma once

#include "serving/decoder.h"

#include <optional>

namespace ig {

class prefix_cache {
  public:
    explicit prefix_cache(size_t max_entries) : max_entries(max_entries) {}

    // the prefix of a text that an entry holds
    struct match {
        seq_id  source   = -1;     // -1: no entry
        int32_t n_tokens = 0;
        bool    whole    = false;  // the whole entry
    };

    // The longest match, of at most `most` tokens of the text. If sequences cannot be cut, only whole entries match. A
    // match counts as a use.
    match find(const std::vector<token_id> & text, size_t most, bool can_cut);

    // Whether an entry begins with these tokens.
    bool covers(const std::vector<token_id> & tokens) const;

    // The holder's own sequence shares these tokens until its leases end.
    void lease(const match & found, const void * holder);
    void end_leases(const void * holder);

    // Adds an entry. Returns the evicted sequences: prefixes of the new entry, and the least recently used if there are
    // too many.
    std::vector<seq_id> keep(seq_id seq, std::vector<token_id> tokens);

    // the least recently used; none if the cache is empty
    std::optional<seq_id> remove_oldest();

    void clear() { entries.clear(); }

    size_t size() const { return entries.size(); }

    // Cells that nobody else holds, also after a lease of this match.
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
    std::vector<entry> entries;  // the least recently used first

    std::vector<entry>::iterator entry_of(seq_id seq);
};

}  // namespace ig
