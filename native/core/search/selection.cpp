#include "search/selection.h"

namespace ig {

std::vector<path> select_top(std::vector<path> & candidates, size_t k) {
    std::stable_sort(candidates.begin(), candidates.end(), [](const path & a, const path & b) { return a.score > b.score; });
    std::vector<path> rest;
    for (size_t i = k; i < candidates.size(); ++i) {
        rest.push_back(std::move(candidates[i]));
    }
    if (candidates.size() > k) {
        candidates.erase(candidates.begin() + k, candidates.end());
    }
    return rest;
}

}
