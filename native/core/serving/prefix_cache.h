// prefix_cache.h owns which sequences of a decoder are kept of finished searches, so that a prompt that begins with their tokens need
// not be read again. It holds no cells itself: whoever removes a sequence here drops it in the decoder. The longest unused goes first.
#pragma once

#include "serving/decoder.h"

#include <optional>

namespace ig {

class prefix_cache {
  public:
    static constexpr size_t max_entries = 4;

    // the beginning of a prompt that a kept sequence holds
    struct match {
        seq_id  source   = -1;     // -1: none does
        int32_t n_tokens = 0;
        bool    whole    = false;  // all that the sequence holds
    };

    // The longest one, without the prompt's last token: its output is needed, so it is decoded in any case. Where sequences cannot be
    // cut, only whole ones match. What is found counts as used last.
    match find(const std::vector<token_id> & prompt, bool can_cut);

    // The borrower's own sequence shares these tokens, until it gives them back.
    void lend(const match & found, const void * borrower);
    void give_back(const void * borrower);

    // Returns the sequences that give way: those that the new one begins with, and the longest unused where there are too many.
    std::vector<seq_id> keep(seq_id seq, std::vector<token_id> tokens);

    // the longest unused; none where nothing is kept
    std::optional<seq_id> remove_oldest();

    void clear() { entries.clear(); }

    size_t size() const { return entries.size(); }

    // Cells that are held by nobody else, also where somebody borrows this match.
    int64_t n_own_cells(const match & lent) const;

  private:
    struct loan {
        const void * borrower;
        int32_t      n_tokens;
    };

    struct entry {
        seq_id                seq;
        std::vector<token_id> tokens;
        std::vector<loan>     loans;
    };

    std::vector<entry> entries;  // the longest unused first
};

}  // namespace ig
