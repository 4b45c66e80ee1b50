// worker.h owns one native thread and the queue to it: each guard has one, and so has a training run. Jobs run in the
// order they came; generations that may share the model run side by side, the first on this thread, which makes every call
// on the model, the others on threads of their own. Everything that happened goes back to JavaScript through one
// thread-safe function as events; it keeps the process alive only while jobs are pending. Stopping is possible at any time,
// also while the environment is being torn down: running work is cancelled, the thread joined and the engine freed. All workers
// are known, so that the threads can be ended when the process exits, however it does: process.exit() runs no cleanup hooks, and
// destroys what a decode needs.
#pragma once

#include "guard_engine.h"
#include "marshal_training.h"
#include "node_api.h"

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

namespace ig {

// turns itself into the JavaScript arguments (kind, payload) of an event
using event = std::function<Napi::Value(Napi::Env)>;

struct delivery {
    uint32_t     id;
    const char * kind;
    bool         last;  // the job is over
    event        payload;
};

// one queued or running job
struct job {
    uint32_t                   id;
    bool                       is_generation = false;
    cancel_flag                cancel;
    std::function<void(job &)> work;
    std::unique_ptr<slot>      slot_ahead;     // of a generation that begins beside others
    std::unique_ptr<delivery>  out_of_memory;  // made ahead: there may be no memory left to say so

    // the answer to a question to a JavaScript function; under the worker's lock
    std::condition_variable answered;
    bool                    has_answer = false;
    bool                    failed     = false;
    std::vector<double>     answer;
};

class worker {
  public:
    worker(Napi::Env env, Napi::Function dispatch);
    ~worker();

    void open(uint32_t id, guard_spec spec);
    void generate(uint32_t id, generation_request request);
    void tokenize(uint32_t id, std::vector<prompt_source> prompts);
    void rollouts(uint32_t id, rollout_request request);
    void layer_states(uint32_t id, std::vector<prompt_source> prompts);
    void score(uint32_t id, score_request request);
    void log_likelihoods(uint32_t id, std::vector<token_id> prompt, std::vector<token_id> tokens);
    void bare_decode(uint32_t id, int32_t n_prompt, int32_t n_sequences, int32_t n_tokens);
    void train_classifier(uint32_t id, classifier_job training);
    void train_probes(uint32_t id, probe_request request);

    // Keeps rollouts for the next train_critic, so that a whole folder need not be in memory twice.
    void add_rollouts(std::vector<rollout> more);
    void train_critic(uint32_t id, critic_job training);

    void cancel(uint32_t id);
    void answer(uint32_t id, std::vector<double> values, bool failed);

    // Frees the engine after everything that was queued before.
    void close(uint32_t id);

    // Cancels everything, joins the thread and frees the engine. Idempotent; JavaScript thread only.
    void stop();

    // JavaScript thread: an event of the last job was delivered, or a job was queued.
    void hold_process(bool hold);

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
    std::vector<rollout>                     rollouts_to_learn;        // the JavaScript thread's

    void                push(uint32_t id, std::function<void(job &)> work, bool is_generation = false);
    void                run();
    void                run_job(job & j);
    void                attempt(job & j);
    void                cancel_everything();
    void                end_thread();
    bool                may_start_next() const;
    void                start_helpers();
    void                join_finished_helpers();
    void                send(uint32_t id, const char * kind, bool last, event payload);
    void                send(std::unique_ptr<delivery> d);
    void                send_failure(uint32_t id, const std::string & code, const std::string & message);
    std::vector<double> ask(job & j, const char * kind, size_t index, const std::vector<text_view> & texts);

    static void deliver(napi_env env, napi_value dispatch, void * context, void * data);
    static void on_env_exit(void * self);
    static void on_process_exit();
    static void end_threads_at_exit();
};

}  // namespace ig
