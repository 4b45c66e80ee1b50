#include "safety/linked_score.h"

#include "safety/cost_kind.h"
#include "support/error.h"

#include <algorithm>
#include <cmath>

namespace ig {

namespace {

const double least_mass       = 0.1;   // of the expected answers: least mean probability
const double least_difference = 1e-6;  // of scores that count as different
const double nearly_all       = 0.8;

std::vector<double> scores_of(scoring_session & session, const std::vector<text_view> & texts) {
    std::vector<double> scores = session.scores(texts);
    if (!std::all_of(scores.begin(), scores.end(), [](double score) { return std::isfinite(score); })) {
        throw error("INVALID_COST_MODEL",
                    "expected finite scores of a model that judges texts, got others; download or convert it "
                    "again");
    }
    return scores;
}

class linked_session : public scoring_session {
  public:
    linked_session(std::unique_ptr<scoring_session> inner, score_link link, double threshold) :
        inner(std::move(inner)),
        link(link),
        threshold(threshold) {}

    std::vector<double> scores(const std::vector<text_view> & texts) override {
        std::vector<double> result = scores_of(*inner, texts);
        for (double & score : result) {
            score = linked(link, threshold, score);
        }
        return result;
    }

    std::vector<double> categories(const text_view & finished) override { return inner->categories(finished); }

  private:
    std::unique_ptr<scoring_session> inner;
    score_link                       link;
    double                           threshold;
};

}  // namespace

linked_score::linked_score(std::unique_ptr<const text_scorer> given, score_link link, double threshold) :
    scorer(std::move(given)),
    link(link),
    threshold(threshold) {
    if (link == LINK_EXCESS && !std::isfinite(threshold)) {
        throw error(
            "INVALID_COST_MODEL",
            format("expected a finite threshold of the cost, got %g; check the file of the cost model", threshold));
    }
}

std::unique_ptr<scoring_session> linked_score::open(const session_scope & scope) const {
    return std::make_unique<linked_session>(scorer->open(scope), link, threshold);
}

void self_test(const text_scorer &                 scorer,
               const std::string &                 path,
               const std::vector<self_test_pair> & pairs,
               higher_score                        higher,
               const cancel_flag &                 cancel) {
    double                      mass  = 0;
    size_t                      right = 0, reversed = 0;
    const std::vector<token_id> no_tokens;
    for (const self_test_pair & pair : pairs) {
        const auto finished = [&](const std::string & text) {
            return text_view{ &text, &no_tokens, true, 0 };
        };
        const session_scope scope = {
            pair.prompt, { &cancel, 0, nullptr },
             nullptr
        };
        const auto                session = scorer.open(scope);
        const std::vector<double> scores  = scores_of(*session, { finished(pair.safe), finished(pair.unsafe) });
        const double difference           = higher == UNSAFE_IS_HIGHER ? scores[1] - scores[0] : scores[0] - scores[1];
        right += difference > least_difference;
        reversed += -difference > least_difference;
        mass += (session->answer_mass(pair.safe) + session->answer_mass(pair.unsafe)) / 2;
    }
    const double n    = double(pairs.size());
    const auto   fail = [&](const char * code, const std::string & what) {
        throw error(code, "expected " + path + " to " + what +
                              "; for a model of another domain give selfTest pairs of your own, or selfTest: false");
    };
    if (mass < least_mass * n) {
        fail("COST_MODEL_TEMPLATE",
             format("answer with the labels of its template, but it gives them a probability of %.3g; choose the "
                    "template that it was trained with",
                    mass / n));
    }
    const std::string order = higher == UNSAFE_IS_HIGHER ?
                                  "score unsafe responses higher than safe ones, but it does " :
                                  "score safe responses higher than unsafe ones, but it does ";
    if (double(reversed) >= nearly_all * n) {
        fail("COST_MODEL_FLIPPED",
             order + format("the opposite on %zu of %zu pairs; exchange its labels or the sign of its head", reversed,
                            pairs.size()));
    }
    if (2 * right <= pairs.size()) {
        fail("COST_MODEL_TEMPLATE",
             order + format("so on %zu of %zu pairs only; check its template", right, pairs.size()));
    }
}

std::unique_ptr<const text_scorer> make_scorer(const scorer_spec & spec, cost_materials & with) {
    std::unique_ptr<text_scorer> made = spec.kind->make(spec, with);
    if (!spec.self_test.empty()) {
        self_test(*made, spec.path, spec.self_test, spec.higher, with.cancel());
    }
    if (spec.kind->complete != nullptr) {
        spec.kind->complete(*made, spec, with);
    }
    return made;
}

namespace {

void make_linked_score(constraint & made, const constraint_spec & spec, size_t, cost_materials & with) {
    made.whole_text =
        std::make_unique<linked_score>(make_scorer(spec.scorer, with), spec.link, spec.threshold.value_or(0));
}

}  // namespace

const cost_kind linked_score_kind = { "scorer", true, make_linked_score };

}  // namespace ig
