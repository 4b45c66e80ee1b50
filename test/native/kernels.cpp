#include "kernels.h"

#include "ggml-cpu.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
    ggml_cpu_init();
    exports.Set("attend", Napi::Function::New(env, attend));
    exports.Set("multiply", Napi::Function::New(env, multiply));
    return exports;
}

}

NODE_API_MODULE(inferenceguard_kernels, init)
