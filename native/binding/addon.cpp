// addon.cpp owns the functions that JavaScript sees. Workers are opaque handles with a type tag; a wrong one is an error,
// never a crash.
#include "engine/llama_backend.h"
#include "hooks/assertions.h"
#include "marshal.h"
#include "support/cpu.h"
#include "worker.h"

namespace ig {

namespace {

const napi_type_tag worker_tag = { 0x6c1f0f5b6d9c4e0a, 0x9f37d2a15be84c11 };

using worker_handle = Napi::External<worker>;

void throw_js(Napi::Env env, const std::string & code, const std::string & message) {
    Napi::Error e = Napi::Error::New(env, message);
    e.Set("code", code);
    e.ThrowAsJavaScriptException();
}

// Runs `body`; an error of the core becomes a JavaScript error with its code.
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
    return info[1].As<Napi::Number>().Uint32Value();
}

// start(dispatch) -> handle; dispatch(id, kind, payload) gets everything that happens
Napi::Value start(const Napi::CallbackInfo & info) {
    const Napi::Env env = info.Env();
    return guarded(env, [&]() -> Napi::Value {
        worker *      made   = new worker(env, info[0].As<Napi::Function>());
        worker_handle handle = worker_handle::New(env, made, [](Napi::BasicEnv, worker * w) { delete w; });
        handle.TypeTag(&worker_tag);
        return handle;
    });
}

// open(handle, id, spec): gives the worker a guard
Napi::Value open(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        guard_spec spec = guard_spec_from(info[2].As<Napi::Object>());
        if (!info.Env().IsExceptionPending()) {
            worker_of(info).open(id_of(info), std::move(spec));
        }
        return info.Env().Undefined();
    });
}

// generate(handle, id, request)
Napi::Value generate(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        generation_request request = request_from(info[2].As<Napi::Object>());
        if (!info.Env().IsExceptionPending()) {
            worker_of(info).generate(id_of(info), std::move(request));
        }
        return info.Env().Undefined();
    });
}

std::vector<prompt_source> prompts_from(const Napi::Array & given) {
    std::vector<prompt_source> prompts;
    for (uint32_t i = 0; i < given.Length(); ++i) {
        prompts.push_back(prompt_from(given.Get(i).As<Napi::Object>()));
    }
    return prompts;
}

// tokenize(handle, id, prompts)
Napi::Value tokenize(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        std::vector<prompt_source> prompts = prompts_from(info[2].As<Napi::Array>());
        if (!info.Env().IsExceptionPending()) {
            worker_of(info).tokenize(id_of(info), std::move(prompts));
        }
        return info.Env().Undefined();
    });
}

// layerStates(handle, id, prompts)
Napi::Value layer_states(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        std::vector<prompt_source> prompts = prompts_from(info[2].As<Napi::Array>());
        if (!info.Env().IsExceptionPending()) {
            worker_of(info).layer_states(id_of(info), std::move(prompts));
        }
        return info.Env().Undefined();
    });
}

// rollouts(handle, id, request)
Napi::Value rollouts(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        rollout_request request = rollout_request_from(info[2].As<Napi::Object>());
        if (!info.Env().IsExceptionPending()) {
            worker_of(info).rollouts(id_of(info), std::move(request));
        }
        return info.Env().Undefined();
    });
}

// score(handle, id, request)
Napi::Value score(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        score_request request = score_request_from(info[2].As<Napi::Object>());
        if (!info.Env().IsExceptionPending()) {
            worker_of(info).score(id_of(info), std::move(request));
        }
        return info.Env().Undefined();
    });
}

// logLikelihoods(handle, id, prompt, tokens)
Napi::Value log_likelihoods(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        const auto tokens = [&](size_t i) {
            const Napi::Int32Array array = info[i].As<Napi::Int32Array>();
            return std::vector<token_id>(array.Data(), array.Data() + array.ElementLength());
        };
        worker_of(info).log_likelihoods(id_of(info), tokens(2), tokens(3));
        return info.Env().Undefined();
    });
}

// bareDecode(handle, id, promptTokens, sequences, tokens)
Napi::Value bare_decode(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        const auto number = [&](size_t i) {
            return info[i].As<Napi::Number>().Int32Value();
        };
        worker_of(info).bare_decode(id_of(info), number(2), number(3), number(4));
        return info.Env().Undefined();
    });
}

// answer(handle, id, Float64Array | null)
Napi::Value answer(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        std::vector<double> values;
        if (!info[2].IsNull()) {
            const Napi::Float64Array given = info[2].As<Napi::Float64Array>();
            values.assign(given.Data(), given.Data() + given.ElementLength());
        }
        worker_of(info).answer(id_of(info), std::move(values), info[2].IsNull());
        return info.Env().Undefined();
    });
}

// cancel(handle, id)
Napi::Value cancel(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        worker_of(info).cancel(id_of(info));
        return info.Env().Undefined();
    });
}

// trainClassifier(handle, id, job)
Napi::Value train_classifier(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        classifier_job job = classifier_job_from(info[2].As<Napi::Object>());
        if (!info.Env().IsExceptionPending()) {
            worker_of(info).train_classifier(id_of(info), std::move(job));
        }
        return info.Env().Undefined();
    });
}

// trainProbes(handle, id, request): on a worker that holds the model
Napi::Value train_probes(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        probe_request request = probe_request_from(info[2].As<Napi::Object>());
        if (!info.Env().IsExceptionPending()) {
            worker_of(info).train_probes(id_of(info), std::move(request));
        }
        return info.Env().Undefined();
    });
}

// addRollouts(handle, shape, records): for the next trainCritic
Napi::Value add_rollouts(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        worker_of(info).add_rollouts(
            rollouts_from(rollout_shape_from(info[1].As<Napi::Object>()), info[2].As<Napi::Array>()));
        return info.Env().Undefined();
    });
}

// trainCritic(handle, id, job)
Napi::Value train_critic(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        critic_job job = critic_job_from(info[2].As<Napi::Object>());
        if (!info.Env().IsExceptionPending()) {
            worker_of(info).train_critic(id_of(info), std::move(job));
        }
        return info.Env().Undefined();
    });
}

// writeTensors(path, kind, texts, numbers, tensors) -> how many bytes the file has
Napi::Value write_tensors(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        const uint64_t n_bytes = write_tensor_file(
            info[0].As<Napi::String>().Utf8Value(), info[1].As<Napi::String>().Utf8Value(),
            named_texts_from(info[2].As<Napi::Object>()), named_numbers_from(info[3].As<Napi::Object>()),
            named_tensors_from(info[4].As<Napi::Array>()));
        return Napi::Number::New(info.Env(), double(n_bytes));
    });
}

// readTensors(path, kind, errorCode, textKeys, numberKeys, listKeys?) -> { texts, numbers, lists }
Napi::Value read_tensors(const Napi::CallbackInfo & info) {
    const Napi::Env env = info.Env();
    return guarded(env, [&] {
        const auto text_at = [&](size_t i) {
            return info[i].As<Napi::String>().Utf8Value();
        };
        const tensor_file file(text_at(0), text_at(1), text_at(2));
        Napi::Object      texts        = Napi::Object::New(env);
        Napi::Object      numbers      = Napi::Object::New(env);
        Napi::Object      lists        = Napi::Object::New(env);
        const auto        for_each_key = [&](size_t i, auto visit) {
            const Napi::Array keys = info[i].As<Napi::Array>();
            for (uint32_t k = 0; k < keys.Length(); ++k) {
                visit(keys.Get(k).As<Napi::String>().Utf8Value());
            }
        };
        for_each_key(3, [&](const std::string & key) { texts.Set(key, file.text(key.c_str())); });
        for_each_key(4, [&](const std::string & key) { numbers.Set(key, to_js(env, file.numbers(key.c_str()))); });
        if (info.Length() > 5) {
            for_each_key(5, [&](const std::string & key) { lists.Set(key, to_js(env, file.texts(key.c_str()))); });
        }
        Napi::Object header = Napi::Object::New(env);
        header.Set("texts", texts);
        header.Set("numbers", numbers);
        header.Set("lists", lists);
        return header;
    });
}

// close(handle, id)
Napi::Value close(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        worker_of(info).close(id_of(info));
        return info.Env().Undefined();
    });
}

Napi::Value inspect(const Napi::CallbackInfo & info) {
    return guarded(info.Env(),
                   [&] { return to_js(info.Env(), read_model_file(info[0].As<Napi::String>().Utf8Value())); });
}

Napi::Value devices(const Napi::CallbackInfo & info) {
    const Napi::Env env = info.Env();
    return guarded(env, [&]() -> Napi::Value {
        Napi::Array list = Napi::Array::New(env);
        for (const device_info & device : list_devices()) {
            Napi::Object o = Napi::Object::New(env);
            o.Set("name", device.name);
            o.Set("description", device.description);
            o.Set("type", device.type);
            o.Set("freeBytes", double(device.free_bytes));
            o.Set("totalBytes", double(device.total_bytes));
            list.Set(list.Length(), o);
        }
        return list;
    });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
    const std::string missing = missing_cpu_features();
    if (!missing.empty()) {
        throw_js(env, "CPU_UNSUPPORTED",
                 "this build of inferenceguard needs a CPU with " + std::string(required_cpu_features()) +
                     ", and this one lacks " + missing + "; build from source on this machine (node-gyp rebuild)");
        return exports;
    }
    init_llama_backend();  // from here on its log is silent
    exports.Set("llamaCppVersion", llama_cpp_version());
    exports.Set("start", Napi::Function::New(env, start));
    exports.Set("open", Napi::Function::New(env, open));
    exports.Set("trainClassifier", Napi::Function::New(env, train_classifier));
    exports.Set("trainProbes", Napi::Function::New(env, train_probes));
    exports.Set("addRollouts", Napi::Function::New(env, add_rollouts));
    exports.Set("trainCritic", Napi::Function::New(env, train_critic));
    exports.Set("readTensors", Napi::Function::New(env, read_tensors));
    exports.Set("writeTensors", Napi::Function::New(env, write_tensors));
    exports.Set("generate", Napi::Function::New(env, generate));
    exports.Set("tokenize", Napi::Function::New(env, tokenize));
    exports.Set("rollouts", Napi::Function::New(env, rollouts));
    exports.Set("layerStates", Napi::Function::New(env, layer_states));
    exports.Set("score", Napi::Function::New(env, score));
    exports.Set("logLikelihoods", Napi::Function::New(env, log_likelihoods));
    exports.Set("bareDecode", Napi::Function::New(env, bare_decode));
    exports.Set("answer", Napi::Function::New(env, answer));
    exports.Set("cancel", Napi::Function::New(env, cancel));
    exports.Set("close", Napi::Function::New(env, close));
    exports.Set("inspect", Napi::Function::New(env, inspect));
    exports.Set("devices", Napi::Function::New(env, devices));
    return exports;
}

}  // namespace

}  // namespace ig

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) {
    return ig::init(env, exports);
}

NODE_API_MODULE(inferenceguard, init_addon)
