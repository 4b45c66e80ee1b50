#include "safety/guard_model.h"

#include "safety/cost_kind.h"
#include "support/error.h"
#include "support/numeric.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ig {

namespace {

double log_sum(const float * logits, const std::vector<token_id> & tokens) {
    double top = logits[tokens[0]];
    for (token_id token : tokens) {
        top = std::max(top, double(logits[token]));
    }
    double sum = 0;
    for (token_id token : tokens) {
        sum += std::exp(logits[token] - top);
    }
    return top + std::log(sum);
}

bool begins_with(const std::vector<token_id> & tokens, const std::vector<token_id> & beginning) {
    return tokens.size() >= beginning.size() && std::equal(beginning.begin(), beginning.end(), tokens.begin());
}

}  // namespace

guard_model::guard_model(std::unique_ptr<text_model> given,
                         template_pieces             template_text,
                         guard_answers               given_answers) :
    model(std::move(given)),
    pieces(*model, std::move(template_text)),
    answers(std::move(given_answers)),
    safe(label_tokens(answers.safe)),
    unsafe(label_tokens(answers.unsafe)) {
    for (token_id token : unsafe) {
        if (std::find(safe.begin(), safe.end(), token) != safe.end()) {
            throw error("COST_MODEL_TOKENIZER",
                        "expected labels that differ in their first token, but the model's tokenizer begins one "
                        "of \"" +
                            answers.safe[0] + "\" like one of \"" + answers.unsafe[0] + "\"; choose other labels");
        }
    }
}

std::vector<token_id> guard_model::label_tokens(const std::vector<std::string> & labels) const {
    const std::vector<token_id> before = pieces.fill("", "", 0, nullptr).tokens;
    std::vector<token_id>       first;
    for (const std::string & label : labels) {
        const std::vector<token_id> with_label = pieces.fill("", "", 0, nullptr, label).tokens;
        const bool                  follows    = begins_with(with_label, before) && with_label.size() > before.size();
        if (!follows || (first.empty() && with_label.size() != before.size() + 1)) {
            throw error("COST_MODEL_TOKENIZER",
                        "expected the label \"" + label +
                            "\" to be a token of the guard model, but its "
                            "tokenizer cuts it otherwise; choose the template that this model was trained with");
        }
        first.push_back(with_label[before.size()]);
    }
    return first;
}

double guard_model::log_odds(const float * logits) const {
    return log_sum(logits, unsafe) - log_sum(logits, safe);
}

class guard_model_session : public scoring_session {
  public:
    guard_model_session(const guard_model & shared, const session_scope & scope) :
        shared(shared),
        scope(scope),
        reading(*shared.model, scope.reading) {}

    std::vector<double> scores(const std::vector<text_view> & texts) override {
        std::vector<const std::string *> responses;
        for (const text_view & view : texts) {
            responses.push_back(view.text);
        }
        const std::vector<double> odds = judge(responses);
        std::vector<double>       worst;
        for (auto begin = odds.begin(); begin != odds.end(); begin += shared.pieces.n_questions()) {
            const auto end     = begin + shared.pieces.n_questions();
            const auto unknown = std::find_if(begin, end, [](double x) { return std::isnan(x); });
            worst.push_back(unknown != end ? *unknown : *std::max_element(begin, end));
        }
        return worst;
    }

    double answer_mass(const std::string & response) override {
        std::vector<token_id> expected = shared.safe;
        expected.insert(expected.end(), shared.unsafe.begin(), shared.unsafe.end());
        double mass = 0;
        reading.read({ filled(response, 0) }, [&](size_t, size_t, const float * logits) {
            mass = std::exp(log_sum(logits, expected) - log_sum_exp(logits, n_vocab()));
        });
        return mass;
    }

    std::vector<double> categories(const text_view & finished) override {
        if (shared.answers.categories.empty()) {
            return {};
        }
        const bool has_questions = shared.answers.before_category.empty();  // one per category
        return has_questions ? answered_categories(*finished.text) : named_categories(*finished.text);
    }

  private:
    const guard_model &   shared;
    const session_scope & scope;
    reading_session       reading;

    size_t n_vocab() const { return size_t(shared.model->width()); }

    token_sequence filled(const std::string & response, size_t question, const std::string & forced = "") const {
        return shared.pieces.fill(scope.prompt, response, question, scope.reading.cancel, forced);
    }

    // the log-odds of "unsafe", [response][question]
    std::vector<double> judge(const std::vector<const std::string *> & responses) {
        std::vector<token_sequence> sequences;
        for (const std::string * response : responses) {
            for (size_t q = 0; q < shared.pieces.n_questions(); ++q) {
                sequences.push_back(filled(*response, q));
            }
        }
        std::vector<double> odds(sequences.size());
        reading.read(sequences, [&](size_t i, size_t, const float * logits) { odds[i] = shared.log_odds(logits); });
        return odds;
    }

    std::vector<double> answered_categories(const std::string & response) {
        std::vector<double> result;
        for (double odds : judge({ &response })) {
            result.push_back(sigmoid(odds));
        }
        return result;
    }

    // By the log-likelihood of each name, if the model names categories.
    std::vector<double> named_categories(const std::string & response) {
        std::vector<std::vector<token_id>> named;
        for (const std::string & name : shared.answers.categories) {
            named.push_back(filled(response, 0, shared.answers.before_category + name).tokens);
        }
        size_t n_common = named[0].size() - 1;
        for (const std::vector<token_id> & tokens : named) {
            const size_t n = std::min(n_common, tokens.size() - 1);
            n_common =
                size_t(std::mismatch(tokens.begin(), tokens.begin() + n, named[0].begin()).first - tokens.begin());
        }
        const size_t                n_kept = filled(response, 0).n_kept;
        std::vector<token_sequence> sequences;
        for (const std::vector<token_id> & tokens : named) {
            const size_t n_named = tokens.size() - n_common;
            sequences.push_back({ std::vector<token_id>(tokens.begin(), tokens.end() - 1), n_kept, n_named });
        }
        std::vector<std::vector<double>> of_tokens;  // log-probabilities; an output may come more than once
        for (const token_sequence & s : sequences) {
            of_tokens.emplace_back(s.n_outputs);
        }
        reading.read(sequences, [&](size_t i, size_t output, const float * logits) {
            const token_id next  = named[i][n_common + output];
            of_tokens[i][output] = logits[next] - log_sum_exp(logits, n_vocab());
        });
        std::vector<double> log_likelihoods;
        for (const std::vector<double> & some : of_tokens) {
            log_likelihoods.push_back(std::accumulate(some.begin(), some.end(), 0.0));
        }
        const double top = *std::max_element(log_likelihoods.begin(), log_likelihoods.end());
        double       sum = 0;
        for (double x : log_likelihoods) {
            sum += std::exp(x - top);
        }
        std::vector<double> result;
        for (double x : log_likelihoods) {
            result.push_back(std::exp(x - top) / sum);
        }
        return result;
    }
};

std::unique_ptr<scoring_session> guard_model::open(const session_scope & scope) const {
    return std::make_unique<guard_model_session>(*this, scope);
}

namespace {

std::unique_ptr<text_scorer> make_guard_model(const scorer_spec & spec, cost_materials & with) {
    return std::make_unique<guard_model>(with.load(spec.path, OUTPUT_LOGITS), spec.pieces, spec.answers);
}

}  // namespace

const scorer_kind guard_model_kind = { "guardModel", make_guard_model, nullptr };

}  // namespace ig
