#include "kernels.h"

#include "engine/llama_backend.h"
#include "support/numeric.h"

#include <algorithm>
#include <vector>

namespace {

// topK(row, k): the indices of the k largest
Napi::Value top_k(const Napi::CallbackInfo & info) {
    const auto           row = info[0].As<Napi::Float32Array>();
    std::vector<int32_t> best;
    ig::top_k(row.Data(), row.ElementLength(), size_t(info[1].As<Napi::Number>().Int64Value()), best);
    Napi::Int32Array result = Napi::Int32Array::New(info.Env(), best.size());
    std::copy(best.begin(), best.end(), result.Data());
    return result;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
    ig::init_llama_backend();
    exports.Set("attend", Napi::Function::New(env, attend));
    exports.Set("multiply", Napi::Function::New(env, multiply));
    exports.Set("topK", Napi::Function::New(env, top_k));
    exports.Set("packsForVnni", bool(PACKS_FOR_VNNI));
    return exports;
}

}  // namespace

NODE_API_MODULE(inferenceguard_kernels, init)
