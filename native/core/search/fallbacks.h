// fallbacks.h owns the candidates that were good enough but not chosen, by length: what a search goes back to from a dead end. It holds
// a bounded number; the shortest go first.
#pragma once

#include "search/tree.h"

#include <map>

namespace ig {

class fallback_store {
  public:
    void keep(std::vector<path> paths);

    // The k best of the longest that have more than `above` and at most `up_to` tokens.
    std::vector<path> take(size_t k, size_t above, size_t up_to);

    // The k best of the longest.
    std::vector<path> take_longest(size_t k);

    // The best finished one, if there is any.
    std::vector<path> take_finished();

    void keep_only(const std::vector<token_id> & prefix);

  private:
    std::map<size_t, std::vector<path>> by_length;
    size_t                              n = 0;

    std::vector<path> take_at(std::map<size_t, std::vector<path>>::iterator at, size_t k);
    void              drop_if_empty(std::map<size_t, std::vector<path>>::iterator at);
};

}  // namespace ig
