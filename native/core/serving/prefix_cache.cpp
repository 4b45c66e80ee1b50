#include "serving/prefix_cache.h"

namespace ig {

prefix_cache::match prefix_cache::find(const std::vector<token_id> & prompt, bool can_cut) {
    match best;
    for (const entry & e : entries) {
        const size_t n     = prompt.empty() ? 0 : std::min(shared_tokens(e.tokens, prompt), prompt.size() - 1);
        const bool   whole = n == e.tokens.size();
        if (int32_t(n) > best.n_tokens && (whole || can_cut)) {
            best = { e.seq, int32_t(n), whole };
        }
    }
    const auto source =
        std::find_if(entries.begin(), entries.end(), [&](const entry & e) { return e.seq == best.source; });
    if (source != entries.end()) {
        std::rotate(source, source + 1, entries.end());
    }
    return best;
}

void prefix_cache::lend(const match & found, const void * borrower) {
    const auto source =
        std::find_if(entries.begin(), entries.end(), [&](const entry & e) { return e.seq == found.source; });
    source->loans.push_back({ borrower, found.n_tokens });
}

void prefix_cache::give_back(const void * borrower) {
    for (entry & e : entries) {
        const auto is_theirs = [&](const loan & l) {
            return l.borrower == borrower;
        };
        e.loans.erase(std::remove_if(e.loans.begin(), e.loans.end(), is_theirs), e.loans.end());
    }
}

std::vector<seq_id> prefix_cache::keep(seq_id seq, std::vector<token_id> tokens) {
    std::vector<seq_id> removed;
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

int64_t prefix_cache::n_own_cells(const match & lent) const {
    int64_t n = 0;
    for (const entry & e : entries) {
        int32_t n_shared = e.seq == lent.source ? lent.n_tokens : 0;
        for (const loan & l : e.loans) {
            n_shared = std::max(n_shared, l.n_tokens);
        }
        n += int64_t(e.tokens.size()) - n_shared;
    }
    return n;
}

}  // namespace ig
