#include "search/block.h"

namespace ig {

namespace {

const size_t typical_piece = 8;  // bytes of a token

}  // namespace

bool may_grow(const response & r, const search_options & options) {
    return !r.finished() && (r.paid.within_budgets() || !options.enforces_budget());
}

block::block(const block_spec & spec, const search_options & options, size_t n_vocab) :
    options(options),
    wanted(std::min(spec.length, options.max_tokens - int32_t(spec.parents[0]->tokens.size()))) {
    make_children(spec, n_vocab);
}

void block::make_children(const block_spec & spec, size_t n_vocab) {
    candidates.reserve(spec.n);
    const size_t n_parents = spec.parents.size();
    for (size_t i = 0; i < n_parents; ++i) {
        path &       parent    = *spec.parents[i];
        size_t       share     = spec.n / n_parents + (i < spec.n % n_parents ? 1 : 0);
        const size_t n_untried = n_vocab - parent.begun.size();
        if (!options.is_random()) {
            share = std::min(share, n_untried);
        } else if (parent.distinct && n_untried < share) {
            parent.distinct = false;
            parent.next_tokens.clear();
        }
        refresh_next_tokens(parent, share, !spec.rejected.empty());
        for (size_t rank = 0; rank < share; ++rank) {
            path child(parent, random_stream(options.seed, spec.stream, spec.first + candidates.size()));
            child.plain           = parent.plain && parent.begun.empty() && rank == 0;
            child.score           = -std::numeric_limits<double>::infinity();
            child.rewarded        = false;
            const size_t n_tokens = child.tokens.size() + size_t(spec.length);
            child.tokens.reserve(n_tokens);
            child.ends.reserve(n_tokens);
            child.text.reserve(child.text.size() + size_t(spec.length) * typical_piece);
            candidates.push_back({ &parent, std::move(child), rank + 1 == share });
        }
    }
}

// The first tokens of a path's children come from a list of N that is sampled at the path's end. The list is sampled
// anew if it is used up or was sampled with other penalties than this round's.
void block::refresh_next_tokens(path & parent, size_t share, bool penalised) const {
    const bool used_up = parent.n_used + share > size_t(options.n_candidates);
    if (!used_up && !penalised && !parent.penalised) {
        return;
    }
    parent.page += parent.n_used > 0 ? 1 : 0;
    parent.n_used    = 0;
    parent.penalised = penalised;
    parent.next_tokens.clear();
}

int32_t block::affordable_length(const token_limit & limit) const {
    const auto is_plain = [](const candidate & c) {
        return c.text.plain;
    };
    const int64_t n_plain  = std::count_if(candidates.begin(), candidates.end(), is_plain);
    const int64_t n_beside = int64_t(candidates.size()) - n_plain;
    const int64_t plain    = n_plain > 0 ? limit.plain / n_plain : wanted;
    const int64_t beside   = n_beside > 0 ? limit.beside_plain / n_beside : wanted;
    const int64_t length   = std::max<int64_t>(0, std::min({ plain, beside, int64_t(wanted) }));
    return n_plain > 0 && n_beside > 0 && length < wanted ? 0 : int32_t(length);
}

sampled_token block::take_first(candidate & c) const {
    path & parent = *c.parent;
    if (parent.begun.empty()) {
        c.text.random = parent.random;  // as if the parent continued alone
    }
    const sampled_token first = parent.next_tokens.at(parent.n_used++);
    parent.begun.insert(first.token);
    return first;
}

bool block::is_complete(const candidate & c) const {
    return !may_grow(c.text, options) || c.text.tokens.size() == c.parent->tokens.size() + size_t(wanted);
}

}  // namespace ig
