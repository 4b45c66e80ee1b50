// attend(shape, queries, keys, values, mask) runs ggml's attention on the CPU and returns [query, head, value size].
// Queries are [head, query, key size]; keys and values are [cell, key head, size], as in llama.cpp; the mask is [query,
// cell]. Keys, values and mask are converted to half precision. The graph first has an attention with another mask,
// like that of a layer with a sliding window. Inputs are not checked.
#include "ggml-cpu.h"
#include "ggml.h"
#include "kernels.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace {

ggml_tensor * half_precision(ggml_context *             context,
                             const Napi::Float32Array & from,
                             int64_t                    ne0,
                             int64_t                    ne1,
                             int64_t                    ne2) {
    ggml_tensor * tensor = ggml_new_tensor_3d(context, GGML_TYPE_F16, ne0, ne1, ne2);
    ggml_fp32_to_fp16_row(from.Data(), static_cast<ggml_fp16_t *>(tensor->data), int64_t(from.ElementLength()));
    return tensor;
}

}  // namespace

Napi::Value attend(const Napi::CallbackInfo & info) {
    const Napi::Object shape  = info[0].As<Napi::Object>();
    const auto         number = [&](const char * name) {
        return shape.Get(name).As<Napi::Number>().Int64Value();
    };
    const int64_t heads      = number("heads");
    const int64_t key_heads  = number("keyHeads");
    const int64_t key_size   = number("keySize");
    const int64_t value_size = number("valueSize");
    const int64_t n_queries  = number("queries");
    const int64_t n_cells    = number("cells");
    const auto    queries_in = info[1].As<Napi::Float32Array>();

    const int64_t          of_queries = n_queries * heads * (key_size + 2 * value_size);
    const size_t           floats = size_t(of_queries + n_cells * (key_heads * (key_size + value_size) + n_queries));
    const ggml_init_params memory = { floats * sizeof(float) + (1 << 20), nullptr, false };
    const std::unique_ptr<ggml_context, decltype(&ggml_free)> context(ggml_init(memory), ggml_free);
    ggml_tensor * queries = ggml_new_tensor_3d(context.get(), GGML_TYPE_F32, key_size, n_queries, heads);
    std::memcpy(queries->data, queries_in.Data(), queries_in.ByteLength());
    ggml_tensor * keys = half_precision(context.get(), info[2].As<Napi::Float32Array>(), key_size, key_heads, n_cells);
    ggml_tensor * values =
        half_precision(context.get(), info[3].As<Napi::Float32Array>(), value_size, key_heads, n_cells);
    ggml_tensor * mask       = half_precision(context.get(), info[4].As<Napi::Float32Array>(), n_cells, n_queries, 1);
    ggml_tensor * other_mask = ggml_new_tensor_3d(context.get(), GGML_TYPE_F16, n_cells, n_queries, 1);
    for (int64_t query = 0; query < n_queries; ++query) {
        const char * row = static_cast<const char *>(mask->data) + (n_queries - 1 - query) * int64_t(mask->nb[1]);
        std::memcpy(static_cast<char *>(other_mask->data) + query * int64_t(mask->nb[1]), row, mask->nb[1]);
    }
    const auto attention = [&](ggml_tensor * visible) {
        return ggml_flash_attn_ext(context.get(), queries, ggml_permute(context.get(), keys, 0, 2, 1, 3),
                                   ggml_permute(context.get(), values, 0, 2, 1, 3), visible,
                                   1 / std::sqrt(float(key_size)), 0, 0);
    };
    ggml_cgraph * graph = ggml_new_graph(context.get());
    ggml_build_forward_expand(graph, attention(other_mask));
    ggml_tensor * mixed = attention(mask);
    ggml_build_forward_expand(graph, mixed);
    ggml_cplan           plan = ggml_graph_plan(graph, int(number("threads")), nullptr);
    std::vector<uint8_t> work(plan.work_size);
    plan.work_data = work.data();
    if (shape.Get("freshThread").As<Napi::Boolean>()) {  // which has not processed other shapes
        std::thread([&] { ggml_graph_compute(graph, &plan); }).join();
    } else {
        ggml_graph_compute(graph, &plan);
    }

    Napi::Float32Array out = Napi::Float32Array::New(info.Env(), size_t(ggml_nelements(mixed)));
    std::memcpy(out.Data(), mixed->data, ggml_nbytes(mixed));
    return out;
}
