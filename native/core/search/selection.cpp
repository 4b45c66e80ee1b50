#include "search/selection.h"

#include "support/numeric.h"

#include <numeric>

namespace ig {

namespace {

// Promising candidates come first. The scores of the others are of another kind.
void sort_by_score(std::vector<path> & candidates) {
    std::stable_sort(candidates.begin(), candidates.end(), [](const path & a, const path & b) {
        return a.promising != b.promising ? a.promising : a.score > b.score;
    });
}

std::vector<path> keep_first(std::vector<path> & candidates, size_t k) {
    std::vector<path> rest;
    for (size_t i = k; i < candidates.size(); ++i) {
        rest.push_back(std::move(candidates[i]));
    }
    if (candidates.size() > k) {
        candidates.erase(candidates.begin() + k, candidates.end());
    }
    return rest;
}

}  // namespace

std::vector<path> select_top(std::vector<path> & candidates, size_t k) {
    sort_by_score(candidates);
    return keep_first(candidates, k);
}

std::vector<double> soft_weights(const std::vector<double> & scores, const search_options & options) {
    const double        n = double(scores.size());
    std::vector<double> clipped;
    for (double score : scores) {
        clipped.push_back(std::min(std::max(score, options.lowest_score), options.highest_score));
    }
    std::vector<double> descending = clipped;
    std::sort(descending.begin(), descending.end(), std::greater<double>());
    double nu  = 0;
    double sum = 0;
    for (size_t m = 0; m < descending.size(); ++m) {  // the value of nu if exactly the m + 1 best have weight
        sum += descending[m];
        nu = (sum - n * options.softness) / double(m + 1);
        if (m + 1 == descending.size() || descending[m + 1] <= nu) {
            break;
        }
    }
    for (double & score : clipped) {
        score = std::max(0.0, (score - nu) / options.softness);
    }
    return clipped;
}

std::vector<path> select_soft(std::vector<path> &    candidates,
                              size_t                 k,
                              const search_options & options,
                              random_stream &        random) {
    sort_by_score(candidates);
    std::vector<double> scores;
    for (const path & p : candidates) {
        scores.push_back(p.score);
    }
    std::vector<double> weights = soft_weights(scores, options);
    for (size_t i = 0; i < std::min(k, candidates.size()); ++i) {
        const std::vector<float> left(weights.begin() + i, weights.end());
        const double             total = std::accumulate(left.begin(), left.end(), 0.0);
        if (!(total > 0)) {
            break;  // the rest is sorted by score
        }
        const size_t drawn = i + draw(left.data(), left.size(), total, random.uniform());
        std::rotate(candidates.begin() + i, candidates.begin() + drawn, candidates.begin() + drawn + 1);
        std::rotate(weights.begin() + i, weights.begin() + drawn, weights.begin() + drawn + 1);
    }
    return keep_first(candidates, k);
}

}  // namespace ig
