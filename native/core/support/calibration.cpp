#include "support/calibration.h"

#include "support/numeric.h"

#include <algorithm>
#include <cmath>

namespace ig {

namespace {

const double nearest = 1e-12;  // smallest distance of a probability from 0 and 1 in the calculation
const double prior   = 1e-3;   // pulls the slope to 1 if the examples do not determine it

std::vector<double> softened(const std::vector<double> & labels) {
    double positive = 0;
    for (double label : labels) {
        positive += label;
    }
    const double        highest = (positive + 1) / (positive + 2);
    const double        lowest  = 1 / (double(labels.size()) - positive + 2);
    std::vector<double> targets;
    for (double label : labels) {
        targets.push_back(lowest + (highest - lowest) * label);
    }
    return targets;
}

// the loss at a calibration, its gradient and its expected curvature
struct quadratic {
    double loss         = 0;
    double gradient[2]  = { 0, 0 };     // by slope, by shift
    double curvature[3] = { 0, 0, 0 };  // by slope and slope, slope and shift, shift and shift
};

quadratic expand(const std::vector<std::vector<double>> & log_odds,
                 const std::vector<double> &              targets,
                 const calibration &                      at) {
    quadratic q;
    q.loss         = prior / 2 * (at.slope - 1) * (at.slope - 1);
    q.gradient[0]  = prior * (at.slope - 1);
    q.curvature[0] = prior;
    q.curvature[2] = 1e-9;
    for (size_t i = 0; i < log_odds.size(); ++i) {
        const double n    = double(log_odds[i].size());
        double       mean = 0, by_slope = 0, by_shift = 0;
        for (double x : log_odds[i]) {
            const double p = sigmoid(at.slope * x + at.shift);
            mean += p / n;
            by_slope += p * (1 - p) * x / n;
            by_shift += p * (1 - p) / n;
        }
        const double p        = std::min(1 - nearest, std::max(nearest, mean));
        const double variance = p * (1 - p);
        const double residual = (p - targets[i]) / variance;
        q.loss -= targets[i] * std::log(p) + (1 - targets[i]) * std::log(1 - p);
        q.gradient[0] += residual * by_slope;
        q.gradient[1] += residual * by_shift;
        q.curvature[0] += by_slope * by_slope / variance;
        q.curvature[1] += by_slope * by_shift / variance;
        q.curvature[2] += by_shift * by_shift / variance;
    }
    return q;
}

}  // namespace

calibration fit_calibration(const std::vector<std::vector<double>> & log_odds,
                            const std::vector<double> &              labels,
                            bool                                     with_shift,
                            const cancel_flag &                      cancel) {
    const std::vector<double> targets = softened(labels);
    calibration               best;
    quadratic                 here = expand(log_odds, targets, best);
    for (int i = 0; i < 100; ++i) {
        cancel.check();
        const double * g           = here.gradient;
        const double * h           = here.curvature;
        const double   determinant = h[0] * h[2] - h[1] * h[1];
        if (!(determinant > 0)) {
            break;
        }
        const double by_slope = with_shift ? (h[2] * g[0] - h[1] * g[1]) / determinant : g[0] / h[0];
        const double by_shift = with_shift ? (h[0] * g[1] - h[1] * g[0]) / determinant : 0;
        bool         moved    = false;
        for (double step = 1; step > 1e-10 && !moved; step /= 2) {
            const calibration next  = { best.slope - step * by_slope, best.shift - step * by_shift };
            const quadratic   there = expand(log_odds, targets, next);
            if (next.slope > 0 && there.loss < here.loss) {
                best  = next;
                here  = there;
                moved = true;
            }
        }
        if (!moved) {
            break;
        }
    }
    return best;
}

}  // namespace ig
