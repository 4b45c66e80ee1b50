// calibration.h owns Platt scaling (Platt 1999, with the line search of Lin, Lin and Weng 2007): a slope above 0 and a shift
// for log-odds, of smallest cross-entropy on examples that did not train. The targets keep Platt's distance from 0 and 1, so
// that scores which tell all examples apart do not become certainties.
#pragma once

#include "support/cancel.h"

#include <vector>

namespace ig {

struct calibration {
    double slope = 1;
    double shift = 0;
};

// log_odds[i] holds the log-odds of the members of an ensemble, whose probabilities are averaged; a single model is an
// ensemble of one. labels[i] is in 0..1. Without a shift it stays 0: right where the many examples that trained tell the mean
// better than the few that calibrate.
calibration fit_calibration(const std::vector<std::vector<double>> & log_odds,
                            const std::vector<double> &              labels,
                            bool                                     with_shift,
                            const cancel_flag &                      cancel);

}  // namespace ig
