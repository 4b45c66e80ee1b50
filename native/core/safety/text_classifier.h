// text_classifier.h owns the cost model that is learned from labelled texts: logistic regression on hashed n-grams
// (words, pairs of words and, by default, 3 to 5 characters within a word), of the text alone or after its context. The
// log-odds of "unsafe" is the sum of the weights of all n-grams divided by the square root of their number, for text
// and context separately, plus a bias. It is calibrated on the validation split. When a text grows, reading resumes
// where it stopped.
#pragma once

#include "safety/cost_model.h"
#include "safety/labelled_text.h"
#include "support/cancel.h"
#include "support/epoch.h"

#include <cmath>

namespace ig {

const uint32_t n_classifier_buckets = 1 << 18;

struct classifier_weights {
    std::vector<float> buckets;  // [n_classifier_buckets]
    double             bias            = 0;
    bool               with_context    = false;
    bool               with_characters = true;  // also n-grams of characters
    double             threshold       = 0.5;   // recommended: texts with a higher probability are unsafe
};

struct cost_kind;

extern const cost_kind text_classifier_kind;

// Reads weights from a file; throws INVALID_COST_MODEL.
classifier_weights load_classifier(const std::string & path);

class text_classifier : public text_scorer {
  public:
    explicit text_classifier(classifier_weights weights) : weights(std::move(weights)) {}

    std::unique_ptr<scoring_session> open(const session_scope & scope) const override;

    // the recommended threshold as log-odds
    double threshold() const { return std::log(weights.threshold / (1 - weights.threshold)); }

    double recommended_budget() const { return weights.threshold; }

  private:
    classifier_weights weights;

    double context_log_odds(const std::string & context) const;
    double text_log_odds(const std::string & text, text_progress & progress) const;
};

struct classifier_training {
    classifier_weights  weights;
    std::vector<double> log_odds;      // of every text, calibrated
    int32_t             n_epochs = 0;  // until the lowest validation loss
};

classifier_training train_classifier(const std::vector<labelled_text> & texts,
                                     bool                               with_context,
                                     bool                               with_characters,
                                     uint64_t                           seed,
                                     const cancel_flag &                cancel,
                                     const epoch_function &             on_epoch);

}  // namespace ig
