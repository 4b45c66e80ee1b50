#include "serving/kv_allocator.h"

namespace ig {

namespace {

const size_t  max_prefixes    = 4;
const int32_t spare_sequences = int32_t(max_prefixes);

}  // namespace

kv_allocator::kv_allocator(real_decoder & real) : real(real), prefixes(max_prefixes) {}

void kv_holding::check() const {
    if (lost) {
        throw error("OUT_OF_MEMORY",
                    "the KV cache was lost while it grew for another generation: there is not enough memory for both; "
                    "run fewer generations at once, or lower candidates, beams or maxTokens");
    }
}

kv_budget kv_allocator::reserved_by_others(const kv_holding & h) const {
    kv_budget all;
    for (const kv_holding * other : holdings) {
        all = other == &h ? all : all + other->reserved;
    }
    return all;
}

bool kv_allocator::reserve(kv_holding & h, const std::vector<token_id> & prompt) {
    holdings.reserve(holdings.size() + 1);
    const kv_budget others = reserved_by_others(h);
    const bool      alone  = others.n_sequences == 0;
    if (alone) {
        refused.reset();
    }
    const kv_budget     own    = h.plan.widened_by(0);
    const kv_budget     widest = h.plan.widened_by(h.plan.n_more);
    prefix_cache::match found;
    const auto          needed = [&] {
        // the last token is always decoded, since its output is needed
        found                = prefixes.find(prompt, std::max<size_t>(prompt.size(), 1) - 1, real.can_cut());
        const kv_budget kept = kept_for(found);
        return kv_budget{ std::max(others.n_sequences + own.n_sequences + kept.n_sequences, widest.n_sequences),
                          std::max(others.n_cells + own.n_cells, widest.n_cells) + kept.n_cells };
    };
    try {
        if (!provide(needed)) {
            if (alone) {
                throw error("INTERNAL", "the search needs more sequences than the decoder has");
            }
            return false;
        }
    } catch (const error & e) {
        if (e.code != "KV_CAPACITY" || alone) {
            throw;
        }
        return false;
    }
    h.ids.assign(size_t(widest.n_sequences), -1);
    h.reserved = own;
    holdings.push_back(&h);
    lease(h, found);
    return true;
}

int32_t kv_allocator::widen(kv_holding & h, int32_t n) {
    const kv_budget others = reserved_by_others(h);
    n                      = std::min(n, real.max_sequences() - others.n_sequences - h.plan.n_sequences);
    const auto needed      = [&] {
        return others + h.plan.widened_by(n) + kept_for({});
    };
    bool all = false;
    try {
        all = provide(needed);
    } catch (const error & e) {
        if (e.code != "KV_CAPACITY") {
            throw;
        }
    }
    if (!all) {
        const kv_budget free = size - others - h.plan.widened_by(0);
        n                    = int32_t(std::min<int64_t>({ n, free.n_sequences, free.n_cells / h.plan.cells_each }));
    }
    h.reserved = h.plan.widened_by(n);
    return n;
}

// Grows the decoder to the size needed. Entries of the prefix cache are evicted, which reduces that size. False if
// there are too few sequences or the size was refused before; throws KV_CAPACITY if it is refused now.
bool kv_allocator::provide(const std::function<kv_budget()> & needed) {
    for (;;) {
        const kv_budget need = needed();
        if (need.fits_into(size)) {
            return true;
        }
        const bool in_vain = refused && refused->fits_into(need);
        if (need.n_sequences <= real.max_sequences() && !in_vain) {
            try {
                grow_to(need);
                return true;
            } catch (const error & e) {
                if (e.code != "KV_CAPACITY") {
                    throw;
                }
                refused = need;
                if (prefixes.size() == 0) {
                    throw;
                }
            }
        }
        const bool may_suffice = need.n_sequences - int32_t(prefixes.size()) <= real.max_sequences();
        if (!may_suffice || !drop_oldest_prefix()) {
            return false;
        }
    }
}

// Grows by at least half, so that the cache does not move with every turn of a growing chat, or with every further
// generation.
void kv_allocator::grow_to(const kv_budget & needed) {
    const kv_budget least    = larger_of(needed, size);
    kv_budget       generous = least;
    if (needed.n_sequences > size.n_sequences) {
        generous.n_sequences =
            std::min(real.max_sequences(), std::max(needed.n_sequences + spare_sequences, size.n_sequences * 3 / 2));
    }
    if (needed.n_cells > size.n_cells) {
        generous.n_cells = std::max(needed.n_cells, size.n_cells * 3 / 2);
    }
    try {
        resize(generous);
    } catch (const error & e) {
        if (e.code != "KV_CAPACITY" || generous == least) {
            throw;
        }
        resize(least);
    }
}

void kv_allocator::resize(const kv_budget & larger) {
    try {
        size = { larger.n_sequences, real.make_room(larger.n_sequences, larger.n_cells) };
    } catch (const error & e) {
        if (e.code == "OUT_OF_MEMORY") {
            lose_everything();
        }
        throw;
    }
    pool.allow(size.n_sequences);
}

void kv_allocator::lose_everything() {
    size = {};
    pool = sequence_pool();
    prefixes.clear();
    for (kv_holding * h : holdings) {
        h->lost = true;
        h->ids.clear();
        h->reserved = {};
    }
}

// The budget held by the prefix cache alone, also if a search begins with this match. Tokens that both hold are counted
// once.
kv_budget kv_allocator::kept_for(const prefix_cache::match & found) const {
    return { int32_t(prefixes.size()), prefixes.n_own_cells(found) };
}

void kv_allocator::lease(kv_holding & h, const prefix_cache::match & found) {
    h.n_reused = found.n_tokens;
    if (found.n_tokens == 0) {
        return;
    }
    real.fork(found.source, id_of(h, 0));
    if (!found.whole) {
        real.cut(h.ids[0], found.n_tokens);
    }
    prefixes.lease(found, &h);
}

void kv_allocator::apply_changes(kv_holding & h) {
    applied.clear();
    applied.swap(h.changes);
    for (const kv_change & c : applied) {
        switch (c.kind) {
            case CHANGE_FORK:
                real.fork(id_of(h, c.seq), id_of(h, c.to));
                break;
            case CHANGE_DROP:
                drop(h, c.seq);
                break;
            case CHANGE_CUT:
                real.cut(id_of(h, c.seq), c.n);
                break;
            case CHANGE_NARROW:
                h.reserved = h.plan.widened_by(c.n);
                narrowed   = true;
                break;
        }
    }
}

seq_id kv_allocator::id_of(kv_holding & h, seq_id seq) {
    if (h.ids[seq] < 0) {
        const auto n_used = std::count_if(h.ids.begin(), h.ids.end(), [](seq_id id) { return id >= 0; });
        if (n_used >= h.reserved.n_sequences) {
            throw error("INTERNAL",
                        format("the search holds more than the %d sequences that it reserved", h.reserved.n_sequences));
        }
        h.ids[seq] = pool.take();
    }
    return h.ids[seq];
}

void kv_allocator::drop(kv_holding & h, seq_id seq) {
    if (h.ids[seq] >= 0) {
        free_id(h.ids[seq]);
        h.ids[seq] = -1;
    }
}

void kv_allocator::keep(kv_holding & h, seq_id seq, std::vector<token_id> tokens) {
    const std::vector<seq_id> evicted = prefixes.keep(h.ids[seq], std::move(tokens));
    h.ids[seq]                        = -1;
    for (seq_id id : evicted) {
        free_id(id);
    }
}

void kv_allocator::release(kv_holding & h) {
    prefixes.end_leases(&h);
    for (size_t seq = 0; seq < h.ids.size(); ++seq) {
        drop(h, seq_id(seq));
    }
    holdings.erase(std::remove(holdings.begin(), holdings.end(), &h), holdings.end());
    refused.reset();
}

bool kv_allocator::drop_oldest_prefix() {
    const std::optional<seq_id> id = prefixes.remove_oldest();
    if (id) {
        free_id(*id);
    }
    return id.has_value();
}

void kv_allocator::free_id(seq_id id) {
    real.drop(id);
    pool.give_back(id);
}

void kv_allocator::forget() {
    while (drop_oldest_prefix()) {
    }
}

}  // namespace ig
