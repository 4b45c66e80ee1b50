#include "safety/safety_state.h"

#include "random_values.h"
#include "support/error.h"

#include <doctest/doctest.h>

#include <cstdlib>

using namespace ig;

namespace {

// hundredths / 10^n_more_digits, as the nearest double.
double decimal(int64_t hundredths, int n_more_digits) {
    return std::strtod(format("%llde-%d", (long long) hundredths, 2 + n_more_digits).c_str(), nullptr);
}

int64_t power_of(int64_t base, int n) {
    int64_t result = 1;
    for (int i = 0; i < n; ++i) {
        result *= base;
    }
    return result;
}

}  // namespace

TEST_CASE("decimal costs add up exactly, and are over the budget exactly where their sum is") {
    for (uint64_t seed = 0; seed < 3000; ++seed) {
        CAPTURE(seed);
        random_stream random(seed, 0, 0);
        const int64_t tenths   = draw_of<int64_t>(random, { 10, 10, 9, 5, 1 });  // of the discount
        const int     n_tokens = draw_int(random, 0, 6);
        budget_terms  terms;
        terms.discount = decimal(10 * tenths, 0);

        // in units of 10^-(n_tokens + 2)
        int64_t              exact = 0;
        std::vector<int64_t> hundredths;
        for (int t = 0; t < n_tokens; ++t) {
            hundredths.push_back(draw_int(random, 0, 300));
            exact += hundredths.back() * power_of(tenths, t) * power_of(10, n_tokens - t);
        }
        const int64_t near_exact = exact / power_of(10, n_tokens) + draw_int(random, -1, 1);
        terms.budget             = decimal(std::max<int64_t>(0, near_exact), 0);

        safety_state state;
        for (int t = 0; t < n_tokens; ++t) {
            const double c = decimal(hundredths[size_t(t)], 0);
            CHECK(state.cost_with(terms, 0) >= state.cost);
            state.charge(terms, c);
        }
        CHECK(state.cost == decimal(exact, n_tokens));
        const bool is_over = exact > std::max<int64_t>(0, near_exact) * power_of(10, n_tokens);
        CHECK(state.exceeded == is_over);
        CHECK((state.left(terms) >= 0) == !is_over);
        CHECK(state.may_continue(terms) == !is_over);
        terms.anytime = false;
        CHECK(state.may_continue(terms));
    }
}

TEST_CASE("costs that are no short decimals are never counted for less than they are") {
    for (uint64_t seed = 0; seed < 3000; ++seed) {
        CAPTURE(seed);
        random_stream random(seed, 1, 0);
        budget_terms  terms;
        terms.discount = 0.5 + 0.5 * random.uniform();
        safety_state state;
        long double  exact = 0, weight = 1, previous = 1;
        for (int t = draw_int(random, 1, 50); t > 0; --t) {
            const double c = random.uniform();
            state.charge(terms, c);
            exact += weight * c;
            previous = weight;
            weight *= terms.discount;
        }
        CHECK((long double) state.cost >= exact * (1 - 1e-17L));
        CHECK((long double) state.cost <= exact * (1 + 1e-12L));
        CHECK((long double) state.weight >= weight * (1 - 1e-17L));
        CHECK((long double) state.least_weight <= weight * (1 + 1e-17L));
        CHECK((long double) state.last_weight >= previous * (1 - 1e-17L));
        CHECK((long double) state.last_least_weight <= previous * (1 + 1e-17L));
    }
}

TEST_CASE("z follows z = (z - c) / gamma") {
    for (uint64_t seed = 0; seed < 500; ++seed) {
        CAPTURE(seed);
        random_stream random(seed, 2, 0);
        budget_terms  terms;
        terms.budget   = 3 * random.uniform();
        terms.discount = draw_of<double>(random, { 1, 0.999, 0.9 });
        safety_state state;
        double       z = state.left(terms);
        CHECK(z == terms.budget);
        for (int32_t n = draw_int(random, 0, 20); n > 0; --n) {
            const double c = random.uniform();
            state.charge(terms, c);
            CHECK(state.left(terms) == doctest::Approx((z - c) / terms.discount).epsilon(1e-9));
            z = state.left(terms);
        }
    }
}

TEST_CASE("a text that was over its budget once stays over it at any time, but not at its end") {
    budget_terms terms;
    terms.budget  = 1;
    terms.floored = false;
    safety_state state;
    state.charge(terms, 2);
    state.charge(terms, -1.5);
    CHECK(state.cost == 0.5);
    CHECK(state.left(terms) == 0.5);
    CHECK(!state.may_continue(terms));
    terms.anytime = false;
    CHECK(state.may_continue(terms));
}

TEST_CASE("costs below 0 count as 0 where they are floored") {
    budget_terms terms;
    safety_state state;
    state.charge(terms, 1);
    state.charge(terms, -1);
    CHECK(state.cost == 1);
}

TEST_CASE("a cost of the whole text is not discounted") {
    budget_terms terms;
    terms.discount  = 0.5;
    terms.per_token = false;
    safety_state state;
    for (double c : { 0.0, 0.0, 1.0 }) {
        state.charge(terms, c);
    }
    CHECK(state.cost == 1);
}
