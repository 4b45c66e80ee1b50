// fallbacks.h owns the fallbacks: candidates, by length, that were good enough but not chosen. A search returns to them
// from a dead end. Their number is bounded; the shortest are dropped first.
#pragma once

#include "search/tree.h"

#include <map>

namespace ig {

class fallback_store {
  public:
    void keep(std::vector<path> paths);

    // The k best of the greatest length that is more than `above` and at most `up_to` tokens.
    std::vector<path> take(size_t k, size_t above, size_t up_to);

    // The k best of the greatest length.
    std::vector<path> take_longest(size_t k);

    // The best finished one, if there is one.
    std::vector<path> take_finished();

    void keep_only(const std::vector<token_id> & prefix);

  private:
    std::map<size_t, std::vector<path>> by_length;
    size_t                              n = 0;

    std::vector<path> take_at(std::map<size_t, std::vector<path>>::iterator at, size_t k);
    void              drop_if_empty(std::map<size_t, std::vector<path>>::iterator at);
};

}  // namespace ig
