#include "search/search.h"

#include "critic/critic.h"
#include "safety/function_model.h"
#include "safety/token_costs.h"
#include "serving.h"
#include "tabular.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace ig;

namespace {

// A critic that all searches share, as in a guard. Its output depends only on the text.
class text_critic : public critic {
  public:
    std::vector<float> keep(const float * hidden, const float *, size_t n_vocab) const override {
        return { hidden, hidden + n_vocab };
    }

    void append_inputs(const critic_input &, std::vector<float> &) const override {}

    std::vector<critic_output> judge(const std::vector<critic_input> & inputs, const cancel_flag &) override {
        std::vector<critic_output> result;
        for (const critic_input & input : inputs) {
            const size_t h = std::hash<std::string>()(*input.text.text);
            result.push_back({ float(h % 100) / 100, 0, float(h / 100 % 100) / 100 });
        }
        return result;
    }

    std::vector<float> ascend(const std::vector<critic_input> &, const ascent_options &, const cancel_flag &) override {
        return {};
    }
};

// What the searches of one guard share.
struct shared_models {
    std::vector<double>     token_prices;
    std::vector<constraint> constraints;
    function_model          reward{ "reward", 0 };
    text_critic             judge;

    shared_models(random_stream & random, int32_t n_vocab) {
        for (int32_t i = 0; i < n_vocab; ++i) {
            token_prices.push_back(draw_of<double>(random, { 0, 0, 0.1, 0.5, 1 }));
        }
        constraints.resize(1);
        constraints[0].terms.budget   = draw_of<double>(random, { 0, 0.3, 1, 2 });
        constraints[0].terms.discount = draw_of<double>(random, { 1, 1, 0.9 });
        constraints[0].per_token      = std::make_unique<token_costs>(token_prices);
        if (draw_bool(random)) {  // of whole texts: the number of letters of one kind
            constraint whole;
            whole.terms.budget    = draw_of<double>(random, { 0, 1, 2 });
            whole.terms.per_token = false;
            whole.whole_text      = std::make_unique<function_model>("cost", 1);
            constraints.push_back(std::move(whole));
        }
    }

    // the results of the functions
    static std::vector<double> ask(const char * kind, size_t, const std::vector<text_view> & texts) {
        std::vector<double> scores;
        for (const text_view & t : texts) {
            const double mean = t.log_likelihood / double(std::max<size_t>(1, t.tokens->size()));
            scores.push_back(kind == std::string("cost") ? letters_in(*t.text) : mean);
        }
        return scores;
    }

    static double letters_in(const std::string & text) { return double(std::count(text.begin(), text.end(), 'b')); }

    // Adds the costs up again.
    bool is_within_budget(const search_result & r) const {
        double cost = 0;
        for (size_t t = 0; t < r.tokens.size(); ++t) {
            cost += std::pow(constraints[0].terms.discount, double(t)) * token_prices[size_t(r.tokens[t])];
        }
        if (r.end_token >= 0) {
            cost +=
                std::pow(constraints[0].terms.discount, double(r.tokens.size())) * token_prices[size_t(r.end_token)];
        }
        return cost <= constraints[0].terms.budget + 1e-9 &&
               (constraints.size() == 1 || letters_in(r.text) <= constraints[1].terms.budget);
    }
};

struct search_case {
    std::vector<token_id> prompt;
    search_options        options;
};

search_case random_case(random_stream & random, int32_t n_vocab) {
    search_case      c;
    search_options & o = c.options;
    c.prompt           = random_tokens(random, draw_int(random, 1, 12), 2);  // some share a prefix
    o.expansion        = draw_int(random, 0, 3) == 0 ? EXPANSION_TOKEN : EXPANSION_SAMPLE;
    o.estimator        = draw_of<estimator_kind>(
        random, { ESTIMATOR_MODELS, ESTIMATOR_CRITIC, ESTIMATOR_BOTH, ESTIMATOR_LOG_LIKELIHOOD });
    o.selection            = draw_of<selection_kind>(random, { SELECTION_TOP, SELECTION_TOP, SELECTION_SOFT });
    o.sampling.temperature = draw_of<double>(random, { 1, 1, 0.5, 0 });
    o.sampling.top_k       = draw_of<int32_t>(random, { 0, 0, 3 });
    o.stop         = stop_strings(draw_of<std::vector<std::string>>(random, {
                                                                                {},
                                                                                {},
                                                                                { "ba" },
                                                                                { "c", "aab" }
    }));
    o.max_tokens   = draw_int(random, 1, 12);
    o.block_length = o.expansion == EXPANSION_TOKEN ? 1 : draw_int(random, 1, 5);
    o.n_candidates = draw_int(random, 1, 8);
    if (o.expansion == EXPANSION_TOKEN) {
        o.n_candidates = std::min(o.n_candidates, n_vocab);
    }
    o.n_start              = draw_int(random, 1, o.n_candidates);
    o.n_beams              = draw_int(random, 1, o.n_candidates);
    o.n_retries            = draw_int(random, 0, 2);
    o.diversity_penalty    = draw_of<double>(random, { 0, 1 });
    o.satisfied_p_safe     = 0.5;
    o.p_safe_threshold     = 0.1;
    o.lowest_score         = -10;
    o.highest_score        = 10;
    o.max_generated_tokens = draw_int(random, 20, 400);
    o.max_backtracks       = draw_int(random, 0, 3);
    o.seed                 = random.next();
    o.caches_prompt        = draw_bool(random);
    o.stream               = draw_bool(random);
    return c;
}

// a search's result, without what depends on the cache or the clock
struct answer {
    search_result result;
    std::string   committed;
};

answer run(decoder & model, shared_models & shared, const search_case & c, const cancel_flag & cancel) {
    guard_session       session(shared.constraints, shared.reward,
                                {
                                    "?", { &cancel, 0, nullptr },
                                     shared_models::ask
    },
                                "?");
    const search_models models = { model, shared.constraints, &session, &shared.judge };
    answer              a;
    a.result = search(models, c.prompt, c.options, cancel, [&](const std::string & text) { a.committed += text; });
    return a;
}

void check_equal(const answer & a, const answer & b) {
    CHECK(a.result.outcome == b.result.outcome);
    CHECK(a.result.tokens == b.result.tokens);
    CHECK(a.result.end_token == b.result.end_token);
    CHECK(a.result.text == b.result.text);
    CHECK(a.committed == b.committed);
    CHECK(a.result.cost == b.result.cost);
    CHECK(a.result.z == b.result.z);
    CHECK(a.result.reward == b.result.reward);
    CHECK(a.result.mean_log_likelihood == b.result.mean_log_likelihood);
    CHECK(a.result.n_generated == b.result.n_generated);
    CHECK(a.result.n_rounds == b.result.n_rounds);
    CHECK(a.result.n_backtracks == b.result.n_backtracks);
}

const cancel_flag not_cancelled;

}  // namespace

TEST_CASE("searches side by side on several threads find what each finds alone, within budget") {
    int n_answers = 0, n_reused = 0;
    for (uint64_t seed = 0; seed < 80; ++seed) {
        CAPTURE(seed);
        random_stream            random(seed, 0, 0);
        tabular_model            model   = random_model(random, draw_int(random, 2, 7));
        const int32_t            n_vocab = int32_t(model.pieces.size());
        shared_models            shared(random, n_vocab);
        std::vector<search_case> cases;
        for (int32_t n = draw_int(random, 2, 8); n > 0; --n) {
            cases.push_back(random_case(random, n_vocab));
        }
        std::vector<answer> alone(cases.size()), together(cases.size());
        for (size_t i = 0; i < cases.size(); ++i) {
            test_decoder decoder(model);
            serving      server(decoder);
            REQUIRE(server.run([&](slot & l) { alone[i] = run(l, shared, cases[i], not_cancelled); }) == "");
        }

        model.max_sequences = draw_int(random, 20, 64);
        test_decoder decoder(model, draw_int(random, 1, 3));
        decoder.limit = draw_int(random, 300, 600);
        serving               server(decoder);
        std::vector<slot_job> jobs;
        for (size_t i = 0; i < cases.size(); ++i) {
            jobs.push_back([&, i](slot & l) { together[i] = run(l, shared, cases[i], not_cancelled); });
        }
        for (int round = 0; round < 2; ++round) {
            for (const std::string & code : server.run(jobs)) {
                REQUIRE(code == "");
            }
            for (size_t i = 0; i < cases.size(); ++i) {
                CAPTURE(i);
                check_equal(alone[i], together[i]);
                const search_result & r = together[i].result;
                n_reused += r.n_reused > 0;
                if (r.outcome == OUTCOME_SAFE || r.outcome == OUTCOME_STEERED || r.outcome == OUTCOME_TRUNCATED) {
                    ++n_answers;
                    CHECK(shared.is_within_budget(r));
                }
            }
        }
        server.shared.forget();
        CHECK(decoder.n_held() == 0);
    }
    CHECK(n_answers > 200);
    CHECK(n_reused > 50);
}

TEST_CASE("a search that is stopped ends at once, the others find what they would, and nothing is left behind") {
    int n_stopped = 0;
    for (uint64_t seed = 0; seed < 60; ++seed) {
        CAPTURE(seed);
        random_stream       random(seed, 1, 0);
        const tabular_model model = random_model(random, 5);
        shared_models       shared(random, 5);
        const search_case   c = random_case(random, 5);
        answer              alone;
        size_t              n_calls;
        {
            test_decoder decoder(model);
            serving      server(decoder);
            REQUIRE(server.run([&](slot & l) { alone = run(l, shared, c, not_cancelled); }) == "");
            n_calls = decoder.calls.size();
        }
        test_decoder             decoder(model, draw_int(random, 1, 2));
        serving                  server(decoder);
        std::vector<cancel_flag> cancels(6);
        std::vector<answer>      answers(cancels.size());
        std::vector<slot_job>    jobs;
        for (size_t i = 0; i < cancels.size(); ++i) {
            jobs.push_back([&, i](slot & l) { answers[i] = run(l, shared, c, cancels[i]); });
        }
        const size_t stops_before = size_t(draw_int(random, 0, int32_t(n_calls) - 1));
        decoder.before_call       = [&] {
            for (size_t i = 0; i < cancels.size() && decoder.calls.size() == stops_before; i += 2) {
                cancels[i].requested = true;
            }
        };
        const auto codes = server.run(jobs);
        for (size_t i = 0; i < cancels.size(); ++i) {
            CAPTURE(i);
            const bool may_be_stopped = i % 2 == 0;
            if (codes[i] == "") {
                check_equal(alone, answers[i]);
            } else {
                CHECK(may_be_stopped);
                CHECK(codes[i] == "ABORTED");
                ++n_stopped;
            }
        }
        server.shared.forget();
        CHECK(decoder.n_held() == 0);
    }
    CHECK(n_stopped > 60);
}
