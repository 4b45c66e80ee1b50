#include "tabular.h"

#include <doctest/doctest.h>

using namespace ig;

TEST_CASE("every item is worked on once, by one of the team's threads") {
    random_stream random(1, 0, 0);
    for (int32_t n_threads : { 1, 2, 4 }) {
        const auto team = make_team(n_threads);
        for (int run = 0; run < 200; ++run) {
            const size_t        n = size_t(draw_int(random, 0, 50));
            std::vector<int>    times(n, 0);
            std::vector<size_t> per_thread(size_t(n_threads), 0);  // each thread has its own
            team->run(n, [&](size_t i, size_t thread) {
                ++times[i];
                ++per_thread.at(thread);
            });
            REQUIRE(std::count(times.begin(), times.end(), 1) == std::ptrdiff_t(n));
            size_t n_all = 0;
            for (size_t of_thread : per_thread) {
                n_all += of_thread;
            }
            REQUIRE(n_all == n);
        }
    }
}

TEST_CASE("what the work throws is thrown once all threads have stopped, and the team works on") {
    for (int32_t n_threads : { 1, 2, 4 }) {
        const auto team = make_team(n_threads);
        for (size_t run = 0; run < 100; ++run) {
            const size_t     failing = run % 20;
            std::vector<int> times(20, 0);  // destroyed before a late thread would use it
            std::string      code;
            try {
                team->run(times.size(), [&](size_t i, size_t) {
                    ++times[i];
                    if (i >= failing) {
                        throw error("CALLBACK_FAILED", "as asked");
                    }
                });
            } catch (const error & e) {
                code = e.code;
            }
            REQUIRE(code == "CALLBACK_FAILED");
            REQUIRE(*std::max_element(times.begin(), times.end()) == 1);
            REQUIRE(times[0] == 1);
        }
        int n = 0;
        team->run(1, [&](size_t, size_t) { ++n; });
        CHECK(n == 1);
    }
}
