// rendezvous.h owns the one lock of a guard's threads, with its condition variable. The threads are JavaScript's, the
// one that owns the model, and those of further generations.
#pragma once

#include <condition_variable>
#include <mutex>

namespace ig {

struct rendezvous {
    std::mutex              lock;
    std::condition_variable changed;  // notifies the owner of the model
};

}  // namespace ig
