// probe_training.h owns the training of probes on labelled responses, which the model reads as it would have generated them.
// Unfinished text is judged too, so that the first tokens of every response train beside the whole. One probe is trained for each kind
// of input, so that they can be told apart: the mean behind each layer, the state at the last token, and both.
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
    bool                  trains;  // otherwise it validates, or is only scored
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
    bool                 last = false;         // it reads the state at the last token, behind the means
    linear_head          head;                 // log-odds of "unsafe"
    double               prior = 0;            // log-odds where nothing is known
    std::vector<double>  log_odds;             // of every row, calibrated
    double               validation_loss = 0;  // before calibration
    int32_t              n_epochs        = 0;  // passes over the data until it was lowest
};

struct probe_training {
    std::vector<probe_row>     rows;
    std::vector<trained_probe> probes;
};

// Probes on the mean behind each layer, on the last state, and on it beside means: those of all layers, whose own probe is trained
// too, or where it `chooses` that of the layer with the lowest validation loss. The decoders read the residual stream behind these
// layers, and the team's threads fit. Throws INVALID_DATA or TRAINING_DIVERGED.
probe_training train_probes(const open_decoder &                   open,
                            const std::vector<labelled_response> & responses,
                            const std::vector<int32_t> &           layers,
                            bool                                   chooses,
                            thread_team &                          team,
                            const cancel_flag &                    cancel,
                            const epoch_function &                 on_epoch);

}  // namespace ig
