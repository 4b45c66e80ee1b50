// calibration.h owns Platt scaling (Platt 1999, with the line search of Lin, Lin and Weng 2007): a positive slope and a
// shift for log-odds that minimise the cross-entropy on examples that did not train. The targets keep Platt's distance
// from 0 and 1, so that scores that separate all examples do not become certainties.
#pragma once

#include "support/cancel.h"

#include <vector>

namespace ig {

struct calibration {
    double slope = 1;
    double shift = 0;
};

// log_odds[i] holds the log-odds of an ensemble's members, whose probabilities are averaged. A single model is an
// ensemble of one. labels[i] is in 0..1. Without a shift it stays 0: right if many examples trained and determine the
// mean better than the few that calibrate.
calibration fit_calibration(const std::vector<std::vector<double>> & log_odds,
                            const std::vector<double> &              labels,
                            bool                                     with_shift,
                            const cancel_flag &                      cancel);

}  // namespace ig
