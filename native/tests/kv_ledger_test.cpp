#include "serving/kv_ledger.h"

#include "random_values.h"

#include <doctest/doctest.h>

#include <memory>
#include <set>

using namespace ig;

namespace {

// computes the same count from cells that know their holders
struct shared_cells {
    std::vector<std::vector<std::shared_ptr<int>>> sequences;

    int64_t n_held() const {
        std::set<const int *> cells;
        for (const auto & sequence : sequences) {
            for (const auto & cell : sequence) {
                cells.insert(cell.get());
            }
        }
        return int64_t(cells.size());
    }

    void append(seq_id seq) { sequences[size_t(seq)].push_back(std::make_shared<int>(0)); }
};

}  // namespace

TEST_CASE("a search's cells are counted once for all sequences that share them") {
    for (uint64_t seed = 0; seed < 300; ++seed) {
        CAPTURE(seed);
        random_stream random(seed, 0, 0);
        const int32_t n_sequences = draw_int(random, 2, 6);
        const int32_t n_prompt    = draw_int(random, 0, 5);
        kv_ledger     ledger;
        shared_cells  expected;
        expected.sequences.resize(size_t(n_sequences));
        ledger.start(size_t(n_sequences), n_prompt);
        for (int32_t i = 0; i < n_prompt; ++i) {
            expected.append(0);
        }
        for (int32_t n = draw_int(random, 0, 3); n > 0; --n) {
            ledger.append(0);
            expected.append(0);
        }
        const int32_t n_root = int32_t(expected.sequences[0].size());
        int64_t       peak   = n_root;
        for (int i = 0; i < 60; ++i) {
            const seq_id seq      = draw_int(random, 1, n_sequences - 1);
            auto &       sequence = expected.sequences[size_t(seq)];
            switch (draw_int(random, 0, 3)) {
                case 0:
                    {
                        const seq_id from = draw_int(random, 0, n_sequences - 1);
                        if (from != seq) {
                            ledger.fork(from, seq);
                            sequence = expected.sequences[size_t(from)];
                        }
                        break;
                    }
                case 1:
                    {
                        const int32_t length = draw_int(random, 0, int32_t(sequence.size()));
                        ledger.cut(seq, length);
                        sequence.resize(size_t(length));
                        break;
                    }
                default:
                    ledger.append(seq);
                    expected.append(seq);
            }
            peak = std::max(peak, expected.n_held());
            REQUIRE(ledger.n_held() == expected.n_held());
            REQUIRE(ledger.peak() == peak);
        }
        for (seq_id seq = 1; seq < n_sequences; ++seq) {
            ledger.cut(seq, 0);
        }
        CHECK(ledger.n_held() == n_root);
    }
}
