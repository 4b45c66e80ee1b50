// worker.h owns one native thread and the queue to it: each guard has one, and so has a training run. Jobs run in the
// order they came; generations that may share the model run side by side, the first on this thread, which makes every call
// on the model, the others on threads of their own. Everything that happened goes back to JavaScript through one
// thread-safe function as events; it keeps the process alive only while jobs are pending. Stopping is possible at any time,
// also while the environment is being torn down: running work is cancelled, the thread joined and the engine freed. All workers
// are known, so that the threads can be ended when the process exits, however it does: process.exit() runs no cleanup hooks, and
// destroys what a decode needs.
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

// makes what an event carries
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
    bool         last;  // the job is over
    payload      carries;
};

class worker;
struct job;

// what a job does, and its result
using job_work = std::function<payload(worker &, job &)>;

// one queued or running job
struct job {
    uint32_t                  id;
    bool                      is_generation = false;
    cancel_flag               cancel;
    job_work                  work;
    std::unique_ptr<slot>     slot_ahead;     // of a generation that begins beside others
    std::unique_ptr<delivery> out_of_memory;  // made ahead: there may be no memory left to say so

    // the answer to a question to a JavaScript function; under the worker's lock
    std::condition_variable            answered;
    bool                               has_answer = false;
    std::optional<std::vector<double>> answer;  // nothing: the function failed
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

    // JavaScript thread: an event of the last job was delivered, or a job was queued.
    void hold_process(bool hold);

    // For jobs, on the thread that runs them.
    void           open(guard_spec spec, const cancel_flag & cancel, const std::function<void(float)> & progress);
    void           close();
    guard_engine & guard();  // throws INTERNAL where none is open
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
    std::mutex                               ending;   // held while the thread is joined
    rendezvous                               news;     // its lock is that of everything down to `stopping`
    std::deque<std::shared_ptr<job>>         queue;
    std::map<uint32_t, std::shared_ptr<job>> jobs;     // queued or running
    std::vector<std::thread>                 helpers;  // each runs one generation
    std::vector<std::thread::id>             finished_helpers;
    bool                                     stopping        = false;
    bool                                     runs_generation = false;  // this thread, which alone uses it
    std::unique_ptr<guard_engine>            engine;                   // the thread's; null without a guard
    uint32_t                                 n_pending = 0;            // the JavaScript thread's

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
