#include "search/token_sampler.h"

#include "random_values.h"

#include <doctest/doctest.h>

#include <numeric>

using namespace ig;

namespace {

struct test_row {
    std::vector<float>    logits;
    std::vector<token_id> head_tokens;
    std::vector<float>    head_logits;
    int                   n_copied = 0;  // number of copies of the whole row

    test_row(random_stream & random, int32_t n_vocab, double spread) {
        for (int32_t i = 0; i < n_vocab; ++i) {
            logits.push_back(float(spread * (random.uniform() + random.uniform() + random.uniform() - 1.5)));
        }
        head_tokens.resize(logits.size());
        std::iota(head_tokens.begin(), head_tokens.end(), 0);
        std::stable_sort(head_tokens.begin(), head_tokens.end(),
                         [&](token_id a, token_id b) { return logits[a] > logits[b]; });
        for (token_id token : head_tokens) {
            head_logits.push_back(logits[token]);
        }
    }

    row_source whole() {
        return { logits.size(), {}, [this] {
                    ++n_copied;
                    return logits.data();
                } };
    }

    row_source with_head(size_t n) {
        row_source source = whole();
        source.head       = { head_tokens.data(), head_logits.data(), n, log_sum_exp(logits.data(), logits.size()) };
        return source;
    }
};

// The distribution that the sampler promises, computed in the simplest way.
std::vector<double> distribution(const std::vector<float> & logits,
                                 const sampling_options &   options,
                                 const token_counts &       tried,
                                 double                     penalty) {
    const size_t        n = logits.size();
    std::vector<double> scores(n);
    for (size_t i = 0; i < n; ++i) {
        const auto   found   = tried.find(token_id(i));
        const double avoided = found == tried.end() ? 0 : penalty * found->second;
        scores[i]            = options.temperature == 0 ?
                                   logits[i] - avoided :
                                   logits[i] / options.temperature - avoided * std::max(1.0, 1 / options.temperature);
    }
    std::vector<size_t> order(n);
    std::iota(order.begin(), order.end(), size_t(0));
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
    std::vector<double> p(n, 0);
    if (options.temperature == 0) {
        p[order[0]] = 1;
        return p;
    }
    const size_t n_top = options.top_k > 0 ? std::min(n, size_t(options.top_k)) : n;
    double       total = 0;
    for (size_t i = 0; i < n_top; ++i) {
        total += std::exp(scores[order[i]] - scores[order[0]]);
    }
    double mass = 0, kept = 0;
    for (size_t i = 0; i < n_top; ++i) {
        const double weight = std::exp(scores[order[i]] - scores[order[0]]);
        if (i > 0 && ((options.top_p < 1 && mass >= options.top_p * total) || weight < options.min_p)) {
            break;
        }
        mass += weight;
        p[order[i]] = weight;
        kept += weight;
    }
    for (double & x : p) {
        x /= kept;
    }
    return p;
}

sampling_options random_options(random_stream & random) {
    sampling_options options;
    options.temperature = draw_of<double>(random, { 0, 0.3, 1, 1, 1.7 });
    options.top_k       = draw_of<int32_t>(random, { 0, 0, 1, 5, 80 });
    options.top_p       = draw_of<double>(random, { 1, 1, 0.9, 0.4 });
    options.min_p       = draw_of<double>(random, { 0, 0, 0.05 });
    return options;
}

}  // namespace

TEST_CASE("tokens are drawn as often as temperature, truncation and penalty say") {
    const int n_draws = 4000;
    for (uint64_t seed = 0; seed < 60; ++seed) {
        CAPTURE(seed);
        random_stream          random(seed, 0, 0);
        const int32_t          n_vocab = draw_of<int32_t>(random, { 2, 7, 40, 1500 });
        const sampling_options options = random_options(random);
        test_row               row(random, n_vocab, draw_of<double>(random, { 1, 6 }));
        token_counts           tried;
        double                 penalty = 0;
        if (draw_bool(random)) {
            penalty                                                          = 1.5;
            tried[row.head_tokens[0]]                                        = 1;
            tried[row.head_tokens[size_t(draw_int(random, 0, n_vocab - 1))]] = 2;
        }
        const std::vector<double> expected = distribution(row.logits, options, tried, penalty);

        token_sampler    sampler(options);
        const row_source source = row.whole();
        sampler.read(source, tried.empty() ? nullptr : &tried, penalty);
        std::vector<int> n(size_t(n_vocab), 0);
        for (int i = 0; i < n_draws; ++i) {
            ++n[size_t(sampler.draw(random).token)];
        }
        // Rare tokens are counted as one.
        double     chi_square = 0, rare_expected = 0, rare_drawn = 0;
        int        n_cells = 0;
        const auto add     = [&](double drawn, double wanted) {
            chi_square += (drawn - wanted) * (drawn - wanted) / wanted;
            ++n_cells;
        };
        for (size_t i = 0; i < expected.size(); ++i) {
            const double wanted = n_draws * expected[i];
            if (expected[i] == 0) {
                REQUIRE(n[i] == 0);
            } else if (wanted < 10) {
                rare_expected += wanted;
                rare_drawn += n[i];
            } else {
                add(n[i], wanted);
            }
        }
        if (rare_expected >= 10) {
            add(rare_drawn, rare_expected);
        }
        const double freedom = std::max(1, n_cells - 1);
        CHECK(chi_square < freedom + 6 * std::sqrt(2 * freedom));
    }
}

TEST_CASE("the head of a row gives the same tokens as the whole row") {
    int n_from_head = 0;
    for (uint64_t seed = 0; seed < 400; ++seed) {
        CAPTURE(seed);
        random_stream          random(seed, 0, 1);
        const int32_t          n_vocab = draw_int(random, 130, 3000);
        const sampling_options options = random_options(random);
        test_row               row(random, n_vocab, draw_of<double>(random, { 2, 12, 30 }));
        const row_source       whole = row.whole();
        const row_source       head  = row.with_head(draw_of<size_t>(random, { most_listed, most_listed + 1, 128 }));
        token_sampler          from_whole(options), from_head(options);
        from_whole.read(whole, nullptr, 0);
        row.n_copied = 0;
        from_head.read(head, nullptr, 0);
        for (uint64_t i = 0; i < 20; ++i) {
            random_stream       random_a = random.branch(i), random_b = random.branch(i);
            const sampled_token a = from_whole.draw(random_a), b = from_head.draw(random_b);
            REQUIRE(a.token == b.token);
            CHECK(a.log_likelihood == doctest::Approx(b.log_likelihood).epsilon(1e-6));
        }
        n_from_head += row.n_copied == 0;
    }
    CHECK(n_from_head > 100);
}

TEST_CASE("the most probable tokens come in order, the lower id first where two are equal") {
    for (uint64_t seed = 0; seed < 200; ++seed) {
        CAPTURE(seed);
        random_stream random(seed, 0, 2);
        test_row      row(random, draw_int(random, 1, 300), 4);
        for (float & logit : row.logits) {
            logit = std::round(logit);  // produces ties
        }
        std::vector<token_id> order(row.logits.size());
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(),
                         [&](token_id a, token_id b) { return row.logits[a] > row.logits[b]; });
        const double     log_total = log_sum_exp(row.logits.data(), row.logits.size());
        token_sampler    sampler({});
        const row_source source = row.whole();
        sampler.read(source, nullptr, 0);
        const size_t k    = size_t(draw_int(random, 1, int32_t(order.size())));
        const auto   best = sampler.best(k);
        REQUIRE(best.size() == k);
        for (size_t i = 0; i < k; ++i) {
            CHECK(best[i].token == order[i]);
            CHECK(best[i].log_likelihood == doctest::Approx(row.logits[order[i]] - log_total).epsilon(1e-6));
        }
    }
}

// The code of the error thrown while a row is read, or "".
std::string code_of_reading(test_row & row, const sampling_options & options) {
    token_sampler    sampler(options);
    const row_source source = row.whole();
    try {
        sampler.read(source, nullptr, 0);
    } catch (const error & e) {
        return e.code;
    }
    return "";
}

TEST_CASE("logits that are no numbers are an error, not a token") {
    const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
    for (float bad : { nan, inf }) {
        for (size_t at : { 0u, 1u, 1300u, 1999u }) {
            random_stream random(at, 0, 3);
            test_row      row(random, 2000, 4);
            row.logits[at] = bad;
            CHECK(code_of_reading(row, {}) == "DECODE_FAILED");
        }
    }
}

TEST_CASE("logits that a temperature makes infinite are an error, not a token") {
    random_stream random(1, 0, 3);
    test_row      row(random, 2000, 4);
    row.logits[7] = 3e38f;
    sampling_options cold;
    cold.temperature = 0.5;
    CHECK(code_of_reading(row, cold) == "DECODE_FAILED");
    CHECK(code_of_reading(row, {}) == "");
}

TEST_CASE("what is drawn from edited logits has the likelihood of the base row") {
    for (uint64_t seed = 0; seed < 200; ++seed) {
        CAPTURE(seed);
        random_stream    random(seed, 0, 0);
        const int32_t    n_vocab = draw_int(random, 1, 200);
        test_row         edited(random, n_vocab, 4), base(random, n_vocab, 4);
        sampling_options options;
        options.temperature = draw_of<double>(random, { 0, 0.5, 1, 2 });
        options.top_k       = draw_of<int32_t>(random, { 0, 3 });
        token_sampler plain(options), with_base(options);
        row_source    source = edited.whole(), based = edited.whole();
        based.base = base.logits.data();
        plain.read(source, nullptr, 0);
        with_base.read(based, nullptr, 0);
        const double  total = log_sum_exp(base.logits.data(), base.logits.size());
        random_stream draws(seed, 1, 0), same_draws(seed, 1, 0);
        for (int i = 0; i < 20; ++i) {
            const sampled_token drawn = with_base.draw(same_draws);
            CHECK(drawn.token == plain.draw(draws).token);
            CHECK(drawn.log_likelihood == doctest::Approx(base.logits[size_t(drawn.token)] - total));
        }
        const auto best = with_base.best(size_t(std::min(n_vocab, 5)));
        for (const sampled_token & t : best) {
            CHECK(t.log_likelihood == doctest::Approx(base.logits[size_t(t.token)] - total));
        }
    }
}
