// kv_allocator.h owns the allocation of a decoder's KV cache: the sequences and cells reserved for each search, the ids
// of its sequences, and the prefix cache in the remaining space. The sum of the reservations never exceeds the
// decoder's size. All calls come from the owner's thread.
#pragma once

#include "serving/prefix_cache.h"
#include "serving/sequence_pool.h"

#include <utility>

namespace ig {

enum kv_change_kind { CHANGE_FORK, CHANGE_DROP, CHANGE_CUT, CHANGE_NARROW };

// a change that a search makes to its sequences between two requests
struct kv_change {
    kv_change_kind kind;
    seq_id         seq;
    seq_id         to;  // of a fork
    int32_t        n;   // tokens that remain after a cut; additional sequences that remain after narrowing
};

// the KV cells of one search
struct kv_holding {
    kv_plan                plan = { 0, 0 };
    kv_budget              reserved;      // empty before the first reservation
    int32_t                n_reused = 0;  // prompt tokens from the prefix cache
    std::vector<seq_id>    ids;           // the search's sequences in the decoder; -1: unused
    std::vector<kv_change> changes;       // applied before the next request
    bool                   lost = false;  // the decoder lost the sequences

    // Throws OUT_OF_MEMORY if they are lost.
    void check() const;
};

class kv_allocator {
  public:
    explicit kv_allocator(real_decoder & real);

    // Reserves the holding's plan and puts the prompt's match from the prefix cache into sequence 0. Returns false if
    // other holdings leave too little; throws KV_CAPACITY if there are no others. The decoder grows to fit the search
    // at its maximum width, so that a lone search never runs short later.
    bool reserve(kv_holding & h, const std::vector<token_id> & prompt);

    // Reserves n sequences besides the search's own, or as many as others leave. Returns their number.
    int32_t widen(kv_holding & h, int32_t n);

    void apply_changes(kv_holding & h);

    // The decoder's id of a sequence. It is assigned with the first token.
    seq_id id_of(kv_holding & h, seq_id seq);

    // Moves a sequence of a search that is over to the prefix cache.
    void keep(kv_holding & h, seq_id seq, std::vector<token_id> tokens);

    // Frees everything that a search held.
    void release(kv_holding & h);

    // Empties the prefix cache.
    void forget();

    // Whether a search has returned part of its reservation since the last call.
    bool was_narrowed() { return std::exchange(narrowed, false); }

    int64_t n_cells() const { return size.n_cells; }  // of the decoder

  private:
    real_decoder &            real;
    std::vector<kv_holding *> holdings;  // those with a reservation
    prefix_cache              prefixes;
    sequence_pool             pool;      // ids
    kv_budget                 size;      // of the decoder
    std::optional<kv_budget>  refused;   // size that was refused since a search last ended
    bool                      narrowed = false;
    std::vector<kv_change>    applied;

    kv_budget reserved_by_others(const kv_holding & h) const;
    bool      provide(const std::function<kv_budget()> & needed);
    void      grow_to(const kv_budget & needed);
    void      resize(const kv_budget & larger);
    void      lose_everything();
    kv_budget kept_for(const prefix_cache::match & found) const;
    void      lease(kv_holding & h, const prefix_cache::match & found);
    void      drop(kv_holding & h, seq_id seq);
    bool      drop_oldest_prefix();
    void      free_id(seq_id id);
};

}  // namespace ig
