// serving.h owns parallel searches, as a guard runs them: each has a thread and a slot, and the thread that owns the
// decoder serves them.
#pragma once

#include "serving/scheduler.h"

#include <thread>

namespace ig {

using slot_job = std::function<void(slot &)>;

class serving {
  public:
    explicit serving(real_decoder & real) : shared(real, news, computing) {}

    // Runs the jobs to their ends. Returns the code of each job's error, empty if there was none.
    std::vector<std::string> run(const std::vector<slot_job> & jobs) {
        std::vector<std::string>           codes(jobs.size());
        std::vector<std::unique_ptr<slot>> slots;  // all are opened before the first is served
        for (size_t i = 0; i < jobs.size(); ++i) {
            slots.push_back(shared.open());
        }
        size_t                   n_running = jobs.size();
        std::vector<std::thread> threads;
        for (size_t i = 0; i < jobs.size(); ++i) {
            threads.emplace_back([&, i] {
                codes[i] = code_of([&] { jobs[i](*slots[i]); });
                slots[i].reset();
                const std::lock_guard<std::mutex> guard(news.lock);
                --n_running;
                news.changed.notify_all();
            });
        }
        shared.serve([&] { return n_running == 0; });
        for (std::thread & thread : threads) {
            thread.join();
        }
        close_finished();
        return codes;
    }

    // Runs a job on the owner's own thread.
    std::string run(const slot_job & job) {
        std::unique_ptr<slot> own  = shared.open();
        const std::string     code = code_of([&] { job(*own); });
        own.reset();
        close_finished();
        return code;
    }

    // Requests a stop, as another thread would.
    void request(cancel_flag & cancel) {
        const std::lock_guard<std::mutex> guard(news.lock);
        cancel.requested = true;
        news.changed.notify_all();
    }

    rendezvous news;
    std::mutex computing;
    scheduler  shared;

  private:
    void close_finished() {
        shared.serve([] { return true; });
    }

    template <typename F> static std::string code_of(F work) {
        try {
            work();
        } catch (const error & e) {
            return e.code;
        } catch (const std::bad_alloc &) {
            return "OUT_OF_MEMORY";
        }
        return "";
    }
};

}  // namespace ig
