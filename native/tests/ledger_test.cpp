#include "safety/ledger.h"

#include "random_values.h"
#include "safety/guard_session.h"
#include "safety/lexicon.h"
#include "safety/log_likelihood.h"
#include "safety/token_costs.h"
#include "support/error.h"

#include <doctest/doctest.h>

using namespace ig;

namespace {

// A token costs its number's cost, plus a further cost if the response ends after it.
class costs_with_ends : public token_costs {
  public:
    costs_with_ends(std::vector<double> costs, double of_end) : token_costs(std::move(costs)), of_end(of_end) {}

    double charge_end(const cost_state &) const override { return of_end; }

  private:
    double of_end;
};

struct random_case {
    std::vector<constraint> constraints;
    std::vector<double>     costs;        // of the tokens 0, 1, ..., in this order
    double                  of_end  = 0;
    double                  of_text = 0;  // under the second constraint
};

random_case random_case_of(uint64_t seed) {
    random_stream random(seed, 0, 0);
    random_case   one;
    for (int32_t n = draw_int(random, 1, 8); n > 0; --n) {
        one.costs.push_back(draw_of<double>(random, { 0, 0, 0.25, 1 }));
    }
    one.of_end  = draw_of<double>(random, { 0, 0, 0.5 });
    one.of_text = random.uniform();
    constraint tokens;
    tokens.per_token      = std::make_unique<costs_with_ends>(one.costs, one.of_end);
    tokens.terms.budget   = draw_of<double>(random, { 0, 0.5, 1, 2 });
    tokens.terms.discount = draw_of<double>(random, { 1, 0.5 });
    tokens.terms.anytime  = random.uniform() < 0.5;
    constraint text;
    text.terms.budget    = random.uniform();
    text.terms.discount  = 0.5;
    text.terms.per_token = false;
    one.constraints.push_back(std::move(tokens));
    one.constraints.push_back(std::move(text));
    return one;
}

}  // namespace

TEST_CASE("a response may go on, and may end, as its budgets say") {
    for (uint64_t seed = 0; seed < 3000; ++seed) {
        CAPTURE(seed);
        const random_case  one   = random_case_of(seed);
        const budget_terms terms = one.constraints[0].terms;
        const budget_terms whole = one.constraints[1].terms;
        ledger             paid(one.constraints, std::vector<cost_state>(2), std::vector<double>(2));
        double             sum      = 0;
        double             weight   = 1;
        bool               was_over = false;
        CHECK(paid.z(0) == terms.budget);
        for (size_t t = 0; t < one.costs.size(); ++t) {
            const bool ends = t + 1 == one.costs.size();
            paid.charge_token(token_id(t), "", ends, /*holds =*/false);
            const double with_end = sum + weight * (one.costs[t] + one.of_end);
            sum                   = ends ? with_end : sum + weight * one.costs[t];
            weight *= terms.discount;
            was_over = was_over || sum > terms.budget;
            CHECK(paid.cost(0) == sum);
            CHECK(paid.z(0) == doctest::Approx((terms.budget - sum) / weight));
            const bool may_end = with_end <= terms.budget && (!terms.anytime || !was_over);
            CHECK(paid.may_end() == may_end);
            CHECK(paid.within_budgets() == (ends ? may_end : !terms.anytime || !was_over));
        }
        const bool ended_within = paid.within_budgets();
        CHECK(paid.cost_with_whole(1, one.of_text) == one.of_text);
        paid.charge_whole(1, one.of_text);
        CHECK(paid.cost(1) == one.of_text);  // undiscounted
        CHECK(paid.total_cost() == sum + one.of_text);
        CHECK(paid.within_budgets() == (ended_within && one.of_text <= whole.budget));
        CHECK(ledger::allows_whole(one.constraints[1], one.of_text) == (one.of_text <= whole.budget));
    }
}

TEST_CASE("text that was held back is charged at the weight of the first token that held it, and tokens at their own") {
    for (const bool of_text : { true, false }) {
        std::vector<constraint> constraints(1);
        if (of_text) {
            constraints[0].per_token = std::make_unique<lexicon>(
                std::vector<lexicon_term>{
                    { "*a*", 1 }
            },
                SPELLING_STRICT);
        } else {
            constraints[0].per_token = std::make_unique<token_costs>(std::vector<double>{ 0, 1 });
        }
        constraints[0].terms.budget   = 8;
        constraints[0].terms.discount = 0.5;
        ledger paid(constraints, std::vector<cost_state>(1), std::vector<double>(1));
        paid.charge_token(0, "", false, /*holds =*/false);
        paid.charge_token(0, "", false, /*holds =*/true);
        paid.charge_token(0, "", false, /*holds =*/true);
        paid.charge_token(1, "a", false, /*holds =*/false);
        CHECK(paid.cost(0) == (of_text ? 0.5 : 0.125));
        paid.charge_token(1, "a", true, /*holds =*/false);
        CHECK(paid.cost(0) == (of_text ? 0.5 + 0.0625 : 0.125 + 0.0625));
    }
}

TEST_CASE("a prefill over a budget that no later cost can bring back ends the response") {
    for (const bool anytime : { true, false }) {
        for (const bool floored : { true, false }) {
            std::vector<constraint> constraints(1);
            constraints[0].terms.budget  = 1;
            constraints[0].terms.floored = floored;
            constraints[0].terms.anytime = anytime;
            const auto may_begin         = [&](double cost) {
                return ledger(constraints, std::vector<cost_state>(1), { cost }).within_budgets();
            };
            CHECK(may_begin(1));
            CHECK(may_begin(2) == (!anytime && !floored));
        }
    }
}

TEST_CASE("a prefill's text is charged once, whether it has tokens of its own or not") {
    std::vector<constraint> constraints(2);
    constraints[0].per_token = std::make_unique<lexicon>(
        std::vector<lexicon_term>{
            { "*a*", 1 }
    },
        SPELLING_STRICT);
    constraints[1].per_token = std::make_unique<token_costs>(std::vector<double>{ 1, 2 });
    const log_likelihood_reward reward;
    for (const std::vector<token_id> & tokens : {
             std::vector<token_id>{},
             { 0 },
             { 0, 1 }
    }) {
        const guard_session session(constraints, reward, {}, "", { "aa", tokens, {} });
        CHECK(session.prefill_costs()[0] == 2);
        CHECK(session.prefill_costs()[1] == std::vector<double>{ 0, 1, 3 }[tokens.size()]);
    }
}

TEST_CASE("what was over a budget once is not within it again, but at its end") {
    for (const bool anytime : { true, false }) {
        std::vector<constraint> constraints(1);
        constraints[0].per_token     = std::make_unique<token_costs>(std::vector<double>{ 2, -1.5 });
        constraints[0].terms.budget  = 1;
        constraints[0].terms.floored = false;
        constraints[0].terms.anytime = anytime;
        ledger paid(constraints, std::vector<cost_state>(1), std::vector<double>(1));
        paid.charge_token(0, "", false, /*holds =*/false);
        CHECK(paid.within_budgets() == !anytime);
        CHECK(!paid.may_end());
        paid.charge_token(1, "", true, /*holds =*/false);
        CHECK(paid.within_budgets() == !anytime);
        CHECK(paid.may_end() == !anytime);
    }
}
