// probe.h owns the cost model that reads the generating model's own latent state with logistic regression. Its input is
// the mean of the residual stream after chosen layers over the tokens of the response and its prefill, which the search
// has anyway and which needs no further decode; or the final-norm hidden state at the last token of a text (after its context, if it
// was trained with one).
#pragma once

#include "engine/text_model.h"
#include "safety/score_model.h"

namespace ig {

struct probe_weights {
    linear_head          head;       // log-odds of "unsafe"; [layer, n_embd] for means
    bool                 with_context = false;
    std::vector<int32_t> layers;     // layers whose means are read; empty: the last token's state is read
    double               prior = 0;  // for means: log-odds of a response without decoded tokens
};

// the model that a probe belongs to
struct probed_model {
    int32_t n_layers;
    int32_t n_stream;  // width of the residual stream
    int32_t n_hidden;  // width of the final-norm hidden state
};

// Throws INVALID_COST_MODEL.
probe_weights load_probe(const std::string & path, const probed_model & model);

class mean_probe : public text_scorer {
  public:
    // `places` of its layers among the layers that are read.
    mean_probe(probe_weights weights, std::vector<size_t> places) :
        weights(std::move(weights)),
        places(std::move(places)) {}

    std::unique_ptr<scoring_session> open(const session_scope & scope) const override;

    // of "unsafe"
    double log_odds(const text_view & text) const;

  private:
    probe_weights       weights;
    std::vector<size_t> places;
};

class last_state_probe : public text_scorer {
  public:
    last_state_probe(std::unique_ptr<text_model> model, probe_weights weights) :
        model(std::move(model)),
        weights(std::move(weights)) {}

    std::unique_ptr<scoring_session> open(const session_scope & scope) const override;

  private:
    std::unique_ptr<text_model> model;
    probe_weights               weights;
};

extern const scorer_kind probe_kind;

}  // namespace ig
