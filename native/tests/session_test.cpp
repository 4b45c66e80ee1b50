// Searches share cost and reward models. What belongs to one search is in its sessions.
#include "safety/function_model.h"
#include "safety/guard_model.h"
#include "safety/lexicon.h"
#include "safety/linked_score.h"
#include "safety/probe.h"
#include "safety/score_model.h"
#include "safety/sequence_classifier.h"
#include "safety/text_classifier.h"
#include "serving.h"
#include "tabular.h"

#include <doctest/doctest.h>

using namespace ig;

namespace {

const int32_t n_bytes = 256;

// A model whose tokens are bytes and whose output is a hash of everything that it reads.
class byte_model : public text_model {
  public:
    explicit byte_model(int32_t width) : n_values(width) {}

    std::function<void()> before_read = [] {
    };
    std::set<std::thread::id> readers;
    size_t                    most_sessions = 0;
    int                       n_passes      = 1;  // how often each row comes

    int32_t width() const override { return n_values; }

    text_classes classes() const override {
        return {
            { "safe", "unsafe" },
            false, false
        };
    }

    const markup & chat_markup() const override { return rules; }

    token_id beginning() const override { return 0; }

    std::vector<token_id> tokenize(const std::string & text, bool, const cancel_flag * cancel) const override {
        if (cancel != nullptr) {
            cancel->check();
        }
        std::vector<token_id> tokens;
        for (char c : text) {
            tokens.push_back(uint8_t(c));
        }
        return tokens;
    }

  private:
    int32_t      n_values;
    marker_table table{ {} };
    markup       rules{ table };

    void read(const std::vector<token_sequence> & sequences, const row_function & row) override {
        readers.insert(std::this_thread::get_id());
        most_sessions = std::max(most_sessions, n_sessions());
        before_read();
        if (cancel != nullptr) {
            cancel->check();
        }
        for (size_t k = 0; k < sequences.size() * size_t(n_passes); ++k) {
            const size_t           i    = k % sequences.size();
            const token_sequence & s    = sequences[i];
            uint64_t               hash = 1;
            for (size_t t = 0; t < s.tokens.size(); ++t) {
                hash = hash * 0x9e3779b97f4a7c15 + uint64_t(s.tokens[t]) + 1;
                if (t + s.n_outputs < s.tokens.size()) {
                    continue;
                }
                random_stream      random(hash, 0, 0);
                std::vector<float> values;
                for (int32_t v = 0; v < n_values; ++v) {
                    values.push_back(float(4 * random.uniform() - 2));
                }
                row(i, t + s.n_outputs - s.tokens.size(), values.data());
            }
        }
    }
};

const template_pieces pieces     = { "[user] ", " [agent] ", { " [unsafe?] " }, {}, true };
const template_pieces asks_twice = {
    "",
    "|",
    { "|a? ", "|b? " },
    {},
    false
};
const guard_answers answers = {
    { "s" },
    { "u" },
    "u:",
    { "violence", "theft", "thanks" }
};

// a kind of scorer and the model that it reads with; null: none
struct scorer_case {
    const char *                 name;
    std::unique_ptr<text_scorer> scorer;
    byte_model *                 model;
};

classifier_weights random_classifier() {
    random_stream      random(1, 0, 0);
    classifier_weights weights;
    weights.with_context = true;
    for (uint32_t i = 0; i < n_classifier_buckets; ++i) {
        weights.buckets.push_back(float(random.uniform() - 0.5));
    }
    return weights;
}

linear_head random_head() {
    random_stream random(2, 0, 0);
    linear_head   head;
    for (int32_t i = 0; i < 8; ++i) {
        head.weight.push_back(float(random.uniform() - 0.5));
    }
    return head;
}

std::vector<scorer_case> every_kind() {
    std::vector<scorer_case> all;
    const auto               add = [&](const char * name, int32_t width, auto make) {
        auto         model = std::make_unique<byte_model>(width);
        byte_model * kept  = model.get();
        all.push_back({ name, make(std::move(model)), kept });
    };
    using model_of = std::unique_ptr<byte_model>;
    add("guard model", n_bytes,
        [](model_of m) { return std::make_unique<guard_model>(std::move(m), pieces, answers); });
    add("guard model with a question per category", n_bytes, [](model_of m) {
        return std::make_unique<guard_model>(std::move(m), asks_twice,
                                             guard_answers{
                                                 { "n" },
                                                 { "y" },
                                                 "", { "a", "b" }
        });
    });
    add("sequence classifier with a template", 2, [](model_of m) {
        return std::make_unique<sequence_classifier>(std::move(m), std::make_unique<template_pieces>(pieces),
                                                     class_choice(), "a file");
    });
    add("sequence classifier of responses", 2, [](model_of m) {
        return std::make_unique<sequence_classifier>(std::move(m), nullptr, class_choice(), "a file");
    });
    add("score model", 8,
        [](model_of m) { return std::make_unique<score_model>(std::move(m), pieces, random_head()); });
    add("probe", 8, [](model_of m) {
        return std::make_unique<last_state_probe>(std::move(m), probe_weights{ random_head(), true, {}, 0 });
    });
    all.push_back({ "classifier", std::make_unique<text_classifier>(random_classifier()), nullptr });
    all.push_back({
        "lexicon", std::make_unique<lexicon>(std::vector<lexicon_term>{ { "a*", 1 }, { "*b*", 2 } },
         SPELLING_STRICT),
        nullptr
    });
    all.push_back({ "function", std::make_unique<function_model>("cost", 0), nullptr });
    for (scorer_case & c : all) {
        c.scorer = std::make_unique<linked_score>(std::move(c.scorer), LINK_PROBABILITY, 0);
    }
    return all;
}

std::string random_text(random_stream & random, int32_t n) {
    std::string text;
    for (token_id letter : random_tokens(random, n, 5)) {
        text += "ab c."[letter];
    }
    return text;
}

// One search. In each round it asks about its texts, which have grown since the last one.
struct asker {
    std::string                           prompt;
    std::vector<std::vector<std::string>> rounds;
    std::vector<text_progress>            progress;
    cancel_flag                           cancel;
    session_scope                         scope;
    std::unique_ptr<scoring_session>      session;

    void draw(random_stream & random, int32_t n_rounds) {
        prompt = random_text(random, draw_int(random, 0, 12));
        rounds.emplace_back(size_t(draw_int(random, 1, 4)));
        for (int32_t r = 0; r < n_rounds; ++r) {
            for (std::string & text : rounds.back()) {
                text += random_text(random, draw_int(random, 1, 5));
            }
            rounds.push_back(rounds.back());
        }
        rounds.pop_back();
    }

    void open(const text_scorer & scorer, const call_function & on_owner) {
        scope.prompt  = prompt;
        scope.reading = { &cancel, 0, on_owner };
        scope.ask     = [this](const char *, size_t, const std::vector<text_view> & texts) {
            std::vector<double> lengths;
            for (const text_view & view : texts) {
                lengths.push_back(double(view.text->size()) - double(prompt.size()));
            }
            return lengths;
        };
        progress.assign(rounds[0].size(), {});
        session = scorer.open(scope);
    }

    // all answers of the session in a round
    std::vector<double> ask(size_t round) {
        const bool                  is_last = round + 1 == rounds.size();
        const std::vector<token_id> no_tokens;
        std::vector<text_view>      texts;
        for (size_t i = 0; i < rounds[round].size(); ++i) {
            texts.push_back({ &rounds[round][i], &no_tokens, is_last, 0, &progress[i] });
        }
        std::vector<double> said = session->scores(texts);
        for (size_t i = 0; i < texts.size() && is_last; ++i) {
            const std::vector<double> categories = session->categories(texts[i]);
            said.insert(said.end(), categories.begin(), categories.end());
        }
        return said;
    }
};

const int32_t n_rounds = 4;

// each asker's answers in each round when it is alone
std::vector<std::vector<std::vector<double>>> told_alone(std::vector<asker> & askers, const text_scorer & scorer) {
    std::vector<std::vector<std::vector<double>>> told;
    for (asker & a : askers) {
        a.open(scorer, nullptr);
        told.emplace_back();
        for (size_t round = 0; round < a.rounds.size(); ++round) {
            told.back().push_back(a.ask(round));
        }
        a.session.reset();
    }
    return told;
}

}  // namespace

TEST_CASE("rows that come again, since a reader began again, change nothing") {
    for (scorer_case & c : every_kind()) {
        CAPTURE(c.name);
        for (uint64_t seed = 0; seed < 20; ++seed) {
            CAPTURE(seed);
            random_stream      random(seed, 5, 0);
            std::vector<asker> askers(1);
            askers[0].draw(random, n_rounds);
            const auto once = told_alone(askers, *c.scorer);
            if (c.model != nullptr) {
                c.model->n_passes = 2;
                CHECK(told_alone(askers, *c.scorer) == once);
                c.model->n_passes = 1;
            }
        }
    }
}

TEST_CASE("sessions of one model that are asked by turns say what each says alone") {
    size_t n_that_differ = 0;
    for (scorer_case & c : every_kind()) {
        CAPTURE(c.name);
        for (uint64_t seed = 0; seed < 20; ++seed) {
            CAPTURE(seed);
            random_stream      random(seed, 3, 0);
            std::vector<asker> askers(size_t(draw_int(random, 2, 5)));
            for (asker & a : askers) {
                a.draw(random, n_rounds);
            }
            askers[1].rounds = askers[0].rounds;  // the same texts, after another prompt
            const auto alone = told_alone(askers, *c.scorer);
            n_that_differ += alone[0] != alone[1];
            for (asker & a : askers) {
                a.open(*c.scorer, nullptr);
            }
            std::vector<size_t> asked(askers.size(), 0);
            for (size_t n_left = askers.size() * size_t(n_rounds); n_left > 0;) {
                const size_t i = size_t(draw_int(random, 0, int32_t(askers.size()) - 1));
                if (asked[i] < size_t(n_rounds)) {
                    CHECK(askers[i].ask(asked[i]) == alone[i][asked[i]]);
                    ++asked[i];
                    --n_left;
                }
            }
        }
    }
    CHECK(n_that_differ > 100);  // most kinds read the prompt
}

TEST_CASE(
    "searches on several threads share a model that one thread reads with, and one that is stopped leaves the others") {
    int n_stopped = 0;
    for (scorer_case & c : every_kind()) {
        CAPTURE(c.name);
        for (uint64_t seed = 0; seed < 20; ++seed) {
            CAPTURE(seed);
            random_stream      random(seed, 4, 0);
            std::vector<asker> askers(size_t(draw_int(random, 2, 6)));
            for (asker & a : askers) {
                a.draw(random, n_rounds);
            }
            const auto    alone = told_alone(askers, *c.scorer);
            test_decoder  decoder(random_model(random, 3));
            serving       server(decoder);
            const bool    stops    = draw_bool(random);
            const int32_t stops_at = draw_int(random, 1, n_rounds);
            int32_t       n_reads  = 0;
            if (c.model != nullptr) {
                c.model->most_sessions = 0;
                c.model->readers.clear();
                c.model->before_read = [&] {
                    askers[0].cancel.requested = askers[0].cancel.requested || (stops && ++n_reads == stops_at);
                };
            }
            std::vector<std::vector<std::vector<double>>> together(askers.size());
            std::vector<slot_job>                         jobs;
            for (size_t i = 0; i < askers.size(); ++i) {
                jobs.push_back([&, i](slot & l) {
                    askers[i].open(*c.scorer,
                                   [&](const std::function<void()> & call) { l.call(call, askers[i].cancel); });
                    for (size_t round = 0; round < size_t(n_rounds); ++round) {
                        together[i].push_back(askers[i].ask(round));
                    }
                });
            }
            const std::vector<std::string> codes = server.run(jobs);
            for (size_t i = 0; i < askers.size(); ++i) {
                CAPTURE(i);
                askers[i].session.reset();
                if (i == 0 && codes[i] == "ABORTED") {
                    ++n_stopped;
                    continue;
                }
                CHECK(codes[i] == "");
                CHECK(together[i] == alone[i]);
            }
            if (c.model != nullptr) {
                CHECK(c.model->readers == std::set<std::thread::id>{ std::this_thread::get_id() });
                CHECK(c.model->most_sessions <= askers.size());
                c.model->before_read = [] {
                };
            }
        }
    }
    CHECK(n_stopped > 20);
}
