// rendezvous.h owns the one lock, and the news under it, by which a guard's threads meet: JavaScript's, the one that owns the
// model, and those of further generations.
#pragma once

#include <condition_variable>
#include <mutex>

namespace ig {

struct rendezvous {
    std::mutex              lock;
    std::condition_variable changed;  // for the owner of the model
};

}  // namespace ig
