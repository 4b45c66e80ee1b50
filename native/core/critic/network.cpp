#include "critic/network.h"

#include "ggml-alloc.h"
#include "ggml-cpu.h"
#include "support/error.h"
#include "support/numeric.h"

namespace ig {

ggml_backend_ptr open_backend(ggml_backend_dev_t device, int32_t n_threads) {
    ggml_backend_ptr backend(device != nullptr ? ggml_backend_dev_init(device, nullptr) : ggml_backend_cpu_init());
    if (!backend) {
        throw error("OUT_OF_MEMORY", "the device of the model could not be opened for the critic");
    }
    if (ggml_backend_is_cpu(backend.get())) {
        ggml_backend_cpu_set_n_threads(backend.get(), n_threads);
    }
    return backend;
}

int64_t network_shape::n_parameters() const {
    int64_t n = 0;
    for (const named_tensor & t : network_tensors(*this)) {
        int64_t size = 1;
        for (int64_t d : t.shape) {
            size *= d;
        }
        n += size;
    }
    return n;
}

std::vector<named_tensor> network_tensors(const network_shape & shape) {
    std::vector<named_tensor> tensors;
    for (int32_t m = 0; m < shape.n_members; ++m) {
        const std::string member = "member." + std::to_string(m) + ".";
        const auto        add    = [&](const std::string & name, int64_t n_in, int64_t n_out) {
            tensors.push_back({
                member + name + ".weight", { n_in, n_out },
                     {},
                     true
            });
            tensors.push_back({ member + name + ".bias", { n_out }, {}, false });
        };
        int64_t n_in = shape.n_inputs;
        for (int32_t l = 0; l < shape.n_layers; ++l) {
            add("layer." + std::to_string(l), n_in, shape.width);
            n_in = shape.width;
        }
        add("heads", n_in, n_heads);
    }
    return tensors;
}

network::network(const network_shape & shape, ggml_backend_t backend, bool trainable) : shape(shape) {
    const std::vector<named_tensor> described = network_tensors(shape);
    ctx.reset(ggml_init({ ggml_tensor_overhead() * described.size(), nullptr, /*no_alloc =*/true }));
    for (const named_tensor & t : described) {
        ggml_tensor * made = ggml_new_tensor(ctx.get(), GGML_TYPE_F32, int(t.shape.size()), t.shape.data());
        ggml_set_name(made, t.name.c_str());
        if (trainable) {
            ggml_set_param(made);
        }
        tensors.push_back(made);
    }
    buffer.reset(ggml_backend_alloc_ctx_tensors(ctx.get(), backend));
    if (buffer && !trainable) {
        ggml_backend_buffer_set_usage(buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    }
    if (!buffer) {
        throw error("OUT_OF_MEMORY", format("there is not enough memory for a critic of %lld parameters",
                                            (long long) shape.n_parameters()));
    }
}

void network::set_weights(const std::vector<std::vector<float>> & values) {
    for (size_t i = 0; i < tensors.size(); ++i) {
        ggml_backend_tensor_set(tensors[i], values.at(i).data(), 0, ggml_nbytes(tensors[i]));
    }
}

std::vector<std::vector<float>> network::weights() const {
    std::vector<std::vector<float>> values;
    for (ggml_tensor * t : tensors) {
        values.emplace_back(size_t(ggml_nelements(t)));
        ggml_backend_tensor_get(t, values.back().data(), 0, ggml_nbytes(t));
    }
    return values;
}

ggml_tensor * network::forward(ggml_context * graph, ggml_tensor * x, int32_t member) const {
    const size_t per_member = tensors.size() / size_t(shape.n_members);
    size_t       at         = size_t(member) * per_member;
    const auto   linear     = [&](ggml_tensor * in) {
        ggml_tensor * out = ggml_add(graph, ggml_mul_mat(graph, tensors[at], in), tensors[at + 1]);
        at += 2;
        return out;
    };
    for (int32_t l = 0; l < shape.n_layers; ++l) {
        x = ggml_silu(graph, linear(x));
    }
    return linear(x);
}

namespace {

void allocate(ggml_gallocr_t allocator, ggml_cgraph * graph, size_t n_rows) {
    if (!ggml_gallocr_alloc_graph(allocator, graph)) {
        throw error("OUT_OF_MEMORY", format("there is not enough memory for the critic to judge %zu states", n_rows));
    }
}

void compute(ggml_backend_t backend, ggml_cgraph * graph) {
    if (ggml_backend_graph_compute(backend, graph) != GGML_STATUS_SUCCESS) {
        throw error("DECODE_FAILED", "the critic's network could not be computed");
    }
}

}  // namespace

network_runner::network_runner(const network & net, ggml_backend_t backend) :
    net(net),
    backend(backend),
    allocator(ggml_gallocr_new(ggml_backend_get_default_buffer_type(backend))) {}

network_output network_runner::run(const std::vector<float> & inputs, size_t n_rows) {
    const size_t           n_nodes = size_t(net.shape.n_members) * size_t(3 * net.shape.n_layers + 2) + 1;
    const size_t           bytes   = ggml_tensor_overhead() * n_nodes + ggml_graph_overhead_custom(n_nodes * 2, false);
    const ggml_context_ptr ctx(ggml_init({ bytes, nullptr, /*no_alloc =*/true }));
    ggml_tensor *          x = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, net.shape.n_inputs, int64_t(n_rows));
    ggml_set_input(x);
    ggml_cgraph *              graph = ggml_new_graph_custom(ctx.get(), n_nodes * 2, false);
    std::vector<ggml_tensor *> heads;
    for (int32_t m = 0; m < net.shape.n_members; ++m) {
        heads.push_back(net.forward(ctx.get(), x, m));
        ggml_set_output(heads.back());
        ggml_build_forward_expand(graph, heads.back());
    }
    allocate(allocator.get(), graph, n_rows);
    ggml_backend_tensor_set(x, inputs.data(), 0, ggml_nbytes(x));
    compute(backend, graph);
    network_output     out;
    std::vector<float> both(n_rows * n_heads);
    for (ggml_tensor * h : heads) {
        ggml_backend_tensor_get(h, both.data(), 0, both.size() * sizeof(float));
        out.log_odds.emplace_back();
        out.value.emplace_back();
        for (size_t row = 0; row < n_rows; ++row) {
            out.log_odds.back().push_back(both[row * n_heads]);
            out.value.back().push_back(both[row * n_heads + 1]);
        }
    }
    return out;
}

network_gradient::network_gradient(const network & net, ggml_backend_t backend, size_t n_rows) :
    net(net),
    backend(backend),
    n_rows(n_rows),
    forward(net, backend),
    allocator(ggml_gallocr_new(ggml_backend_get_default_buffer_type(backend))) {
    const size_t n_nodes = size_t(net.shape.n_members) * size_t(12 * net.shape.n_layers + 20) + 16;
    const size_t bytes   = ggml_tensor_overhead() * n_nodes + ggml_graph_overhead_custom(n_nodes, true);
    ctx.reset(ggml_init({ bytes, nullptr, /*no_alloc =*/true }));
    x = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, net.shape.n_inputs, int64_t(n_rows));
    ggml_set_param(x);
    ggml_tensor * sum = nullptr;
    for (int32_t m = 0; m < net.shape.n_members; ++m) {
        slopes.push_back(ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, n_heads, int64_t(n_rows)));
        ggml_set_input(slopes.back());
        ggml_tensor * part = ggml_sum(ctx.get(), ggml_mul(ctx.get(), net.forward(ctx.get(), x, m), slopes.back()));
        sum                = sum == nullptr ? part : ggml_add(ctx.get(), sum, part);
    }
    ggml_set_loss(sum);
    graph = ggml_new_graph_custom(ctx.get(), n_nodes, true);
    ggml_build_forward_expand(graph, sum);
    ggml_build_backward_expand(ctx.get(), graph, nullptr);
    gradient = ggml_graph_get_grad(graph, x);
    ggml_set_output(gradient);
    allocate(allocator.get(), graph, n_rows);
}

std::vector<float> network_gradient::at(const std::vector<float> & inputs, double value_scale, double lambda) {
    const size_t   n_members = slopes.size();
    network_output heads;
    if (lambda != 0) {
        heads = forward.run(inputs, n_rows);
    }
    ggml_graph_reset(graph);
    ggml_backend_tensor_set(x, inputs.data(), 0, ggml_nbytes(x));
    for (size_t m = 0; m < n_members; ++m) {
        std::vector<float> slope;
        for (size_t row = 0; row < n_rows; ++row) {
            const double p = lambda != 0 ? sigmoid(heads.log_odds[m][row]) : 0;
            slope.push_back(float(lambda * p * (1 - p) / double(n_members)));
            slope.push_back(float(value_scale / double(n_members)));
        }
        ggml_backend_tensor_set(slopes[m], slope.data(), 0, ggml_nbytes(slopes[m]));
    }
    compute(backend, graph);
    std::vector<float> result(inputs.size());
    ggml_backend_tensor_get(gradient, result.data(), 0, ggml_nbytes(gradient));
    return result;
}

}  // namespace ig
