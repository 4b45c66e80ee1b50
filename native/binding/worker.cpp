#include "worker.h"

#include "engine/llama_backend.h"
#include "hooks/assertions.h"
#include "protocol.h"

#include <cstdlib>
#include <iterator>
#include <set>
#include <system_error>

namespace ig {

namespace {

const size_t max_helpers = 63;

// All live workers, of every environment. Never destroyed, because threads may outlive static objects.
struct live_workers {
    std::mutex         lock;
    std::set<worker *> list;
};

live_workers & live() {
    static live_workers * all = new live_workers;
    return *all;
}

// Initialises everything that ggml creates on first use and the process destroys at exit.
void make_ggml_devices() {
    ggml_backend_dev_count();
    ggml_backend_reg_t cpu = ggml_backend_dev_backend_reg(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU));
    const auto         extra_types =
        (ggml_backend_dev_get_extra_bufts_t) ggml_backend_reg_get_proc_address(cpu, "ggml_backend_dev_get_extra_bufts");
    if (extra_types != nullptr) {
        extra_types(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU));
    }
}

}  // namespace

worker::worker(Napi::Env env, Napi::Function dispatch) : env(env) {
    helpers.reserve(max_helpers);
    finished_helpers.reserve(max_helpers);
    const napi_status created =
        napi_create_threadsafe_function(env, dispatch, nullptr, Napi::String::New(env, "inferenceguard"), 0, 1, nullptr,
                                        nullptr, this, deliver, &events);
    if (created != napi_ok) {
        throw error("INTERNAL", "Node could not create a thread-safe function");
    }
    napi_unref_threadsafe_function(env, events);
    try {
        thread = std::thread([this] { run(); });
    } catch (const std::system_error &) {
        napi_release_threadsafe_function(events, napi_tsfn_abort);
        throw error("OUT_OF_MEMORY", "the system allows no further thread; dispose other guards first");
    }
    napi_add_env_cleanup_hook(env, on_env_exit, this);  // runs before the hook of the thread-safe function
    end_threads_at_exit();
    const std::lock_guard<std::mutex> guard(live().lock);
    live().list.insert(this);
}

worker::~worker() {
    napi_remove_env_cleanup_hook(env, on_env_exit, this);
    stop();
    const std::lock_guard<std::mutex> guard(live().lock);
    live().list.erase(this);
}

void worker::on_env_exit(void * self) {
    static_cast<worker *>(self)->stop();
}

void worker::on_process_exit() {
    const std::lock_guard<std::mutex> guard(live().lock);
    for (worker * w : live().list) {
        w->cancel_everything();
    }
    for (worker * w : live().list) {
        w->end_thread();
    }
}

// Exit handlers run in reverse order of registration, before objects that were created earlier are destroyed. So this
// is called again wherever the threads may use something new. Windows ends all threads before it destroys anything.
void worker::end_threads_at_exit() {
#ifndef _WIN32
    std::atexit(on_process_exit);
#endif
}

void worker::cancel_everything() {
    const std::lock_guard<std::mutex> guard(news.lock);
    stopping = true;
    for (auto & [id, j] : jobs) {
        j->cancel.requested = true;
        j->answered.notify_all();
    }
    news.changed.notify_all();
}

void worker::end_thread() {
    cancel_everything();
    const std::lock_guard<std::mutex> guard(ending);
    if (thread.joinable()) {
        thread.join();
    }
}

void worker::stop() {
    end_thread();
    queue.clear();
    jobs.clear();
    if (events != nullptr) {
        napi_release_threadsafe_function(events, napi_tsfn_abort);
        events = nullptr;
    }
}

void worker::push(uint32_t id, job_work work, bool is_generation) {
    if (events == nullptr) {
        return;  // stopped: the process is about to exit
    }
    const failure no_memory = {
        "OUT_OF_MEMORY", "there is not enough memory for this job; lower candidates, maxTokens, batch or width"
    };
    auto j           = std::make_shared<job>();
    j->id            = id;
    j->work          = std::move(work);
    j->is_generation = is_generation;
    j->out_of_memory.reset(new delivery{ id, "failed", true, payload_of(no_memory) });
    const std::lock_guard<std::mutex> guard(news.lock);
    jobs[id] = j;
    queue.push_back(j);
    hold_process(true);
    news.changed.notify_all();
}

void worker::hold_process(bool hold) {
    if (hold && n_pending++ == 0) {
        napi_ref_threadsafe_function(env, events);
    }
    if (!hold && --n_pending == 0) {
        napi_unref_threadsafe_function(env, events);
    }
}

// Under the lock: whether this thread may run the next job. A job that cannot share the model waits for the others to
// end.
bool worker::may_start_next() const {
    if (queue.empty()) {
        return false;
    }
    return helpers.empty() || (queue.front()->is_generation && engine->slots());
}

// Under the lock, while slots are served: starts further generations in parallel with this thread's.
void worker::start_helpers() {
    join_finished_helpers();
    while (runs_generation && !stopping && !queue.empty() && queue.front()->is_generation && engine->slots() &&
           helpers.size() < max_helpers) {
        const std::shared_ptr<job> j = queue.front();
        try {
            helpers.emplace_back([this, j] {
                const ggml_throwing_assertions scope;
                {
                    const std::lock_guard<std::mutex> until_its_lane_is_open(news.lock);
                }
                run_job(*j);
                j->slot_ahead.reset();
                const std::lock_guard<std::mutex> guard(news.lock);
                finished_helpers.push_back(std::this_thread::get_id());
                news.changed.notify_all();
            });
        } catch (const std::exception &) {
            return;  // no thread is available: the job waits for its turn
        }
        queue.pop_front();
        try {
            j->slot_ahead = engine->slots()->open_ahead();
        } catch (const std::bad_alloc &) {
            return;  // the job opens a slot itself, or fails
        }
    }
}

// Under the lock; a helper that has reported its end does not take it again.
void worker::join_finished_helpers() {
    for (const std::thread::id id : finished_helpers) {
        const auto h =
            std::find_if(helpers.begin(), helpers.end(), [&](const std::thread & t) { return t.get_id() == id; });
        h->join();
        helpers.erase(h);
    }
    finished_helpers.clear();
}

void worker::run() {
    const ggml_throwing_assertions scope;
    for (;;) {
        std::shared_ptr<job> j;
        const auto           ready = [this] {
            join_finished_helpers();
            return stopping ? helpers.empty() : may_start_next();
        };
        const bool serves = engine && engine->slots();
        if (serves) {
            engine->slots()->serve(ready);
        }
        {
            std::unique_lock<std::mutex> guard(news.lock);
            if (serves && !ready()) {
                continue;  // the job was cancelled meanwhile, and the slots still need serving
            }
            news.changed.wait(guard, ready);
            if (stopping) {
                break;
            }
            j = queue.front();
            queue.pop_front();
            runs_generation = j->is_generation;
        }
        run_job(*j);
        runs_generation = false;
    }
    engine.reset();
}

void worker::run_job(job & j) {
    try {
        attempt(j);
    } catch (const std::bad_alloc &) {
        j.work = nullptr;  // and everything that it owns
        send(std::move(j.out_of_memory));
    }
    const std::lock_guard<std::mutex> guard(news.lock);
    jobs.erase(j.id);
}

// Throws only std::bad_alloc, also if there is no memory to report another failure.
void worker::attempt(job & j) {
    try {
        send(j.id, "done", true, j.work(*this, j));
    } catch (const error & e) {
        send_failure(j.id, e.code, e.what());
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception & e) {
        send_failure(j.id, "INTERNAL", e.what());
    }
}

void worker::open(guard_spec spec, const cancel_flag & cancel, const std::function<void(float)> & progress) {
    make_ggml_devices();
    end_threads_at_exit();
    engine = std::make_unique<guard_engine>(std::move(spec), news, cancel, progress);
    end_threads_at_exit();
    if (engine->slots()) {
        engine->slots()->take_up_work = [this] {
            start_helpers();
        };
    }
}

void worker::close() {
    engine.reset();
}

guard_engine & worker::guard() {
    if (!engine) {
        throw error("INTERNAL", "expected a worker with a guard");
    }
    return *engine;
}

std::vector<ggml_backend_dev_t> worker::gpus(const std::string & device) {
    make_ggml_devices();
    end_threads_at_exit();
    return choose_gpus(device, -1);
}

ask_function worker::asker(job & j) {
    return [this, &j](const char * kind, size_t index, const std::vector<text_view> & texts) {
        return ask(j, kind, index, texts);
    };
}

void worker::cancel(uint32_t id) {
    const std::lock_guard<std::mutex> guard(news.lock);
    const auto                        found = jobs.find(id);
    if (found == jobs.end()) {
        return;
    }
    const std::shared_ptr<job> j = found->second;
    j->cancel.requested          = true;
    j->answered.notify_all();
    news.changed.notify_all();
    const auto waiting = std::find(queue.begin(), queue.end(), j);
    if (waiting != queue.end()) {
        queue.erase(waiting);
        jobs.erase(found);
        try {
            send_failure(id, "ABORTED", "the operation was aborted");
        } catch (const std::bad_alloc &) {
            send(std::move(j->out_of_memory));
        }
    }
}

std::vector<double> worker::ask(job & j, const char * kind, size_t index, const std::vector<text_view> & texts) {
    {
        const std::lock_guard<std::mutex> guard(news.lock);
        j.has_answer = false;
    }
    question_asked question = { index, {} };
    for (const text_view & view : texts) {
        const std::vector<token_id> spelling(view.tokens->begin(), view.tokens->end() - std::ptrdiff_t(view.n_cut));
        question.candidates.push_back({ *view.text, spelling, view.finished });
    }
    report(j, kind, std::move(question));
    const auto is_over = [&] {
        return j.has_answer || j.cancel.requested;
    };
    if (std::this_thread::get_id() == thread.get_id() && engine->slots()) {
        engine->slots()->serve(is_over);  // the other generations continue
    }
    std::unique_lock<std::mutex> guard(news.lock);
    j.answered.wait(guard, is_over);
    if (!j.has_answer) {
        j.cancel.check();
    }
    if (!j.answer) {
        throw error("CALLBACK_FAILED", std::string("the ") + kind + " function failed");
    }
    return std::move(*j.answer);
}

void worker::answer(uint32_t id, std::optional<std::vector<double>> values) {
    const std::lock_guard<std::mutex> guard(news.lock);
    const auto                        found = jobs.find(id);
    if (found == jobs.end()) {
        return;
    }
    job & j      = *found->second;
    j.answer     = std::move(values);
    j.has_answer = true;
    j.answered.notify_all();
    news.changed.notify_all();
}

void worker::send(uint32_t id, const char * kind, bool last, payload carries) {
    send(std::unique_ptr<delivery>(new delivery{ id, kind, last, std::move(carries) }));
}

void worker::send(std::unique_ptr<delivery> d) {
    if (events != nullptr && napi_call_threadsafe_function(events, d.get(), napi_tsfn_nonblocking) == napi_ok) {
        d.release();
    }
}

void worker::send_failure(uint32_t id, const std::string & code, const std::string & message) {
    send(id, "failed", true, payload_of(failure{ code, message }));
}

// On the JavaScript thread; without an environment while that is torn down.
void worker::deliver(napi_env raw_env, napi_value dispatch, void * context, void * data) {
    const std::unique_ptr<delivery> d(static_cast<delivery *>(data));
    if (raw_env == nullptr) {
        return;
    }
    worker *          self = static_cast<worker *>(context);
    Napi::Env         env(raw_env);
    Napi::HandleScope scope(env);
    if (d->last) {
        self->hold_process(false);
    }
    const napi_value arguments[] = { Napi::Number::New(env, d->id), Napi::String::New(env, d->kind), d->carries(env) };
    napi_call_function(env, env.Undefined(), dispatch, 3, arguments, nullptr);
}

}  // namespace ig
