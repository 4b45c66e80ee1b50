// How long a thread of ggml keeps its CPU while it waits for others. Barriers on an idle machine take microseconds, and what a single
// thread does between them rarely more than some hundred. Where a wait is longer, a thread that is waited for may have no CPU, and
// spinning may be what keeps it from one: the waiting thread goes to another CPU if it shares its own with such a one, and sleeps
// after a while otherwise. It does not yield: Linux lets a thread that yields wait for whole turns of all others.
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

const microseconds longest_turns{ 2 };   // between two calls of one wait; what takes longer was work
const microseconds longest_spin{ 200 };  // without a look at where the others are
const microseconds sleepless{ 1000 };    // at the beginning of a wait
const microseconds sleep_time{ 50 };

#ifdef __linux__

const milliseconds recent{ 20 };

// The threads that wait, and where they were seen last.
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

// The scheduler may leave two threads that wait for each other on one CPU, and foreign ones on another, since both are equally loaded.
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
    last_call = steady_clock::now();
    spins_until =
        last_call + longest_spin;  // a row of short waits looks like a long one: most of it must stay spinning
}
