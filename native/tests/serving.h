// serving.h owns searches side by side, as a guard runs them: each on a thread and a slot of its own, served by the thread that owns the
// decoder.
#pragma once

#include "serving/scheduler.h"

#include <thread>

namespace ig {

using slot_job = std::function<void(slot &)>;

class serving {
  public:
    explicit serving(real_decoder & real) : shared(real, news, computing) {}

    // Runs the jobs to their ends; returns the code of the error that each ended with, which is empty where there was none.
    std::vector<std::string> run(const std::vector<slot_job> & jobs) {
        std::vector<std::string>           codes(jobs.size());
        std::vector<std::unique_ptr<slot>> slots;  // all are open before the first is served
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

    // Runs one on the owner's own thread.
    std::string run(const slot_job & job) {
        std::unique_ptr<slot> own  = shared.open();
        const std::string     code = code_of([&] { job(*own); });
        own.reset();
        close_finished();
        return code;
    }

    // As another thread does that wants a search to stop.
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
