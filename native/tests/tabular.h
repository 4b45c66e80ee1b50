// tabular.h owns the models of the tests: random transition tables, and a decoder on one that has a size limit,
// processes rows on several threads and counts what it holds.
#pragma once

#include "engine/tabular_decoder.h"
#include "engine/thread_team.h"
#include "ggml-cpu.h"
#include "random_values.h"

namespace ig {

inline tabular_model random_model(random_stream & random, int32_t n_vocab) {
    tabular_model model;
    for (int32_t token = 0; token < n_vocab; ++token) {
        model.pieces.push_back(std::string(1, char('a' + token % 26)));
        model.ends.push_back(token == n_vocab - 1);
    }
    for (int32_t i = 0; i < n_vocab * n_vocab; ++i) {
        model.logits.push_back(float(6 * random.uniform() - 3));
    }
    return model;
}

// the decoder's input
struct decoded {
    bool   is_step;
    size_t n_items;
};

inline std::unique_ptr<thread_team> make_team(int32_t n_threads) {
    ggml_threadpool_params           params = ggml_threadpool_params_default(n_threads);
    std::shared_ptr<ggml_threadpool> threads(ggml_threadpool_new(&params), ggml_threadpool_free);
    return std::make_unique<thread_team>(threads, n_threads);
}

// All calls come from one thread, so its counts are read there, or when it is idle.
class test_decoder : public tabular_decoder {
  public:
    explicit test_decoder(const tabular_model & model, int32_t n_threads = 1) :
        tabular_decoder(model),
        team(make_team(n_threads)) {}

    int64_t               limit     = 1 << 20;  // maximum number of cells
    bool                  loses_all = false;    // when it next grows
    std::vector<decoded>  calls;
    std::function<void()> before_call = [] {
    };
    std::vector<int32_t> lengths;  // per sequence

    int64_t n_held() const {
        int64_t n = 0;
        for (int32_t length : lengths) {
            n += length;
        }
        return n;
    }

    size_t n_row_threads() const override { return size_t(team->size()); }

    int64_t make_room(int32_t n_sequences, int64_t n_cells) override {
        if (n_cells > limit) {
            throw error("KV_CAPACITY", "more cells than the limit");
        }
        if (loses_all) {
            loses_all = false;
            for (size_t seq = 0; seq < lengths.size(); ++seq) {
                drop(seq_id(seq));
            }
            throw error("OUT_OF_MEMORY", "everything is lost");
        }
        lengths.resize(std::max(lengths.size(), size_t(n_sequences)), 0);
        return tabular_decoder::make_room(n_sequences, n_cells);
    }

    void fork(seq_id from, seq_id to) override {
        tabular_decoder::fork(from, to);
        lengths[to] = lengths[from];
    }

    void drop(seq_id seq) override {
        tabular_decoder::drop(seq);
        lengths[seq] = 0;
    }

    void cut(seq_id seq, int32_t length) override {
        tabular_decoder::cut(seq, length);
        lengths[seq] = length;
    }

    void extend(const std::vector<decode_item> & items,
                const residual_processor &       process,
                const cancel_flag &              cancel) override {
        before_call();
        tabular_decoder::extend(items, process, cancel);
        count(items, false);
    }

    void step(const std::vector<decode_item> & items,
              const step_wishes &              wishes,
              const row_processor &            process,
              const cancel_flag &              cancel) override {
        before_call();
        std::vector<output_row> rows;
        tabular_decoder::step(items, wishes, [&](const output_row & row) { rows.push_back(row); }, cancel);
        count(items, true);
        team->run(rows.size(), [&](size_t i, size_t thread) {
            std::vector<float> hidden(size_t(n_embd()), 0);
            hidden[size_t(items[i].token)] = 1;
            output_row row                 = rows[i];
            row.thread                     = thread;
            row.hidden                     = hidden.data();
            process(row);
        });
    }

  private:
    std::unique_ptr<thread_team> team;

    void count(const std::vector<decode_item> & items, bool is_step) {
        calls.push_back({ is_step, items.size() });
        for (const decode_item & item : items) {
            ++lengths[item.seq];
        }
    }
};

}  // namespace ig
