// multiply(shape, weights, inputs) runs ggml's product of a quantised matrix on the CPU, with the weights placed
// as llama.cpp would, and returns { output: [input, row], weights: as rounded, buffer: where they are stored }. Weights
// are [row, column]; inputs are [input, column] or, with `apart`, have unused numbers between them. Inputs are not
// checked.
#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "kernels.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace {

using context_ptr = std::unique_ptr<ggml_context, decltype(&ggml_free)>;
using buffer_ptr  = std::unique_ptr<ggml_backend_buffer, decltype(&ggml_backend_buffer_free)>;

context_ptr make_context() {
    return { ggml_init({ 16 * ggml_tensor_overhead() + ggml_graph_overhead(), nullptr, /*no_alloc =*/true }),
             ggml_free };
}

ggml_type type_named(const std::string & name) {
    int type = 0;
    while (type < GGML_TYPE_COUNT && name != ggml_type_name(ggml_type(type))) {
        ++type;
    }
    return ggml_type(type);
}

// The first of the CPU's buffer types that can multiply a weight that it stores.
ggml_backend_buffer_type_t choose_buffer_type(ggml_tensor * weight, const ggml_tensor * product) {
    ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    using extra_types         = ggml_backend_buffer_type_t * (*) (ggml_backend_dev_t);
    const auto list           = reinterpret_cast<extra_types>(
        ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), "ggml_backend_dev_get_extra_bufts"));
    for (ggml_backend_buffer_type_t * type = list(device); *type != nullptr; ++type) {
        const buffer_ptr probe(ggml_backend_buft_alloc_buffer(*type, 0), ggml_backend_buffer_free);
        weight->buffer       = probe.get();
        const bool supported = ggml_backend_dev_supports_op(device, product);
        weight->buffer       = nullptr;
        if (supported) {
            return *type;
        }
    }
    return ggml_backend_cpu_buffer_type();
}

}  // namespace

Napi::Value multiply(const Napi::CallbackInfo & info) {
    const Napi::Object shape  = info[0].As<Napi::Object>();
    const auto         number = [&](const char * name) {
        return shape.Get(name).As<Napi::Number>().Int64Value();
    };
    const int64_t   n_columns = number("columns");
    const int64_t   n_rows    = number("rows");
    const int64_t   n_inputs  = number("inputs");
    const int64_t   n_stacks  = number("stacks");
    const ggml_type kept      = type_named(shape.Get("type").As<Napi::String>());
    const bool      apart     = shape.Get("apart").As<Napi::Boolean>();

    const context_ptr of_weight = make_context();
    const context_ptr of_rest   = make_context();
    ggml_tensor *     weight    = ggml_new_tensor_2d(of_weight.get(), kept, n_columns, n_rows);
    const int64_t     stride    = apart ? n_columns + 7 : n_columns;
    ggml_tensor *     numbers   = ggml_new_tensor_3d(of_rest.get(), GGML_TYPE_F32, stride, n_inputs, n_stacks);
    ggml_tensor *     inputs =
        ggml_view_3d(of_rest.get(), numbers, n_columns, n_inputs, n_stacks, numbers->nb[1], numbers->nb[2], 0);
    ggml_tensor *                    product = ggml_mul_mat(of_rest.get(), weight, inputs);
    const ggml_backend_buffer_type_t type    = choose_buffer_type(weight, product);

    const buffer_ptr weight_memory(ggml_backend_alloc_ctx_tensors_from_buft(of_weight.get(), type),
                                   ggml_backend_buffer_free);
    const buffer_ptr rest_memory(
        ggml_backend_alloc_ctx_tensors_from_buft(of_rest.get(), ggml_backend_cpu_buffer_type()),
        ggml_backend_buffer_free);
    std::vector<uint8_t> rounded(ggml_nbytes(weight));
    ggml_quantize_chunk(kept, info[1].As<Napi::Float32Array>().Data(), rounded.data(), 0, n_rows, n_columns, nullptr);
    ggml_backend_tensor_set(weight, rounded.data(), 0, rounded.size());
    const auto given = info[2].As<Napi::Float32Array>();
    for (int64_t i = 0; i < n_inputs * n_stacks; ++i) {
        ggml_backend_tensor_set(numbers, given.Data() + i * n_columns, size_t(i * stride) * sizeof(float),
                                size_t(n_columns) * sizeof(float));
    }

    ggml_cgraph * graph = ggml_new_graph(of_rest.get());
    ggml_build_forward_expand(graph, product);
    ggml_cplan           plan = ggml_graph_plan(graph, int(number("threads")), nullptr);
    std::vector<uint8_t> work(plan.work_size);
    plan.work_data = work.data();
    ggml_graph_compute(graph, &plan);

    Napi::Float32Array output = Napi::Float32Array::New(info.Env(), size_t(ggml_nelements(product)));
    ggml_backend_tensor_get(product, output.Data(), 0, ggml_nbytes(product));
    Napi::Float32Array weights = Napi::Float32Array::New(info.Env(), size_t(n_columns * n_rows));
    ggml_get_type_traits(kept)->to_float(rounded.data(), weights.Data(), n_columns * n_rows);
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("output", output);
    result.Set("weights", weights);
    result.Set("buffer", ggml_backend_buft_name(type));
    return result;
}
