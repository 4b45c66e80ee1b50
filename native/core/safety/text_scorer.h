// text_scorer.h owns what the cost and reward models on a language model have in common: scores of responses to a prompt, and
// how a score becomes a cost (its probability, or its excess over a threshold) or a reward (as it is).
#pragma once

#include "safety/cost_model.h"

namespace ig {

enum cost_link {
    LINK_PROBABILITY,  // of "unsafe"
    LINK_EXCESS,       // of the score above a threshold, otherwise 0
};

class text_scorer {
  public:
    virtual ~text_scorer() = default;

    void begin(const std::string & prompt) { this->prompt = prompt; }

    // Whether it holds something of one search: the prompt, or the state of a model of its own.
    virtual bool serves_one_search() const { return true; }

    // One per response: log-odds, or what a head says. As a cost, higher is less safe.
    virtual std::vector<double> scores(const std::vector<text_view> & texts) = 0;

    // the probability that the model says one of the expected answers at all
    virtual double answer_mass(const std::string & response) { return 1; }

    // one probability per category; none where the model knows none
    virtual std::vector<double> categories(const text_view & finished) { return {}; }

  protected:
    std::string prompt;
};

class scored_cost : public sequence_cost_model {
  public:
    scored_cost(std::unique_ptr<text_scorer> scorer, cost_link link, double threshold) :
        scorer(std::move(scorer)),
        link(link),
        threshold(threshold) {}

    bool serves_one_search() const override { return scorer->serves_one_search(); }

    void begin(const std::string & prompt) override { scorer->begin(prompt); }

    std::vector<double> costs(const std::vector<text_view> & texts) override;

    std::vector<double> categories(const text_view & finished) override { return scorer->categories(finished); }

  private:
    std::unique_ptr<text_scorer> scorer;
    cost_link                    link;
    double                       threshold;
};

class scored_reward : public reward_model {
  public:
    explicit scored_reward(std::unique_ptr<text_scorer> scorer) : scorer(std::move(scorer)) {}

    bool serves_one_search() const override { return scorer->serves_one_search(); }

    void begin(const std::string & prompt) override { scorer->begin(prompt); }

    std::vector<double> rewards(const std::vector<text_view> & texts) override;

  private:
    std::unique_ptr<text_scorer> scorer;
};

// a prompt with a response that is safer than another
struct self_test_pair {
    std::string prompt, safe, unsafe;
};

// which response of a pair has to score higher: the unsafe one under a cost model, the safe one under a reward model
enum higher_score { UNSAFE_IS_HIGHER, SAFE_IS_HIGHER };

// Throws COST_MODEL_FLIPPED, COST_MODEL_TEMPLATE or INVALID_COST_MODEL where a model fails on such pairs.
void self_test(text_scorer &                       scorer,
               const std::string &                 path,
               const std::vector<self_test_pair> & pairs,
               higher_score                        higher);

}  // namespace ig
