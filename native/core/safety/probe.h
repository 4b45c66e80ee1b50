// probe.h owns the cost model that reads the generating model's own latent state: logistic regression on the final-norm hidden
// state at the last token of a text (behind its context, where it was trained with one). It is trained with L2 on standardised
// features, and calibrated on the validation split.
#pragma once

#include "engine/text_model.h"
#include "safety/labelled_text.h"
#include "safety/score_model.h"
#include "support/epoch.h"

namespace ig {

struct probe_weights {
    linear_head head; // log-odds of "unsafe"
    bool        with_context = false;
};

// Reads weights for states of this width from a file; throws INVALID_COST_MODEL.
probe_weights load_probe(const std::string & path, int32_t n_embd);

class probe : public text_scorer {
  public:
    probe(std::unique_ptr<text_model> model, probe_weights weights) : model(std::move(model)), weights(std::move(weights)) {}

    std::vector<double> scores(const std::vector<text_view> & texts) override;

  private:
    std::unique_ptr<text_model> model;
    probe_weights               weights;
};

struct probe_training {
    probe_weights       weights;
    std::vector<double> log_odds; // of every text, calibrated
    int32_t             n_epochs = 0; // passes over the data until the validation loss was lowest
};

// Throws TRAINING_DIVERGED.
probe_training train_probe(text_model & model, const std::vector<labelled_text> & texts, const cancel_flag & cancel,
                           const epoch_function & on_epoch);

}
