// kv_allocator.h owns the room in a decoder's KV cache: how many sequences and cells each search has reserved, which ids their sequences
// have, and what the prefix cache keeps in the rest. Reservations together never exceed what the decoder has. Everything happens on the
// owner's thread.
#pragma once

#include "serving/prefix_cache.h"
#include "serving/sequence_pool.h"

#include <utility>

namespace ig {

enum kv_change_kind { CHANGE_FORK, CHANGE_DROP, CHANGE_CUT, CHANGE_NARROW };

// what a search does to its sequences between two requests
struct kv_change {
    kv_change_kind kind;
    seq_id         seq;
    seq_id         to;  // of a fork
    int32_t        n;   // tokens that a cut leaves; sequences that narrowing leaves in addition to the search's own
};

// what one search holds
struct kv_holding {
    kv_plan                plan = { 0, 0 };
    kv_budget              reserved;      // nothing before the first reservation
    int32_t                n_reused = 0;  // tokens of the prompt that were in the prefix cache
    std::vector<seq_id>    ids;           // of the search's sequences in the decoder; -1: not in use
    std::vector<kv_change> changes;       // to be applied before the next request
    bool                   lost = false;  // the decoder no longer holds the sequences

    // Throws OUT_OF_MEMORY where they are lost.
    void check() const;
};

class kv_allocator {
  public:
    explicit kv_allocator(real_decoder & real);

    // Reserves what the holding's plan says, and puts what the prefix cache has of the prompt into sequence 0. False where other
    // holdings leave too little; throws KV_CAPACITY where there are no others. The decoder becomes large enough for the search at its
    // widest, so that one that is alone never lacks anything later.
    bool reserve(kv_holding & h, const std::vector<token_id> & prompt);

    // Reserves n sequences in addition to the search's own, or as many as others leave; returns their number.
    int32_t widen(kv_holding & h, int32_t n);

    void apply_changes(kv_holding & h);

    // A sequence takes an id with its first token.
    seq_id id_of(kv_holding & h, seq_id seq);

    // Moves a sequence of a search that is over to the prefix cache.
    void keep(kv_holding & h, seq_id seq, std::vector<token_id> tokens);

    // Everything that a search held is free again.
    void release(kv_holding & h);

    // Empties the prefix cache.
    void forget();

    // Whether a search has given up part of its reservation since this was last asked.
    bool was_narrowed() { return std::exchange(narrowed, false); }

    int64_t n_cells() const { return size.n_cells; }  // of the decoder

  private:
    real_decoder &            real;
    std::vector<kv_holding *> holdings;  // that have a reservation
    prefix_cache              prefixes;
    sequence_pool             pool;      // ids
    kv_budget                 size;      // of the decoder
    std::optional<kv_budget>  refused;   // size that the decoder could not have, since a search ended
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
