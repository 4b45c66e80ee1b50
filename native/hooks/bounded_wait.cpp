// Bounds the time for which a ggml thread keeps its CPU while it waits for others. Barriers take microseconds on an
// idle machine, and the work of a single thread between them rarely more than some hundred. If a wait is longer, the
// thread waited for may have no CPU, perhaps because the waiting one spins on it. Then the waiting thread moves to
// another CPU if it shares its own with such a thread, and otherwise sleeps after a while. It does not yield: on Linux,
// a thread that yields waits for whole turns of all others.
#include "bounded_wait.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

#ifdef __linux__
#    include <sched.h>
#endif

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

const microseconds longest_turns{ 2 };   // between two calls within one wait; a longer time was work
const microseconds longest_spin{ 200 };  // between two checks of the others' CPUs
const microseconds sleepless{ 1000 };    // the first part of a wait, without sleep
const microseconds sleep_time{ 50 };

#ifdef __linux__

const milliseconds recent{ 20 };

// The waiting threads and their last known CPUs.
struct seen_thread {
    int                      cpu = -1;
    steady_clock::time_point when;

    seen_thread();
    ~seen_thread();
};

struct seen_threads {
    std::mutex                 mutex;
    std::vector<seen_thread *> list;
};

seen_threads & seen() {
    static seen_threads * all = new seen_threads;  // outlives every thread
    return *all;
}

seen_thread::seen_thread() {
    const std::lock_guard<std::mutex> lock(seen().mutex);
    seen().list.push_back(this);
}

seen_thread::~seen_thread() {
    const std::lock_guard<std::mutex> lock(seen().mutex);
    std::vector<seen_thread *> &      list = seen().list;
    list.erase(std::find(list.begin(), list.end(), this));
}

// The scheduler may leave two threads that wait for each other on one CPU and other processes' threads on another,
// since both CPUs have the same load.
bool leave_shared_cpu(steady_clock::time_point now) {
    thread_local seen_thread           self;
    const std::unique_lock<std::mutex> lock(seen().mutex, std::try_to_lock);
    if (!lock) {
        return false;
    }
    self.cpu          = sched_getcpu();
    self.when         = now;
    const bool shares = std::any_of(seen().list.begin(), seen().list.end(), [&](const seen_thread * other) {
        return other != &self && other->cpu == self.cpu && now - other->when < recent;
    });
    cpu_set_t  allowed;
    if (!shares || self.cpu < 0 || self.cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
        return false;
    }
    cpu_set_t others = allowed;
    CPU_CLR(self.cpu, &others);
    if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof(others), &others) != 0) {
        return false;
    }
    sched_setaffinity(0, sizeof(allowed), &allowed);
    self.cpu = sched_getcpu();
    return true;
}

#else

bool leave_shared_cpu(steady_clock::time_point) {
    return false;
}

#endif

}  // namespace

void ggml_wait_bounded(void) {
    thread_local steady_clock::time_point last_call;
    thread_local steady_clock::time_point spins_until;
    thread_local steady_clock::time_point sleeps_from;
    const steady_clock::time_point        now = steady_clock::now();
    if (now - last_call > longest_turns) {
        spins_until = now + longest_spin;
        sleeps_from = now + sleepless;
    }
    last_call = now;
    if (now < spins_until) {
        return;
    }
    if (!leave_shared_cpu(now) && now >= sleeps_from) {
        std::this_thread::sleep_for(sleep_time);
    }
    last_call   = steady_clock::now();
    spins_until = last_call + longest_spin;  // a series of short waits looks like a long one, and must mostly spin
}
