#include "search/sequence_plan.h"

#include "random_values.h"

#include <doctest/doctest.h>

#include <set>

using namespace ig;

namespace {

// some of these parents hold a sequence of the plan
std::vector<path> random_parents(random_stream & random, sequence_plan & plan, int32_t n) {
    std::vector<path> parents;
    for (int32_t i = 0; i < n; ++i) {
        parents.emplace_back(response(), random);
        if (draw_bool(random)) {
            parents.back().seq = plan.take();
        }
    }
    return parents;
}

}  // namespace

TEST_CASE("every wave of candidates finds its sequences, and takes as many candidates as do") {
    for (uint64_t seed = 0; seed < 500; ++seed) {
        CAPTURE(seed);
        random_stream  random(seed, 0, 0);
        search_options options;
        options.n_beams      = draw_int(random, 1, 4);
        options.n_candidates = draw_int(random, 1, 16);
        options.n_start      = draw_int(random, 1, options.n_candidates);
        const int32_t most   = draw_int(random, 3 + options.n_beams, 24);
        sequence_plan plan(options, most);
        const auto    reserved = plan.reservation(10);
        CHECK(reserved.n_sequences + reserved.n_more <= most);
        CHECK(plan.n_wider_for(size_t(options.n_candidates)) == reserved.n_more);
        CHECK(plan.n_wider_for(size_t(options.n_start)) == 0);

        const int32_t n_parents = std::min(draw_int(random, 1, options.n_beams), reserved.n_sequences - 3);
        if (n_parents < 1) {
            continue;
        }
        std::vector<path>         parents = random_parents(random, plan, n_parents);
        std::vector<const path *> of_candidates;
        std::vector<path *>       beams;
        for (path & p : parents) {
            beams.push_back(&p);
            of_candidates.insert(of_candidates.end(), size_t(draw_int(random, 1, 6)), &p);
        }
        int32_t n_free = reserved.n_sequences - 1;
        for (const path & p : parents) {
            n_free -= p.seq >= 0 ? 1 : 0;
        }
        const auto needs = [&](size_t begin, size_t end) {
            std::set<const path *> homeless;
            for (size_t i = begin; i < end; ++i) {
                if (of_candidates[i]->seq < 0) {
                    homeless.insert(of_candidates[i]);
                }
            }
            return int32_t(end - begin + homeless.size());
        };
        size_t begin = 0;
        for (const size_t n : plan.waves(of_candidates)) {
            REQUIRE(begin + n <= of_candidates.size());
            CHECK(needs(begin, begin + n) <= n_free);
            if (begin + n < of_candidates.size()) {
                CHECK(needs(begin, begin + n + 1) > n_free);
            }
            begin += n;
        }
        CHECK(begin == of_candidates.size());
        CHECK(plan.fits(beams, of_candidates.size()) == (plan.waves(of_candidates).size() == 1));
    }
}
