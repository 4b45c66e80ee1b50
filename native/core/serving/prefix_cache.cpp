#include "serving/prefix_cache.h"

namespace ig {

std::vector<prefix_cache::entry>::iterator prefix_cache::entry_of(seq_id seq) {
    return std::find_if(entries.begin(), entries.end(), [&](const entry & e) { return e.seq == seq; });
}

prefix_cache::match prefix_cache::find(const std::vector<token_id> & text, size_t most, bool can_cut) {
    match best;
    for (const entry & e : entries) {
        const size_t n     = std::min(shared_tokens(e.tokens, text), most);
        const bool   whole = n == e.tokens.size();
        if (int32_t(n) > best.n_tokens && (whole || can_cut)) {
            best = { e.seq, int32_t(n), whole };
        }
    }
    const auto source = entry_of(best.source);
    if (source != entries.end()) {
        std::rotate(source, source + 1, entries.end());
    }
    return best;
}

bool prefix_cache::covers(const std::vector<token_id> & tokens) const {
    return std::any_of(entries.begin(), entries.end(),
                       [&](const entry & e) { return shared_tokens(e.tokens, tokens) == tokens.size(); });
}

void prefix_cache::lease(const match & found, const void * holder) {
    entry_of(found.source)->leases.push_back({ holder, found.n_tokens });
}

void prefix_cache::end_leases(const void * holder) {
    for (entry & e : entries) {
        const auto is_theirs = [&](const lease_of_tokens & l) {
            return l.holder == holder;
        };
        e.leases.erase(std::remove_if(e.leases.begin(), e.leases.end(), is_theirs), e.leases.end());
    }
}

std::vector<seq_id> prefix_cache::keep(seq_id seq, std::vector<token_id> tokens) {
    entries.reserve(entries.size() + 1);  // nothing has changed if memory is short
    std::vector<seq_id> removed;
    removed.reserve(entries.size() + 1);
    for (size_t i = entries.size(); i-- > 0;) {
        if (shared_tokens(entries[i].tokens, tokens) == entries[i].tokens.size()) {
            removed.push_back(entries[i].seq);
            entries.erase(entries.begin() + std::ptrdiff_t(i));
        }
    }
    entries.push_back({ seq, std::move(tokens), {} });
    if (entries.size() > max_entries) {
        removed.push_back(*remove_oldest());
    }
    return removed;
}

std::optional<seq_id> prefix_cache::remove_oldest() {
    if (entries.empty()) {
        return std::nullopt;
    }
    const seq_id seq = entries.front().seq;
    entries.erase(entries.begin());
    return seq;
}

int64_t prefix_cache::n_own_cells(const match & leased) const {
    int64_t n = 0;
    for (const entry & e : entries) {
        int32_t n_shared = e.seq == leased.source ? leased.n_tokens : 0;
        for (const lease_of_tokens & l : e.leases) {
            n_shared = std::max(n_shared, l.n_tokens);
        }
        n += int64_t(e.tokens.size()) - n_shared;
    }
    return n;
}

}  // namespace ig
