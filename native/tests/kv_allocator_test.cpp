#include "serving/kv_allocator.h"

#include "tabular.h"

#include <doctest/doctest.h>

#include <set>

using namespace ig;

namespace {

const cancel_flag not_cancelled;

tabular_model model_of(int32_t max_sequences) {
    random_stream random(1, 0, 0);
    tabular_model model = random_model(random, 5);
    model.max_sequences = max_sequences;
    return model;
}

// a search that holds its prompt
struct held_prompt {
    kv_holding            holding;
    std::vector<token_id> prompt;
};

// Returns whether there was room, and if so reads the rest of the prompt.
bool begin(held_prompt & search, kv_allocator & cache, test_decoder & decoder) {
    if (!cache.reserve(search.holding, search.prompt)) {
        return false;
    }
    std::vector<decode_item> items;
    for (size_t i = size_t(search.holding.n_reused); i < search.prompt.size(); ++i) {
        items.push_back({ cache.id_of(search.holding, 0), int32_t(i), search.prompt[i] });
    }
    decoder.extend(items, nullptr, not_cancelled);
    return true;
}

kv_budget reserved_by(const std::vector<std::unique_ptr<held_prompt>> & searches) {
    kv_budget all;
    for (const auto & s : searches) {
        all = all + s->holding.reserved;
    }
    return all;
}

}  // namespace

TEST_CASE("reservations never exceed what the decoder has, and one that is alone gets what it plans") {
    int n_refused = 0, n_reused = 0;
    for (uint64_t seed = 0; seed < 200; ++seed) {
        CAPTURE(seed);
        random_stream       random(seed, 0, 0);
        const tabular_model model = model_of(draw_int(random, 6, 12));
        test_decoder        decoder(model);
        decoder.limit = draw_int(random, 60, 120);
        kv_allocator                              cache(decoder);
        std::vector<std::unique_ptr<held_prompt>> searches;
        for (int i = 0; i < 40; ++i) {
            const size_t at = searches.empty() ? 0 : size_t(draw_int(random, 0, int32_t(searches.size()) - 1));
            switch (draw_int(random, 0, 3)) {
                case 0:
                case 1:
                    {
                        auto search          = std::make_unique<held_prompt>();
                        search->prompt       = random_tokens(random, draw_int(random, 1, 20), 2);
                        search->holding.plan = { draw_int(random, 1, 3), draw_int(random, 20, 40),
                                                 draw_int(random, 0, 2), draw_int(random, 1, 5) };
                        if (begin(*search, cache, decoder)) {
                            n_reused += search->holding.n_reused > 0;
                            searches.push_back(std::move(search));
                        } else {
                            CHECK(!searches.empty());
                            ++n_refused;
                        }
                        break;
                    }
                case 2:
                    if (!searches.empty()) {
                        kv_holding &  h = searches[at]->holding;
                        const int32_t n = cache.widen(h, draw_int(random, 0, h.plan.n_more));
                        CHECK(n <= h.plan.n_more);
                        CHECK(h.reserved == h.plan.widened_by(n));
                        if (searches.size() == 1) {
                            CHECK(cache.widen(h, h.plan.n_more) == h.plan.n_more);
                        }
                    }
                    break;
                default:
                    if (!searches.empty()) {
                        held_prompt & search = *searches[at];
                        if (draw_bool(random)) {
                            cache.keep(search.holding, 0, search.prompt);
                        }
                        cache.release(search.holding);
                        searches.erase(searches.begin() + std::ptrdiff_t(at));
                    }
            }
            const kv_budget all = reserved_by(searches);
            CHECK(all.n_cells <= cache.n_cells());
            CHECK(cache.n_cells() <= decoder.limit);
            CHECK(all.n_sequences <= model.max_sequences);
            std::set<seq_id> ids;
            for (const auto & s : searches) {
                CHECK(ids.insert(s->holding.ids.at(0)).second);
            }
        }
        for (const auto & s : searches) {
            cache.release(s->holding);
        }
        cache.forget();
        CHECK(decoder.n_held() == 0);
    }
    CHECK(n_refused > 200);
    CHECK(n_reused > 200);
}

TEST_CASE("what is narrowed is free for others, once the search's changes are applied") {
    const tabular_model model = model_of(12);
    test_decoder        decoder(model);
    decoder.limit = 40;
    kv_allocator cache(decoder);
    held_prompt  wide, other;
    wide.prompt        = { 1 };
    wide.holding.plan  = { 1, 10, 6, 5 };
    other.prompt       = { 2 };
    other.holding.plan = { 1, 20 };
    REQUIRE(begin(wide, cache, decoder));
    CHECK(cache.widen(wide.holding, 6) == 6);
    CHECK(!cache.reserve(other.holding, other.prompt));
    wide.holding.changes.push_back({ CHANGE_NARROW, 0, 0, 1 });
    CHECK(!cache.was_narrowed());
    cache.apply_changes(wide.holding);
    CHECK(cache.was_narrowed());
    CHECK(!cache.was_narrowed());
    CHECK(cache.reserve(other.holding, other.prompt));
    CHECK(cache.widen(wide.holding, 6) == 2);
}

TEST_CASE("a search whose sequences were lost is told so, and one that held nothing is not") {
    const tabular_model model = model_of(12);
    test_decoder        decoder(model);
    kv_allocator        cache(decoder);
    held_prompt         holder, large;
    holder.prompt       = { 1, 2 };
    holder.holding.plan = { 1, 10 };
    large.prompt        = { 3 };
    large.holding.plan  = { 1, 5000 };
    REQUIRE(begin(holder, cache, decoder));
    decoder.loses_all = true;
    CHECK_THROWS_AS(begin(large, cache, decoder), const error &);
    CHECK_THROWS_AS(holder.holding.check(), const error &);
    CHECK_NOTHROW(large.holding.check());
    cache.release(holder.holding);
    CHECK(begin(large, cache, decoder));
}
