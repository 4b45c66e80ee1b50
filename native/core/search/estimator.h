// estimator.h owns the judgement of candidates: the verdict on each and what each is worth. Finished ones are judged by
// the true cost and reward models; unfinished ones by the models on the partial text, by the critic, or by the base
// model's log-likelihood.
#pragma once

#include "search/search.h"

namespace ig {

struct measurement {
    std::string                      text;
    std::vector<double>              cost;  // [constraint]
    std::vector<std::vector<double>> z;     // [constraint][token + 1]
    bool                             within_budget = true;

    // Whether the response may be the answer: it is within every budget, and its tokens spell what was judged on the way.
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

    // Judges a text once more from its tokens alone.
    measurement measure_finished(const path & finished);

    // The same for a committed prefix, whose whole-text costs are known.
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

    // Where the budget is enforced: it costs too much to go on, or to be the answer.
    bool is_out(const path & candidate) const;

    using whole_text_cost = std::function<double(size_t constraint, const response & whole)>;
    measurement measure(const std::vector<token_id> & tokens, const whole_text_cost & judge_whole);
};

// What a result says of its text.
void report_measurement(search_result & result, measurement measured);

// What it says of an answer.
void report_answer(search_result & result, search_outcome outcome, const path & p, measurement measured);

}  // namespace ig
