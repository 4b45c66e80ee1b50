// If memory runs out on the thread that serves the searches, searches fail, never the process.
#include "serving.h"
#include "tabular.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <new>

using namespace ig;

namespace {

const int64_t unlimited = -1;

thread_local int64_t n_left = unlimited;  // allocations of this thread that still succeed

}  // namespace

void * operator new(size_t size) {
    if (n_left == 0) {
        throw std::bad_alloc();
    }
    if (n_left > 0) {
        --n_left;
    }
    if (void * memory = std::malloc(size > 0 ? size : 1)) {
        return memory;
    }
    throw std::bad_alloc();
}

void * operator new(size_t size, const std::nothrow_t &) noexcept {
    try {
        return operator new(size);
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
}

void operator delete(void * memory) noexcept {
    std::free(memory);
}

void operator delete(void * memory, size_t) noexcept {
    std::free(memory);
}

namespace {

const residual_processor no_residual;
const cancel_flag        not_cancelled;
const int32_t            n_steps = 6;

// Decodes a prompt and two paths after it; returns the rows.
std::vector<float> search_a_little(slot & l, const std::vector<token_id> & prompt) {
    std::vector<float>       rows;
    const step_wishes        wishes;
    std::vector<decode_item> items;
    const int32_t            n_prompt = int32_t(prompt.size());
    for (int32_t i = l.reserve({ 3, n_prompt + 2 * n_steps + 1 }, prompt, not_cancelled); i + 1 < n_prompt; ++i) {
        items.push_back({ 0, i, prompt[size_t(i)] });
    }
    l.extend(items, no_residual, not_cancelled);
    for (int32_t t = 0; t < n_steps; ++t) {
        const std::vector<decode_item> step =
            t == 0 ?
                std::vector<decode_item>{
                    { 0, n_prompt - 1, prompt.back() }
        } :
                std::vector<decode_item>{ { 1, n_prompt + t - 1, 1 }, { 2, n_prompt + t - 1, 2 } };
        std::vector<std::vector<float>> found(step.size());
        l.step(
            step, wishes,
            [&](const output_row & out) {
                const float * logits = l.logits(out);
                found[out.index].assign(logits, logits + l.n_vocab());
            },
            not_cancelled);
        for (const std::vector<float> & row : found) {
            rows.insert(rows.end(), row.begin(), row.end());
        }
        if (t == 0) {
            l.fork(0, 1);
            l.fork(0, 2);
        }
    }
    l.keep(0, prompt);
    return rows;
}

}  // namespace

TEST_CASE("where memory runs out, searches fail, and later ones get what they would have got") {
    random_stream                            random(1, 0, 0);
    const tabular_model                      model   = random_model(random, 5);
    const std::vector<std::vector<token_id>> prompts = {
        { 1, 2, 3, 0 },
        { 1, 2, 0 },
        { 3 }
    };
    std::vector<std::vector<float>> expected;
    for (const std::vector<token_id> & prompt : prompts) {
        test_decoder decoder(model);
        serving      server(decoder);
        server.run([&](slot & l) { expected.push_back(search_a_little(l, prompt)); });
    }
    int64_t n_most = 0;
    for (int64_t n_before = 0;; ++n_before) {
        CAPTURE(n_before);
        test_decoder decoder(model);
        serving      server(decoder);
        bool         has_begun     = false;
        server.shared.take_up_work = [&] {
            if (!has_begun) {
                has_begun = true;
                n_left    = n_before;
            }
        };
        std::vector<std::vector<float>> found(prompts.size());
        std::vector<slot_job>           jobs;
        for (size_t i = 0; i < prompts.size(); ++i) {
            jobs.push_back([&, i](slot & l) { found[i] = search_a_little(l, prompts[i]); });
        }
        const std::vector<std::string> codes = server.run(jobs);
        const bool                     ended = n_left > 0;
        n_left                               = unlimited;
        for (size_t i = 0; i < jobs.size(); ++i) {
            CHECK((codes[i] == "" || codes[i] == "OUT_OF_MEMORY"));
            CHECK((codes[i] != "" || found[i] == expected[i]));
            CHECK((!ended || codes[i] == ""));
        }
        CHECK(server.run([&](slot & l) { found[0] = search_a_little(l, prompts[0]); }) == "");
        CHECK(found[0] == expected[0]);
        server.shared.forget();
        CHECK(decoder.n_held() == 0);
        if (ended) {
            n_most = n_before;
            break;
        }
    }
    CHECK(n_most > 20);
}
