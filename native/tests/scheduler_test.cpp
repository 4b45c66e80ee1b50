#include "serving.h"
#include "tabular.h"

#include <doctest/doctest.h>

#include <atomic>

using namespace ig;

namespace {

const residual_processor no_residual;
const cancel_flag        not_cancelled;

tabular_model some_model(int32_t max_sequences = 64) {
    random_stream random(1, 0, 0);
    tabular_model model = random_model(random, 5);
    model.max_sequences = max_sequences;
    return model;
}

// Reads a prompt, without its last token, into sequence 0.
void read_prompt(slot &                        l,
                 const std::vector<token_id> & prompt,
                 const kv_plan &               plan,
                 const cancel_flag &           cancel = not_cancelled) {
    std::vector<decode_item> items;
    for (int32_t i = l.reserve(plan, prompt, cancel); i + 1 < int32_t(prompt.size()); ++i) {
        items.push_back({ 0, i, prompt[size_t(i)] });
    }
    l.extend(items, no_residual, cancel);
}

// Appends one token to one sequence; returns the row of logits.
std::vector<float> step_one(slot & l, const decode_item & item, const cancel_flag & cancel = not_cancelled) {
    std::vector<float> row;
    const step_wishes  wishes;
    l.step(
        { item }, wishes,
        [&](const output_row & out) {
            const float * logits = l.logits(out);
            row.assign(logits, logits + l.n_vocab());
        },
        cancel);
    return row;
}

void step_times(slot & l, int32_t first_position, int32_t n, const cancel_flag & cancel = not_cancelled) {
    for (int32_t i = 0; i < n; ++i) {
        step_one(l, { 0, first_position + i, 0 }, cancel);
    }
}

}  // namespace

TEST_CASE("the steps of all slots go into one decode") {
    const tabular_model   model = some_model();
    test_decoder          decoder(model, 2);
    serving               server(decoder);
    std::vector<slot_job> jobs;
    for (int i = 0; i < 6; ++i) {
        jobs.push_back([](slot & l) {
            read_prompt(l, { 1 }, { 1, 20 });
            step_times(l, 0, 20);
        });
    }
    for (const std::string & code : server.run(jobs)) {
        CHECK(code == "");
    }
    REQUIRE(decoder.calls.size() == 20);
    for (const decoded & call : decoder.calls) {
        CHECK(call.n_items == 6);
    }
    CHECK(decoder.n_held() == 0);
}

TEST_CASE("a long prompt is read in pieces, and the others go on between them") {
    const tabular_model model = some_model();
    test_decoder        decoder(model);
    serving             server(decoder);
    random_stream       random(1, 0, 0);
    const auto          prompt = random_tokens(random, 5000, 5);
    const auto          codes  = server.run({
        [&](slot & l) { read_prompt(l, prompt, { 1, 5000 }); },
        [&](slot & l) {
            read_prompt(l, { 1 }, { 1, 50 });
            step_times(l, 0, 50);
        },
    });
    CHECK(codes == std::vector<std::string>{ "", "" });
    size_t n_read = 0, n_waited = 0;
    bool   may_wait = true;
    for (const decoded & call : decoder.calls) {
        if (call.is_step) {
            may_wait = n_read < prompt.size() - 1;
            n_waited = 0;
        } else {
            CHECK(call.n_items <= 512);
            n_read += call.n_items;
            ++n_waited;
            CHECK((!may_wait || n_waited <= 2));
        }
    }
    CHECK(n_read == prompt.size() - 1);
}

TEST_CASE(
    "what each slot gets does not depend on the others, on how many threads process its rows, or on how little room "
    "there is") {
    for (uint64_t seed = 0; seed < 60; ++seed) {
        CAPTURE(seed);
        random_stream       random(seed, 0, 0);
        const tabular_model model = some_model(draw_int(random, 4, 16));
        test_decoder        decoder(model, draw_int(random, 1, 3));
        serving             server(decoder);
        decoder.limit        = draw_int(random, 60, 200);
        const size_t n_slots = size_t(draw_int(random, 2, 7));

        // Each slot forks, drops and steps; its row has to be that of the token that it gave.
        std::vector<size_t>   n_wrong(n_slots, 0);
        std::vector<slot_job> jobs;
        for (size_t i = 0; i < n_slots; ++i) {
            jobs.push_back([&, i](slot & l) {
                random_stream own(seed, 1, i);
                const int32_t n_forks = draw_int(own, 1, 3), n_steps = draw_int(own, 1, 8);
                const auto    prompt = random_tokens(own, draw_int(own, 1, 20), 2);  // some share a prefix
                read_prompt(l, prompt, { 1 + n_forks, int64_t(prompt.size()) + 1 + n_forks * n_steps });
                const int32_t n_prompt = int32_t(prompt.size());
                step_one(l, { 0, n_prompt - 1, prompt.back() });
                for (seq_id seq = 1; seq <= n_forks; ++seq) {
                    l.fork(0, seq);
                }
                for (int32_t t = 0; t < n_steps; ++t) {
                    std::vector<decode_item> items;
                    for (seq_id seq = 1; seq <= n_forks; ++seq) {
                        items.push_back({ seq, n_prompt + t, draw_int(own, 0, 4) });
                    }
                    std::vector<char> right(items.size(), 0);
                    l.step(
                        items, {},
                        [&](const output_row & out) {
                            const float * expected =
                                &model.logits[size_t(items[out.index].token) * model.pieces.size()];
                            right[out.index] = std::equal(expected, expected + model.pieces.size(), l.logits(out)) &&
                                               out.thread < l.n_row_threads();
                        },
                        not_cancelled);
                    n_wrong[i] += size_t(std::count(right.begin(), right.end(), 0));
                    if (n_forks > 1 && draw_bool(own)) {
                        l.fork(1, n_forks);
                    }
                }
                l.keep(0, prompt);
            });
        }
        const auto codes = server.run(jobs);
        for (size_t i = 0; i < n_slots; ++i) {
            CHECK(codes[i] == "");
            CHECK(n_wrong[i] == 0);
        }
        server.shared.forget();
        CHECK(decoder.n_held() == 0);
    }
}

TEST_CASE("slots that lack room wait for it, first come first served, and never hold more than there is") {
    const tabular_model model = some_model();
    test_decoder        decoder(model);
    serving             server(decoder);
    decoder.limit = 100;
    std::atomic<int>      n_at_work{ 0 }, most_at_work{ 0 };
    std::vector<slot_job> jobs;
    for (int i = 0; i < 9; ++i) {
        jobs.push_back([&](slot & l) {
            read_prompt(l, { 1 }, { 1, 40 });
            const int n = ++n_at_work;
            for (int most = most_at_work; most < n && !most_at_work.compare_exchange_weak(most, n);) {
            }
            step_times(l, 0, 40);
            --n_at_work;
        });
    }
    for (const std::string & code : server.run(jobs)) {
        CHECK(code == "");
    }
    CHECK(most_at_work == 2);
}

TEST_CASE("a search that cannot have its room even alone is told so, and the others go on") {
    const tabular_model model = some_model();
    test_decoder        decoder(model);
    serving             server(decoder);
    decoder.limit       = 100;
    const slot_job fits = [](slot & l) {
        read_prompt(l, { 1 }, { 1, 30 });
        step_times(l, 0, 30);
    };
    const slot_job too_large = [](slot & l) {
        read_prompt(l, { 1 }, { 1, 101 });
    };
    CHECK(server.run({ fits, too_large, fits, too_large, fits }) ==
          std::vector<std::string>{ "", "KV_CAPACITY", "", "KV_CAPACITY", "" });
    CHECK(server.run(too_large) == "KV_CAPACITY");
    CHECK(server.run(fits) == "");
}

TEST_CASE("widening gives what others leave, and does not wait") {
    const tabular_model model = some_model(10);
    test_decoder        decoder(model);
    serving             server(decoder);
    int32_t             n_alone = 0, n_beside = 0, n_after = 0;
    CHECK(server.run([&](slot & l) {
        read_prompt(l, { 1 }, { 2, 10, 8, 5 });
        n_alone = l.widen(8, not_cancelled);
        CHECK(l.widen(0, not_cancelled) == 0);
        step_one(l, { 0, 0, 1 });  // its next step frees cells
        l.leave();
        const std::unique_ptr<slot> other = server.shared.open();
        read_prompt(*other, { 1 }, { 3, 10 });
        other->leave();
        l.come_back();
        n_beside = l.widen(8, not_cancelled);
    }) == "");
    CHECK(n_alone == 8);
    CHECK(n_beside == 5);
    CHECK(server.run([&](slot & l) {
        read_prompt(l, { 1 }, { 2, 10, 8, 5 });
        n_after = l.widen(8, not_cancelled);
    }) == "");
    CHECK(n_after == 8);
}

TEST_CASE("a search that holds more than it planned fails alone") {
    const tabular_model model = some_model();
    test_decoder        decoder(model);
    serving             server(decoder);
    const slot_job      too_long = [](slot & l) {
        read_prompt(l, { 1 }, { 1, 10 });
        step_times(l, 0, 30);
    };
    const slot_job too_wide = [](slot & l) {
        read_prompt(l, { 1, 2 }, { 2, 10, 3, 1 });
        for (seq_id seq = 1; seq < 4; ++seq) {
            l.fork(0, seq);
        }
        step_one(l, { 0, 1, 2 });
    };
    const slot_job modest = [](slot & l) {
        read_prompt(l, { 1 }, { 1, 50 });
        step_times(l, 0, 50);
    };
    CHECK(server.run({ modest, too_long, modest, too_wide }) ==
          std::vector<std::string>{ "", "INTERNAL", "", "INTERNAL" });
    CHECK(decoder.n_held() == 0);
}

TEST_CASE("what a search throws over a row ends that search only") {
    const tabular_model model = some_model();
    for (int32_t n_threads : { 1, 3 }) {
        test_decoder   decoder(model, n_threads);
        serving        server(decoder);
        const slot_job failing = [](slot & l) {
            read_prompt(l, { 1 }, { 9, 50 });
            step_times(l, 0, 5);
            std::vector<decode_item> items;
            for (seq_id seq = 1; seq < 9; ++seq) {
                l.fork(0, seq);
                items.push_back({ seq, 5, 0 });
            }
            l.step(items, {}, [](const output_row &) { throw error("CALLBACK_FAILED", "as asked"); }, not_cancelled);
        };
        const slot_job going_on = [](slot & l) {
            read_prompt(l, { 1 }, { 1, 50 });
            step_times(l, 0, 50);
        };
        for (int round = 0; round < 10; ++round) {
            CHECK((server.run({ going_on, failing, going_on, failing, failing }) ==
                   std::vector<std::string>{ "", "CALLBACK_FAILED", "", "CALLBACK_FAILED", "CALLBACK_FAILED" }));
            CHECK(decoder.n_held() == 0);
        }
    }
}

TEST_CASE("a cache that is lost while it grows ends the searches that had something in it, and later ones work") {
    const tabular_model model = some_model();
    test_decoder        decoder(model);
    serving             server(decoder);
    CHECK(server.run([&](slot & l) {
        read_prompt(l, { 1, 2, 3 }, { 1, 20 });
        step_one(l, { 0, 2, 3 });
        l.leave();
        const std::unique_ptr<slot> other = server.shared.open();
        decoder.loses_all                 = true;
        std::string code;
        try {
            read_prompt(*other, { 1 }, { 1, 5000 });
        } catch (const error & e) {
            code = e.code;
        }
        CHECK(code == "OUT_OF_MEMORY");
        other->leave();
        l.come_back();
        step_one(l, { 0, 3, 3 });
    }) == "OUT_OF_MEMORY");
    CHECK(server.run([](slot & l) {
        read_prompt(l, { 1, 2, 3 }, { 1, 20 });
        step_times(l, 2, 10);
    }) == "");
    CHECK(decoder.n_held() == 0);
}

TEST_CASE("a prompt that begins as an earlier one is not read again, and what is kept gives way to searches") {
    const tabular_model model = some_model();
    test_decoder        decoder(model);
    serving             server(decoder);
    decoder.limit                             = 100;
    const std::vector<token_id> prompt        = { 1, 2, 3, 4, 1, 2, 3 };
    const auto                  read_and_keep = [&](std::vector<token_id> tokens, int32_t expected) {
        CHECK(server.run([&](slot & l) {
            CHECK(l.reserve({ 1, 60 }, tokens, not_cancelled) == expected);
            std::vector<decode_item> items;
            for (int32_t i = expected; i < int32_t(tokens.size()); ++i) {
                items.push_back({ 0, i, tokens[size_t(i)] });
            }
            l.extend(items, no_residual, not_cancelled);
            l.keep(0, tokens);
        }) == "");
    };
    read_and_keep(prompt, 0);
    read_and_keep(prompt, 6);
    read_and_keep({ 1, 2, 3, 0, 0 }, 3);
    read_and_keep(prompt, 6);
    CHECK(decoder.n_held() == 12);
    CHECK(server.run([&](slot & l) { read_prompt(l, { 4 }, { 1, 100 }); }) == "");
    CHECK(decoder.n_held() == 0);
    read_and_keep(prompt, 0);
    server.shared.forget();
    CHECK(decoder.n_held() == 0);
}

TEST_CASE("what is kept counts in full again once a search that began with it is over") {
    const tabular_model model = some_model();
    test_decoder        decoder(model);
    serving             server(decoder);
    decoder.limit = 100;
    random_stream random(1, 0, 0);
    const auto    prompt = random_tokens(random, 50, 5);
    CHECK(server.run([&](slot & l) {
        read_prompt(l, prompt, { 1, 100 });
        l.keep(0, std::vector<token_id>(prompt.begin(), prompt.end() - 1));
    }) == "");
    CHECK(server.run([&](slot & l) { CHECK(l.reserve({ 1, 51 }, prompt, not_cancelled) == 49); }) == "");
    CHECK(decoder.n_held() == 49);
    CHECK(server.run([&](slot & l) {
        read_prompt(l, { 1 }, { 1, 60 });
        step_times(l, 0, 60);
    }) == "");
    CHECK(decoder.n_held() == 0);
}

TEST_CASE("work that comes while others are served runs beside them") {
    const tabular_model      model = some_model();
    test_decoder             decoder(model, 2);
    serving                  server(decoder);
    int                      n_waiting = 5, n_running = 0;  // guarded by the lock
    std::vector<std::thread> helpers;
    const auto               work = [](slot & l) {
        read_prompt(l, { 1, 2 }, { 1, 50 });
        step_times(l, 1, 40);
    };
    server.shared.take_up_work = [&] {
        while (n_waiting > 0 && n_running < 2) {
            --n_waiting;
            ++n_running;
            helpers.emplace_back([&, own = std::shared_ptr<slot>(server.shared.open_ahead())]() mutable {
                {
                    const std::lock_guard<std::mutex> until_its_lane_is_open(server.news.lock);
                }
                work(*own);
                own.reset();
                const std::lock_guard<std::mutex> guard(server.news.lock);
                --n_running;
                server.news.changed.notify_all();
            });
        }
    };
    CHECK(server.run(work) == "");
    server.shared.serve([&] { return n_waiting == 0 && n_running == 0; });
    server.shared.take_up_work = nullptr;
    for (std::thread & helper : helpers) {
        helper.join();
    }
    CHECK(helpers.size() == 5);
    CHECK(decoder.n_held() == 0);
}

TEST_CASE("slots may be opened by any thread while others are served") {
    const tabular_model   model = some_model();
    test_decoder          decoder(model, 2);
    serving               server(decoder);
    std::vector<slot_job> jobs;
    for (int i = 0; i < 4; ++i) {
        jobs.push_back([&](slot & l) {
            read_prompt(l, { 1 }, { 1, 20 });
            l.leave();
            for (int k = 0; k < 30; ++k) {
                const std::unique_ptr<slot> another = server.shared.open();
                read_prompt(*another, { 1, 2 }, { 1, 10 });
                step_times(*another, 1, 3);
            }
            l.come_back();
            step_times(l, 0, 20);
        });
    }
    for (const std::string & code : server.run(jobs)) {
        CHECK(code == "");
    }
    CHECK(decoder.n_held() == 0);
}

TEST_CASE("a slot that waits for something else does not hold up the others") {
    const tabular_model model = some_model();
    test_decoder        decoder(model);
    serving             server(decoder);
    std::atomic<bool>   others_are_done{ false };
    const auto          codes = server.run({
        [&](slot & l) {
            read_prompt(l, { 1 }, { 1, 10 });
            l.leave();
            while (!others_are_done) {
                std::this_thread::yield();
            }
            l.come_back();
            step_times(l, 0, 10);
        },
        [&](slot & l) {
            read_prompt(l, { 1 }, { 1, 50 });
            step_times(l, 0, 50);
            others_are_done = true;
        },
    });
    CHECK(codes == std::vector<std::string>{ "", "" });
}

TEST_CASE("a search that waits for room can be stopped") {
    const tabular_model model = some_model();
    test_decoder        decoder(model);
    serving             server(decoder);
    decoder.limit = 50;
    cancel_flag       cancel;
    std::atomic<bool> has_room{ false }, is_stopped{ false };
    const auto        codes = server.run({
        [&](slot & l) {
            read_prompt(l, { 1 }, { 1, 50 });
            has_room = true;
            server.request(cancel);
            for (int32_t i = 0; !is_stopped; ++i) {
                l.cut(0, 0);
                step_one(l, { 0, 0, 0 });
            }
        },
        [&](slot & l) {
            l.leave();
            while (!has_room) {
                std::this_thread::yield();
            }
            l.come_back();
            try {
                read_prompt(l, { 1 }, { 1, 50 }, cancel);
            } catch (const error &) {
                is_stopped = true;
                throw;
            }
        },
    });
    CHECK((codes == std::vector<std::string>{ "", "ABORTED" }));
}

TEST_CASE("stopping one search at any step leaves the others as they are, and nothing of it behind") {
    const tabular_model model = some_model();
    for (uint64_t seed = 0; seed < 50; ++seed) {
        CAPTURE(seed);
        random_stream            random(seed, 0, 0);
        test_decoder             decoder(model, draw_int(random, 1, 2));
        serving                  server(decoder);
        std::vector<cancel_flag> cancels(4);
        std::atomic<int32_t>     n_steps{ 0 };
        const int32_t            stops_at = draw_int(random, 0, 60);
        std::vector<slot_job>    jobs;
        for (size_t i = 0; i < cancels.size(); ++i) {
            jobs.push_back([&, i](slot & l) {
                read_prompt(l, { 1, 2, 3 }, { 1, 1000 }, cancels[i]);
                for (int32_t t = 0; i % 2 == 0 || t < 30; ++t) {  // those to be stopped would never end
                    l.cut(0, 2);
                    step_one(l, { 0, 2, 0 }, cancels[i]);
                    ++n_steps;
                }
            });
        }
        std::thread stopper([&] {
            for (size_t i = 0; i < cancels.size(); i += 2) {
                while (n_steps < stops_at) {
                    std::this_thread::yield();
                }
                server.request(cancels[i]);
            }
        });
        const auto  codes = server.run(jobs);
        stopper.join();
        CHECK((codes == std::vector<std::string>{ "ABORTED", "", "ABORTED", "" }));
        CHECK(decoder.n_held() == 0);
    }
}
