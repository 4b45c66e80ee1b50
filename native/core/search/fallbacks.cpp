#include "search/fallbacks.h"

#include "search/selection.h"

namespace ig {

namespace {

const size_t max_fallbacks   = 1024;
const size_t finished_length = std::numeric_limits<size_t>::max();  // the length under which all finished ones are kept

}  // namespace

void fallback_store::keep(std::vector<path> paths) {
    for (path & p : paths) {
        by_length[p.finished() ? finished_length : p.tokens.size()].push_back(std::move(p));
        ++n;
    }
    while (n > max_fallbacks) {
        std::vector<path> & shortest = by_length.begin()->second;
        select_top(shortest, shortest.size() - 1);
        --n;
        drop_if_empty(by_length.begin());
    }
}

std::vector<path> fallback_store::take(size_t k, size_t above, size_t up_to) {
    const auto beyond = by_length.upper_bound(up_to);
    const bool found  = beyond != by_length.begin() && std::prev(beyond)->first > above;
    return found ? take_at(std::prev(beyond), k) : std::vector<path>();
}

std::vector<path> fallback_store::take_longest(size_t k) {
    return by_length.empty() ? std::vector<path>() : take_at(std::prev(by_length.end()), k);
}

std::vector<path> fallback_store::take_finished() {
    const auto finished = by_length.find(finished_length);
    return finished == by_length.end() ? std::vector<path>() : take_at(finished, 1);
}

void fallback_store::keep_only(const std::vector<token_id> & prefix) {
    for (auto at = by_length.begin(); at != by_length.end();) {
        std::vector<path> & paths = at->second;
        const auto          other = [&](const path & p) {
            return !p.starts_with(prefix);
        };
        const auto gone = std::remove_if(paths.begin(), paths.end(), other);
        n -= size_t(paths.end() - gone);
        paths.erase(gone, paths.end());
        at = paths.empty() ? by_length.erase(at) : std::next(at);
    }
}

std::vector<path> fallback_store::take_at(std::map<size_t, std::vector<path>>::iterator at, size_t k) {
    std::vector<path> best = std::move(at->second);
    at->second             = select_top(best, k);
    n -= best.size();
    drop_if_empty(at);
    return best;
}

void fallback_store::drop_if_empty(std::map<size_t, std::vector<path>>::iterator at) {
    if (at->second.empty()) {
        by_length.erase(at);
    }
}

}  // namespace ig
