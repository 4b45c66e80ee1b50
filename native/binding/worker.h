// worker.h owns one native thread and its queue. Each guard has one, and so has a training run. Jobs run in the order
// of their arrival. Generations that may share the model run in parallel: the first on this thread, which makes every
// call on the model, the others on threads of their own. All results return to JavaScript as events through one
// thread-safe function. It keeps the process alive only while jobs are pending. A worker can be stopped at any time,
// also while the environment is torn down: running work is cancelled, the thread joined and the engine freed. All
// workers are registered, so that their threads end before the process does, however it exits: process.exit() runs no
// cleanup hooks, but destroys what a decode needs.
#pragma once

#include "critic/rollout_record.h"
#include "guard_engine.h"
#include "values.h"

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

namespace ig {

// makes an event's payload
using payload = std::function<Napi::Value(Napi::Env)>;

template <typename T> payload payload_of(T value) {
    auto shared = std::make_shared<T>(std::move(value));
    return [shared](Napi::Env env) {
        return to_js(env, *shared);
    };
}

struct delivery {
    uint32_t     id;
    const char * kind;
    bool         last;  // the job has ended
    payload      carries;
};

class worker;
struct job;

// a job's work and its result
using job_work = std::function<payload(worker &, job &)>;

// one queued or running job
struct job {
    uint32_t                  id;
    bool                      is_generation = false;
    cancel_flag               cancel;
    job_work                  work;
    std::unique_ptr<slot>     slot_ahead;     // for a generation that starts while others run
    std::unique_ptr<delivery> out_of_memory;  // allocated ahead, since memory may be too short to report it later

    // a JavaScript function's answer; guarded by the worker's lock
    std::condition_variable            answered;
    bool                               has_answer = false;
    std::optional<std::vector<double>> answer;  // unset: the function failed
};

class worker {
  public:
    worker(Napi::Env env, Napi::Function dispatch);
    ~worker();

    // For JavaScript's thread.
    void push(uint32_t id, job_work work, bool is_generation);
    void cancel(uint32_t id);
    void answer(uint32_t id, std::optional<std::vector<double>> values);

    // Cancels everything, joins the thread and frees the engine. Idempotent; JavaScript thread only.
    void stop();

    // JavaScript thread: called when the last job's event was delivered, or a job was queued.
    void hold_process(bool hold);

    // For jobs, on the thread that runs them.
    void           open(guard_spec spec, const cancel_flag & cancel, const std::function<void(float)> & progress);
    void           close();
    guard_engine & guard();  // throws INTERNAL if none is open
    ask_function   asker(job & j);

    std::vector<ggml_backend_dev_t> gpus(const std::string & device);

    template <typename T> void report(const job & j, const char * kind, T value) {
        send(j.id, kind, false, payload_of(std::move(value)));
    }

    std::vector<rollout> rollouts_to_learn;  // for the next critic

  private:
    Napi::Env                                env;
    napi_threadsafe_function                 events = nullptr;
    std::thread                              thread;
    std::mutex                               ending;   // locked while the thread is joined
    rendezvous                               news;     // its lock guards everything down to `stopping`
    std::deque<std::shared_ptr<job>>         queue;
    std::map<uint32_t, std::shared_ptr<job>> jobs;     // queued or running
    std::vector<std::thread>                 helpers;  // each runs one generation
    std::vector<std::thread::id>             finished_helpers;
    bool                                     stopping        = false;
    bool                                     runs_generation = false;  // of this thread, which alone uses it
    std::unique_ptr<guard_engine>            engine;                   // used by the thread only; null without a guard
    uint32_t                                 n_pending = 0;            // used by the JavaScript thread only

    void                run();
    void                run_job(job & j);
    void                attempt(job & j);
    void                cancel_everything();
    void                end_thread();
    bool                may_start_next() const;
    void                start_helpers();
    void                join_finished_helpers();
    void                send(uint32_t id, const char * kind, bool last, payload carries);
    void                send(std::unique_ptr<delivery> d);
    void                send_failure(uint32_t id, const std::string & code, const std::string & message);
    std::vector<double> ask(job & j, const char * kind, size_t index, const std::vector<text_view> & texts);

    static void deliver(napi_env env, napi_value dispatch, void * context, void * data);
    static void on_env_exit(void * self);
    static void on_process_exit();
    static void end_threads_at_exit();
};

}  // namespace ig
