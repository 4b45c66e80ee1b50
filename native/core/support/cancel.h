// cancel.h owns the flag by which another thread stops a run. It is polled at least once per decode step and only
// changes from false to true.
#pragma once

#include "support/error.h"

#include <atomic>

namespace ig {

struct cancel_flag {
    std::atomic<bool> requested{ false };

    void check() const {
        if (requested.load(std::memory_order_relaxed)) {
            throw error("ABORTED", "the operation was aborted");
        }
    }
};

}  // namespace ig
