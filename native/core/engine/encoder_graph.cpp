#include "engine/encoder_graph.h"

#include "ggml-alloc.h"
#include "ggml-cpu.h"
#include "support/error.h"
#include "support/numeric.h"

#include <cmath>

namespace ig {

namespace {

const size_t nodes_per_layer = 48;
const size_t nodes_beside    = 16;

// ggml's own GELU is scalar.
void gelu_rows(ggml_tensor * out, const ggml_tensor *, int thread, int n_threads, void *) {
    const int64_t begin = out->ne[1] * thread / n_threads, end = out->ne[1] * (thread + 1) / n_threads;
    gelu(static_cast<float *>(out->data) + begin * out->ne[0], size_t((end - begin) * out->ne[0]));
}

}  // namespace

encoder_graph::encoder_graph(const encoder_weights &          weights,
                             std::shared_ptr<ggml_threadpool> given,
                             int32_t                          n_threads) :
    weights(weights),
    threads(std::move(given)),
    backend(ggml_backend_cpu_init()) {
    if (!backend) {
        throw error("OUT_OF_MEMORY", "there is not enough memory for the encoder that judges texts");
    }
    ggml_backend_cpu_set_n_threads(backend.get(), n_threads);
    ggml_backend_cpu_set_threadpool(backend.get(), threads.get());
    allocator.reset(ggml_gallocr_new(ggml_backend_get_default_buffer_type(backend.get())));
}

ggml_tensor * encoder_graph::linear(const affine & by, ggml_tensor * x) const {
    return ggml_add(ctx.get(), ggml_mul_mat(ctx.get(), by.weight, x), by.bias);
}

ggml_tensor * encoder_graph::normalised(const affine & by, ggml_tensor * x) const {
    return ggml_add(ctx.get(), ggml_mul(ctx.get(), ggml_norm(ctx.get(), x, float(weights.epsilon)), by.weight),
                    by.bias);
}

// The columns of the queries, keys or values.
ggml_tensor * encoder_graph::part(ggml_tensor * of, size_t which) const {
    return ggml_view_2d(ctx.get(), of, weights.width, of->ne[1], of->nb[1], which * size_t(weights.width) * of->nb[0]);
}

// [width / heads, rows, heads]
ggml_tensor * encoder_graph::by_head(ggml_tensor * rows) const {
    const int64_t size = weights.width / weights.n_heads;
    return ggml_view_3d(ctx.get(), rows, size, rows->ne[1], weights.n_heads, rows->nb[1], size_t(size) * rows->nb[0],
                        0);
}

// Appends the new rows to those of earlier passes.
ggml_tensor * encoder_graph::add_states(ggml_tensor * rows, size_t n_past) {
    ggml_tensor * all = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F16, rows->ne[0], int64_t(n_past) + rows->ne[1]);
    ggml_set_input(all);
    ggml_set_output(all);  // read after the pass
    states.push_back(all);
    ggml_tensor * added = ggml_view_2d(ctx.get(), all, rows->ne[0], rows->ne[1], all->nb[1], n_past * all->nb[1]);
    ggml_build_forward_expand(graph, ggml_cpy(ctx.get(), rows, added));
    return all;
}

ggml_tensor * encoder_graph::layer(const encoder_layer & l, ggml_tensor * x, size_t n_past) {
    ggml_tensor * qkv    = linear(l.qkv, x);
    ggml_tensor * keys   = add_states(part(qkv, 1), n_past);
    ggml_tensor * values = add_states(part(qkv, 2), n_past);
    const float   scale  = 1 / std::sqrt(float(weights.width / weights.n_heads));
    ggml_tensor * mixed =
        ggml_flash_attn_ext(ctx.get(), by_head(part(qkv, 0)), by_head(keys), by_head(values), mask, scale, 0, 0);
    x = normalised(l.norm1,
                   ggml_add(ctx.get(), x, linear(l.o, ggml_reshape_2d(ctx.get(), mixed, weights.width, x->ne[1]))));
    ggml_tensor * inner = ggml_map_custom1_inplace(ctx.get(), linear(l.up, x), gelu_rows, GGML_N_TASKS_MAX, nullptr);
    return normalised(l.norm2, ggml_add(ctx.get(), x, linear(l.down, inner)));
}

void encoder_graph::begin(size_t n_past, size_t n_new) {
    const size_t n_nodes = nodes_per_layer * weights.n_layers() + nodes_beside;
    ctx.reset(ggml_init({ n_nodes * ggml_tensor_overhead() + ggml_graph_overhead_custom(n_nodes, false), nullptr,
                          /*no_alloc =*/true }));
    graph = ggml_new_graph_custom(ctx.get(), n_nodes, false);
    states.clear();
    outputs.clear();
    tokens    = ggml_new_tensor_1d(ctx.get(), GGML_TYPE_I32, int64_t(n_new));
    positions = ggml_new_tensor_1d(ctx.get(), GGML_TYPE_I32, int64_t(n_new));
    mask      = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F16, int64_t(n_past + n_new), int64_t(n_new));
    for (ggml_tensor * input : { tokens, positions, mask }) {
        ggml_set_input(input);
    }
    ggml_tensor * embedded = ggml_add(ctx.get(), ggml_get_rows(ctx.get(), weights.word, tokens),
                                      ggml_get_rows(ctx.get(), weights.position, positions));
    ggml_tensor * trunk    = normalised(weights.norm, embedded);
    for (const encoder_layer & l : weights.trunk) {
        trunk = layer(l, trunk, n_past);
    }
    for (const encoder_member & member : weights.members) {
        ggml_tensor * x = trunk;
        for (const encoder_layer & l : member.layers) {
            x = layer(l, x, n_past);
        }
        ggml_set_output(x);
        ggml_build_forward_expand(graph, x);
        outputs.push_back(x);
    }
    if (!ggml_gallocr_alloc_graph(allocator.get(), graph)) {
        throw error("OUT_OF_MEMORY",
                    format("there is not enough memory for an encoder to judge %zu tokens of texts", n_new));
    }
}

void encoder_graph::set_states(size_t kind, size_t row, size_t n, const ggml_fp16_t * given) {
    ggml_backend_tensor_set(states[kind], given, row * states[kind]->nb[1], n * states[kind]->nb[1]);
}

void encoder_graph::get_states(size_t kind, size_t row, size_t n, ggml_fp16_t * wanted) const {
    ggml_backend_tensor_get(states[kind], wanted, row * states[kind]->nb[1], n * states[kind]->nb[1]);
}

void encoder_graph::compute(const std::vector<int32_t> &     token_ids,
                            const std::vector<int32_t> &     at,
                            const std::vector<ggml_fp16_t> & visible) {
    ggml_backend_tensor_set(tokens, token_ids.data(), 0, ggml_nbytes(tokens));
    ggml_backend_tensor_set(positions, at.data(), 0, ggml_nbytes(positions));
    ggml_backend_tensor_set(mask, visible.data(), 0, ggml_nbytes(mask));
    if (ggml_backend_graph_compute(backend.get(), graph) != GGML_STATUS_SUCCESS) {
        throw error("DECODE_FAILED", "the encoder that judges texts could not be computed");
    }
}

std::vector<float> encoder_graph::output(size_t member) const {
    std::vector<float> rows(size_t(ggml_nelements(outputs[member])));
    ggml_backend_tensor_get(outputs[member], rows.data(), 0, ggml_nbytes(outputs[member]));
    return rows;
}

}  // namespace ig
