#include "serving/prefix_cache.h"

#include "random_values.h"

#include <doctest/doctest.h>

#include <map>

using namespace ig;

namespace {

const size_t max_entries = 4;

}  // namespace

TEST_CASE("a text begins with the longest beginning that is kept, up to a given length") {
    for (uint64_t seed = 0; seed < 500; ++seed) {
        CAPTURE(seed);
        random_stream random(seed, 0, 0);
        const bool    can_cut = draw_bool(random);
        prefix_cache  cache(max_entries);

        std::map<seq_id, std::vector<token_id>> kept;
        for (seq_id seq = 0; seq < 12; ++seq) {
            const auto tokens  = random_tokens(random, draw_int(random, 1, 6), 2);
            const auto removed = cache.keep(seq, tokens);
            for (const auto & [other, held] : kept) {
                const bool is_covered =
                    held.size() <= tokens.size() && std::equal(held.begin(), held.end(), tokens.begin());
                if (is_covered) {
                    CHECK(std::count(removed.begin(), removed.end(), other) == 1);
                }
            }
            for (seq_id gone : removed) {
                REQUIRE(kept.erase(gone) == 1);
            }
            kept[seq] = tokens;
            REQUIRE(cache.size() == kept.size());
            REQUIRE(cache.size() <= max_entries);
            const auto begins_with = [&](const std::vector<token_id> & beginning) {
                return std::any_of(kept.begin(), kept.end(), [&](const auto & e) {
                    return e.second.size() >= beginning.size() &&
                           std::equal(beginning.begin(), beginning.end(), e.second.begin());
                });
            };
            const auto other_tokens = random_tokens(random, draw_int(random, 1, 6), 2);
            CHECK(cache.covers(tokens));
            CHECK(cache.covers(other_tokens) == begins_with(other_tokens));

            const auto   text    = random_tokens(random, draw_int(random, 0, 8), 2);
            const size_t most    = size_t(draw_int(random, 0, 8));
            size_t       longest = 0;
            for (const auto & [other, held] : kept) {
                size_t n = 0;
                while (n < held.size() && n < text.size() && n < most && held[n] == text[n]) {
                    ++n;
                }
                if (can_cut || n == held.size()) {
                    longest = std::max(longest, n);
                }
            }
            const auto found = cache.find(text, most, can_cut);
            CHECK(size_t(found.n_tokens) == longest);
            CHECK((found.source >= 0) == (longest > 0));
            if (longest > 0) {
                const auto & held = kept.at(found.source);
                CHECK(std::equal(held.begin(), held.begin() + found.n_tokens, text.begin()));
                CHECK(found.whole == (longest == held.size()));
            }
        }
    }
}

TEST_CASE("the longest unused goes first, whether it is kept or found that counts as use") {
    for (uint64_t seed = 0; seed < 200; ++seed) {
        CAPTURE(seed);
        random_stream       random(seed, 0, 0);
        prefix_cache        cache(max_entries);
        std::vector<seq_id> by_use;
        for (seq_id seq = 0; seq < seq_id(max_entries); ++seq) {
            cache.keep(seq, { seq, seq });
            by_use.push_back(seq);
        }
        for (int32_t n = draw_int(random, 0, 10); n > 0; --n) {
            const seq_id used = draw_int(random, 0, seq_id(max_entries) - 1);
            REQUIRE(cache.find({ used, 0, 0 }, 2, true).source == used);
            by_use.erase(std::find(by_use.begin(), by_use.end(), used));
            by_use.push_back(used);
        }
        CHECK(cache.keep(100, { 100 }) == std::vector<seq_id>{ by_use[0] });
        by_use.erase(by_use.begin());
        by_use.push_back(100);
        for (seq_id seq : by_use) {
            CHECK(cache.remove_oldest() == seq);
        }
        CHECK(!cache.remove_oldest());
    }
}

TEST_CASE("cells that a live search shares are not counted twice") {
    prefix_cache cache(max_entries);
    cache.keep(0, { 1, 2, 3, 4, 5 });
    cache.keep(1, { 9, 9, 9 });
    CHECK(cache.n_own_cells({}) == 8);
    const int  a = 0, b = 0;
    const auto short_match = cache.find({ 1, 2, 7 }, 2, true);
    CHECK(short_match.n_tokens == 2);
    CHECK(cache.n_own_cells(short_match) == 6);
    cache.lease(short_match, &a);
    CHECK(cache.n_own_cells({}) == 6);
    const auto long_match = cache.find({ 1, 2, 3, 4, 7 }, 4, true);
    cache.lease(long_match, &b);
    CHECK(cache.n_own_cells({}) == 4);
    CHECK(cache.n_own_cells(short_match) == 4);
    cache.end_leases(&a);
    CHECK(cache.n_own_cells({}) == 4);
    cache.end_leases(&b);
    CHECK(cache.n_own_cells({}) == 8);
}
