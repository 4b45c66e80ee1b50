// probe_training.h owns the training of probes on labelled responses. The model reads them as it would have generated
// them. Since probes judge unfinished text too, the first tokens of every response train along with the whole. One
// probe is trained per kind of input, for comparison: the mean after each layer, the state at the last token, and
// both.
#pragma once

#include "engine/response_reader.h"
#include "engine/thread_team.h"
#include "safety/score_model.h"
#include "support/epoch.h"

namespace ig {

struct labelled_response {
    std::vector<token_id> prompt;
    std::vector<token_id> tokens;
    float                 label;   // probability of "unsafe"
    bool                  trains;  // otherwise it is for validation, or is only scored
    bool                  validates;
};

// a response, or its first tokens
struct probe_row {
    size_t response;
    size_t n_tokens;
    bool   whole;
};

struct trained_probe {
    std::vector<int32_t> layers;               // whose means it reads
    bool                 last = false;         // it reads the state at the last token, after the means
    linear_head          head;                 // log-odds of "unsafe"
    double               prior = 0;            // log-odds without any input
    std::vector<double>  log_odds;             // of every row; calibrated
    double               validation_loss = 0;  // before calibration
    int32_t              n_epochs        = 0;  // passes over the data until the lowest
};

struct probe_training {
    std::vector<probe_row>     rows;
    std::vector<trained_probe> probes;
};

// Trains probes on the mean after each layer, on the last state, and on the last state with means. Those are the means
// of all layers, which also get a probe of their own, or, with `chooses`, of the layer with the lowest validation loss.
// The decoders read the residual stream after these layers, and the team's threads fit. Throws INVALID_DATA or
// TRAINING_DIVERGED.
probe_training train_probes(const open_decoder &                   open,
                            const std::vector<labelled_response> & responses,
                            const std::vector<int32_t> &           layers,
                            bool                                   chooses,
                            thread_team &                          team,
                            const cancel_flag &                    cancel,
                            const epoch_function &                 on_epoch);

}  // namespace ig
