// addon.cpp owns the functions that JavaScript sees. Guards are opaque handles with a type tag; a wrong one is an error,
// never a crash.
#include "engine/llama_backend.h"
#include "guard_thread.h"
#include "marshal.h"
#include "support/cpu.h"

namespace ig {

namespace {

const napi_type_tag guard_tag = { 0x6c1f0f5b6d9c4e0a, 0x9f37d2a15be84c11 };

using guard_handle = Napi::External<guard_thread>;

void throw_js(Napi::Env env, const std::string & code, const std::string & message) {
    Napi::Error e = Napi::Error::New(env, message);
    e.Set("code", code);
    e.ThrowAsJavaScriptException();
}

// Runs `body`; an error of the core becomes a JavaScript error with its code.
template <typename F> Napi::Value guarded(Napi::Env env, F body) {
    try {
        return body();
    } catch (const error & e) {
        throw_js(env, e.code, e.what());
    } catch (const std::exception & e) {
        throw_js(env, "INTERNAL", e.what());
    }
    return env.Undefined();
}

guard_thread & guard_of(const Napi::CallbackInfo & info) {
    if (!info[0].IsExternal() || !info[0].As<guard_handle>().CheckTypeTag(&guard_tag)) {
        throw error("INTERNAL", "expected a guard handle");
    }
    return *info[0].As<guard_handle>().Data();
}

uint32_t id_of(const Napi::CallbackInfo & info) { return info[1].As<Napi::Number>().Uint32Value(); }

// open(id, spec, dispatch) -> handle; dispatch(id, kind, payload) gets everything that happens
Napi::Value open(const Napi::CallbackInfo & info) {
    const Napi::Env env = info.Env();
    return guarded(env, [&]() -> Napi::Value {
        guard_spec spec = guard_spec_from(info[1].As<Napi::Object>());
        if (env.IsExceptionPending()) {
            return env.Undefined();
        }
        const std::shared_ptr<guard_list> siblings = *env.GetInstanceData<std::shared_ptr<guard_list>>();
        guard_thread * thread = new guard_thread(env, info[2].As<Napi::Function>(), siblings);
        guard_handle handle = guard_handle::New(env, thread, [](Napi::BasicEnv, guard_thread * t) { delete t; });
        handle.TypeTag(&guard_tag);
        thread->open(info[0].As<Napi::Number>().Uint32Value(), std::move(spec));
        return handle;
    });
}

// generate(handle, id, request)
Napi::Value generate(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        generation_request request = request_from(info[2].As<Napi::Object>());
        if (!info.Env().IsExceptionPending()) {
            guard_of(info).generate(id_of(info), std::move(request));
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
        guard_of(info).log_likelihoods(id_of(info), tokens(2), tokens(3));
        return info.Env().Undefined();
    });
}

// bareDecode(handle, id, promptTokens, sequences, tokens)
Napi::Value bare_decode(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        const auto number = [&](size_t i) { return info[i].As<Napi::Number>().Int32Value(); };
        guard_of(info).bare_decode(id_of(info), number(2), number(3), number(4));
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
        guard_of(info).answer(id_of(info), std::move(values), info[2].IsNull());
        return info.Env().Undefined();
    });
}

// cancel(handle, id)
Napi::Value cancel(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        guard_of(info).cancel(id_of(info));
        return info.Env().Undefined();
    });
}

// close(handle, id)
Napi::Value close(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        guard_of(info).close(id_of(info));
        return info.Env().Undefined();
    });
}

// stopAll(): before the process exits
Napi::Value stop_all_guards(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] {
        stop_all(**info.Env().GetInstanceData<std::shared_ptr<guard_list>>());
        return info.Env().Undefined();
    });
}

Napi::Value inspect(const Napi::CallbackInfo & info) {
    return guarded(info.Env(), [&] { return to_js(info.Env(), read_model_file(info[0].As<Napi::String>().Utf8Value())); });
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
        throw_js(env, "CPU_UNSUPPORTED", "this build of inferenceguard needs a CPU with " + std::string(required_cpu_features()) +
                                             ", and this one lacks " + missing +
                                             "; build from source on this machine (node-gyp rebuild)");
        return exports;
    }
    env.SetInstanceData(new std::shared_ptr<guard_list>(std::make_shared<guard_list>()));
    exports.Set("stopAll", Napi::Function::New(env, stop_all_guards));
    exports.Set("llamaCppVersion", llama_cpp_version());
    exports.Set("open", Napi::Function::New(env, open));
    exports.Set("generate", Napi::Function::New(env, generate));
    exports.Set("logLikelihoods", Napi::Function::New(env, log_likelihoods));
    exports.Set("bareDecode", Napi::Function::New(env, bare_decode));
    exports.Set("answer", Napi::Function::New(env, answer));
    exports.Set("cancel", Napi::Function::New(env, cancel));
    exports.Set("close", Napi::Function::New(env, close));
    exports.Set("inspect", Napi::Function::New(env, inspect));
    exports.Set("devices", Napi::Function::New(env, devices));
    return exports;
}

}

}

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) { return ig::init(env, exports); }

NODE_API_MODULE(inferenceguard, init_addon)
