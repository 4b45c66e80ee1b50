#include "engine/encoder_memory.h"

#include <algorithm>

namespace ig {

namespace {

struct search_for_beginning {
    const std::vector<int32_t> & wanted;
    place                        best;
    size_t                       n_best     = 0;      // of the response's tokens
    bool                         ends_there = false;  // the best place is at the end of a stretch

    // Searches a stretch that begins after n_before tokens of the response.
    void visit(stretch & s, size_t n_before) {
        const size_t most = std::min(s.tokens.size(), wanted.size() - n_before);
        size_t       n    = 0;
        while (n < most && s.tokens[n] == wanted[n_before + n]) {
            ++n;
        }
        const bool ends = n == s.tokens.size();
        if (n_before + n > n_best || (n_before + n == n_best && ends && !ends_there)) {
            best       = { &s, n };
            n_best     = n_before + n;
            ends_there = ends;
        }
        for (const auto & child : s.children) {
            if (child->n_of_parent <= n) {
                visit(*child, n_before + child->n_of_parent);
            }
        }
    }
};

void find_oldest_leaf(stretch & s, stretch *& oldest) {
    if (s.children.empty() && (oldest == nullptr || s.last_use < oldest->last_use)) {
        oldest = &s;
    }
    for (const auto & child : s.children) {
        find_oldest_leaf(*child, oldest);
    }
}

template <typename list> void erase(list & from, const stretch & which) {
    from.erase(std::find_if(from.begin(), from.end(), [&](const auto & s) { return s.get() == &which; }));
}

}  // namespace

stretch & encoder_memory::tree_of(const std::vector<int32_t> & prompt) {
    const auto found =
        std::find_if(trees.begin(), trees.end(), [&](const auto & tree) { return tree->tokens == prompt; });
    if (found != trees.end()) {
        use(**found);
        return **found;
    }
    trees.push_back(std::make_unique<stretch>());
    stretch & made = *trees.back();
    made.tokens    = prompt;
    n_tokens += prompt.size();
    use(made);
    return made;
}

place encoder_memory::longest_beginning(stretch & tree, const std::vector<int32_t> & response) {
    search_for_beginning search = {
        response, { &tree, tree.tokens.size() }
    };
    for (const auto & child : tree.children) {
        search.visit(*child, 0);
    }
    use(*search.best.in);
    return search.best;
}

stretch & encoder_memory::add(const place & behind, std::vector<int32_t> tokens) {
    auto made         = std::make_unique<stretch>();
    made->parent      = behind.in;
    made->n_of_parent = behind.n;
    made->position    = behind.in->position + behind.n;
    made->tokens      = std::move(tokens);
    n_tokens += made->tokens.size();
    behind.in->children.push_back(std::move(made));
    use(*behind.in->children.back());
    return *behind.in->children.back();
}

void encoder_memory::remove(const stretch & leaf) {
    n_tokens -= leaf.tokens.size();
    if (leaf.parent != nullptr) {
        erase(leaf.parent->children, leaf);
    } else {
        erase(trees, leaf);
    }
}

void encoder_memory::shrink() {
    while (n_tokens > most_tokens) {
        remove(*oldest_leaf());
    }
}

void encoder_memory::clear() {
    trees.clear();
    n_tokens = 0;
}

void encoder_memory::use(stretch & s) {
    for (stretch * at = &s; at != nullptr; at = at->parent) {
        at->last_use = clock;
    }
}

stretch * encoder_memory::oldest_leaf() const {
    stretch * oldest = nullptr;
    for (const auto & tree : trees) {
        find_oldest_leaf(*tree, oldest);
    }
    return oldest;
}

}  // namespace ig
