// addon.cpp owns the functions that JavaScript calls. Workers are opaque handles with a type tag; a wrong handle is an
// error, never a crash.
#include "engine/llama_backend.h"
#include "hooks/assertions.h"
#include "jobs.h"
#include "support/cpu_build.h"

namespace ig {

namespace {

const napi_type_tag worker_tag = { 0x6c1f0f5b6d9c4e0a, 0x9f37d2a15be84c11 };

using worker_handle = Napi::External<worker>;

// Unless the caller's object has already thrown.
void throw_js(Napi::Env env, const std::string & code, const std::string & message) {
    if (env.IsExceptionPending()) {
        return;
    }
    Napi::Error e = Napi::Error::New(env, message);
    e.Set("code", code);
    e.ThrowAsJavaScriptException();
}

// Runs `body`. An error of the core becomes a JavaScript error with its code.
template <typename F> Napi::Value guarded(Napi::Env env, F body) {
    const ggml_throwing_assertions scope;
    try {
        return body();
    } catch (const error & e) {
        throw_js(env, e.code, e.what());
    } catch (const std::bad_alloc &) {
        throw_js(env, "OUT_OF_MEMORY", "there is not enough memory for this call");
    } catch (const std::exception & e) {
        throw_js(env, "INTERNAL", e.what());
    }
    return env.Undefined();
}

worker & worker_of(const Napi::CallbackInfo & info) {
    if (!info[0].IsExternal() || !info[0].As<worker_handle>().CheckTypeTag(&worker_tag)) {
        throw error("INTERNAL", "expected the handle of a worker");
    }
    return *info[0].As<worker_handle>().Data();
}

uint32_t id_of(const Napi::CallbackInfo & info) {
    return from_js<uint32_t>(info[1], "the number of a job");
}

// start(dispatch) -> handle; dispatch(id, kind, payload) receives all events
Napi::Value start(const Napi::CallbackInfo & info) {
    worker *      made   = new worker(info.Env(), info[0].As<Napi::Function>());
    worker_handle handle = worker_handle::New(info.Env(), made, [](Napi::BasicEnv, worker * w) { delete w; });
    handle.TypeTag(&worker_tag);
    return handle;
}

// submit(handle, id, kind, request)
Napi::Value submit(const Napi::CallbackInfo & info) {
    worker &          w    = worker_of(info);
    const std::string kind = from_js<std::string>(info[2], "the kind of a job");
    for (const auto & [name, row] : jobs()) {
        if (kind == name) {
            job_work work = row.read(info[3]);
            if (!info.Env().IsExceptionPending()) {
                w.push(id_of(info), std::move(work), row.is_generation);
            }
            return info.Env().Undefined();
        }
    }
    throw error("INTERNAL", "expected the kind of a job, got " + kind);
}

// answer(handle, id, Float64Array | null)
Napi::Value answer(const Napi::CallbackInfo & info) {
    worker_of(info).answer(id_of(info), from_js<std::optional<std::vector<double>>>(info[2], "an answer"));
    return info.Env().Undefined();
}

// cancel(handle, id)
Napi::Value cancel(const Napi::CallbackInfo & info) {
    worker_of(info).cancel(id_of(info));
    return info.Env().Undefined();
}

// describe() -> the names of everything that crosses the boundary
Napi::Value describe(const Napi::CallbackInfo & info) {
    return to_js(info.Env(), describe_protocol());
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
    const std::string missing = missing_cpu_features();
    if (!missing.empty()) {
        throw_js(env, "CPU_UNSUPPORTED",
                 "this build of inferenceguard needs a CPU with " + std::string(required_cpu_features()) +
                     ", and this one lacks " + missing + "; build from source on this machine (scripts/build.mjs)");
        return exports;
    }
    init_llama_backend();  // silences its log from here on
    const auto add = [&](const char * name, std::function<Napi::Value(const Napi::CallbackInfo &)> run) {
        exports.Set(name, Napi::Function::New(env, [run](const Napi::CallbackInfo & info) {
                        return guarded(info.Env(), [&] { return run(info); });
                    }));
    };
    exports.Set("llamaCppVersion", llama_cpp_version());
    exports.Set("cpuLevel", cpu_level());
    add("start", start);
    add("submit", submit);
    add("answer", answer);
    add("cancel", cancel);
    add("describe", describe);
    for (const auto & [name, call] : calls()) {
        add(name, call.run);
    }
    return exports;
}

}  // namespace

}  // namespace ig

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) {
    return ig::init(env, exports);
}

NODE_API_MODULE(inferenceguard, init_addon)
