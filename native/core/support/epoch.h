// epoch.h owns the progress report of a training run after each epoch.
#pragma once

#include <cstdint>
#include <functional>

namespace ig {

struct epoch_losses {
    int32_t epoch;       // starts at 1
    int32_t max_epochs;  // training may stop earlier
    double  training_loss;
    double  validation_loss;
};

using epoch_function = std::function<void(const epoch_losses &)>;

}  // namespace ig
