// epoch.h owns what a training run tells after every pass over its data.
#pragma once

#include <cstdint>
#include <functional>

namespace ig {

struct epoch_losses {
    int32_t epoch;       // from 1
    int32_t max_epochs;  // it may stop earlier
    double  training_loss;
    double  validation_loss;
};

using epoch_function = std::function<void(const epoch_losses &)>;

}  // namespace ig
