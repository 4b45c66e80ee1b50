// estimator.h owns the judgement of candidates: a verdict and a score for each. Finished candidates are judged by the
// true cost and reward models. Unfinished ones are judged by the models on the partial text, by the critic, or by the
// base model's log-likelihood.
#pragma once

#include "search/search.h"

namespace ig {

struct measurement {
    std::string                      text;
    std::vector<double>              cost;  // [constraint]
    std::vector<std::vector<double>> z;     // [constraint][token + 1]
    bool                             within_budget = true;

    // Whether the response may be the answer: it is within every budget, and its tokens spell the text that was judged
    // during the search.
    bool confirms(const path & finished) const { return within_budget && text == finished.text; }
};

class estimator {
  public:
    estimator(const search_models &  models,
              const search_options & options,
              const cancel_flag &    cancel,
              search_timings &       timings) :
        models(models),
        options(options),
        cancel(cancel),
        timings(timings) {}

    // Sets verdict, reward and score of every candidate.
    void evaluate(std::vector<path> & candidates);

    // Judges a text again, from its tokens alone.
    measurement measure_finished(const path & finished);

    // The same for a committed prefix. Its whole-text costs are already known.
    measurement measure_prefix(const std::vector<token_id> & tokens, const std::vector<double> & whole_text_costs);

  private:
    const search_models &  models;
    const search_options & options;
    const cancel_flag &    cancel;
    search_timings &       timings;

    void charge_whole_texts(std::vector<path> & candidates);
    void ask_critic(std::vector<path> & candidates);
    void set_rewards(std::vector<path> & candidates);
    bool needs_reward(const path & candidate) const;

    // Where the budget is enforced: whether the candidate costs too much to go on, or to be the answer.
    bool is_out(const path & candidate) const;

    using whole_text_cost = std::function<double(size_t constraint, const response & whole)>;
    measurement measure(const std::vector<token_id> & tokens, const whole_text_cost & judge_whole);
};

// Copies a measurement of the text into the result.
void report_measurement(search_result & result, measurement measured);

// Copies the log-likelihoods of the response into the result. `sums`: over the tokens up to and including each.
void report_log_likelihoods(search_result & result, const std::vector<double> & sums);

// Copies an answer into the result.
void report_answer(search_result & result, search_outcome outcome, const path & p, measurement measured);

}  // namespace ig
