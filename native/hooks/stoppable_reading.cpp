#include "stoppable_reading.h"

#include <stdexcept>

namespace {

thread_local const std::atomic<bool> * stop_requested = nullptr;

}

void llama_look_for_stop() {
    if (stop_requested != nullptr && stop_requested->load(std::memory_order_relaxed)) {
        throw std::runtime_error("the reading was stopped");
    }
}

llama_stoppable_reading::llama_stoppable_reading(const std::atomic<bool> * stop) : before(stop_requested) {
    stop_requested = stop;
}

llama_stoppable_reading::~llama_stoppable_reading() {
    stop_requested = before;
}
