#include "engine/device_rows.h"

#include "ggml-cpp.h"

#include <algorithm>
#include <cmath>

namespace ig {

namespace {

ggml_tensor * keep(ggml_cgraph * graph, ggml_tensor * t) {
    ggml_set_output(t);
    ggml_build_forward_expand(graph, t);
    return t;
}

// picks values of rows by their column
struct row_picker {
    ggml_context * ctx;

    // [m, n] at [k, n] -> [k, n]
    ggml_tensor * operator()(ggml_tensor * from, ggml_tensor * at) const {
        ggml_tensor * columns = ggml_reshape_3d(ctx, from, 1, from->ne[0], from->ne[1]);
        return ggml_reshape_2d(ctx, ggml_get_rows(ctx, columns, at), at->ne[0], at->ne[1]);
    }

    // [m, n] -> [k, n]
    ggml_tensor * first(ggml_tensor * from, int64_t k) const {
        return ggml_cont(ctx, ggml_view_2d(ctx, from, k, from->ne[1], from->nb[1], 0));
    }
};

}  // namespace

// one per sequence; all refer to the same rows
struct device_rows::hook {
    static device_rows & rows_of(const llama_sampler * sampler) { return *static_cast<device_rows *>(sampler->ctx); }

    static const char * name(const llama_sampler *) { return "device rows"; }

    static void apply(llama_sampler *, llama_token_data_array *) {}

    static void backend_set_input(llama_sampler * s) { rows_of(s).set_inputs(); }

    static void backend_reset(llama_sampler * s) { rows_of(s).forget_graph(); }

    static bool backend_init(llama_sampler * s, ggml_backend_buffer_type_t type, uint32_t) {
        rows_of(s).device = ggml_backend_buft_get_device(type);
        return true;
    }

    static void backend_apply(llama_sampler * s, ggml_context * ctx, ggml_cgraph * graph, llama_sampler_data * data) {
        if (ggml_graph_get_tensor(graph, "result_output") == nullptr) {
            data->probs = ggml_scale(ctx, data->logits, 1.0f);  // llama.cpp only counts this graph's nodes
            return;
        }
        data->logits = data->probs = data->sampled = data->candidates = nullptr;  // copies nothing for this sequence
        rows_of(s).build(ctx, graph);
    }

    static llama_sampler_i * interface() {
        static llama_sampler_i i = {};
        i.name                   = name;
        i.apply                  = apply;
        i.backend_init           = backend_init;
        i.backend_apply          = backend_apply;
        i.backend_set_input      = backend_set_input;
        i.backend_reset          = backend_reset;
        return &i;
    }
};

device_rows::device_rows(int32_t n_vocab, const graph_critic * critic) :
    n_vocab(n_vocab),
    n_head(std::min(n_vocab, std::max(int32_t(most_listed), critic != nullptr ? critic->n_top() : 0))),
    critic(critic) {}

bool device_rows::attach(llama_context * context, int32_t n_sequences, bool only_gpu) {
    forget_graph();
    chains.clear();
    for (seq_id seq = 0; seq < n_sequences; ++seq) {
        chains.emplace_back(llama_sampler_chain_init(llama_sampler_chain_default_params()));
        llama_sampler_chain_add(chains.back().get(), llama_sampler_init(hook::interface(), this));
        const bool taken = llama_set_sampler(context, seq, chains.back().get());
        if (!taken || (seq == 0 && !device_fits(only_gpu))) {
            detach(context);
            return false;
        }
    }
    return true;
}

void device_rows::detach(llama_context * context) {
    for (size_t seq = 0; seq < chains.size(); ++seq) {
        llama_set_sampler(context, seq_id(seq), nullptr);
    }
    chains.clear();
}

bool device_rows::device_fits(bool only_gpu) {
    const enum ggml_backend_dev_type type =
        device != nullptr ? ggml_backend_dev_type(device) : GGML_BACKEND_DEVICE_TYPE_CPU;
    const bool gpu = type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU;
    if (!gpu) {
        return !only_gpu;  // the CPU has every operation
    }
    const size_t           n_nodes = GGML_DEFAULT_GRAPH_SIZE;
    const ggml_context_ptr ctx(
        ggml_init({ n_nodes * ggml_tensor_overhead() + ggml_graph_overhead(), nullptr, /*no_alloc =*/true }));
    ggml_cgraph * graph   = ggml_new_graph(ctx.get());
    ggml_tensor * outputs = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, n_vocab, 2);
    cut_down(ctx.get(), graph, outputs);
    bool fits = true;
    for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
        fits = fits && ggml_backend_dev_supports_op(device, ggml_graph_node(graph, i));
    }
    forget_graph();
    return fits;
}

void device_rows::forget_graph() {
    built  = false;
    logits = top_tokens = top_logits = first_log_p = critic_tensor = inputs_tensor = nullptr;
}

void device_rows::build(ggml_context * ctx, ggml_cgraph * graph) {
    if (built) {
        return;  // all sequences share one graph
    }
    built                 = true;
    ggml_tensor * outputs = ggml_graph_get_tensor(graph, "result_output");  // [n_vocab, n]
    if (outputs->ne[1] == 0) {
        return;
    }
    const cut_rows cut    = cut_down(ctx, graph, outputs);
    ggml_tensor *  hidden = ggml_graph_get_tensor(graph, "result_norm");
    if (hidden == nullptr) {
        hidden = ggml_graph_get_tensor(graph, "result_embd_pooled");  // the same, renamed if embeddings are on
    }
    if (wants_critic && critic != nullptr && hidden != nullptr) {
        add_critic(ctx, graph, hidden, cut);
    }
}

device_rows::cut_rows device_rows::cut_down(ggml_context * ctx, ggml_cgraph * graph, ggml_tensor * outputs) {
    const row_picker pick{ ctx };
    logits = keep(graph, outputs);
    cut_rows cut;
    cut.p       = ggml_soft_max(ctx, outputs);
    top_tokens  = keep(graph, ggml_top_k(ctx, outputs, n_head));
    top_logits  = keep(graph, pick(outputs, top_tokens));
    cut.order   = ggml_argsort(ctx, top_logits, GGML_SORT_ORDER_DESC);  // [n_head, n]
    cut.log_p   = pick(ggml_log(ctx, pick(cut.p, top_tokens)), cut.order);
    first_log_p = keep(graph, pick.first(cut.log_p, 1));
    return cut;
}

void device_rows::add_critic(ggml_context * ctx, ggml_cgraph * graph, ggml_tensor * hidden, const cut_rows & cut) {
    const row_picker pick{ ctx };
    const int64_t    n       = logits->ne[1];
    graph_latents    latents = { hidden, nullptr, nullptr, nullptr };
    if (critic->n_top() > 0) {
        latents.top_log_p     = ggml_clamp(ctx, pick.first(cut.log_p, critic->n_top()), float(least_log_p), 0);
        // entropy = log sum exp - sum p * logit
        ggml_tensor * finite  = ggml_clamp(ctx, ggml_cont(ctx, logits), -1e30f, 1e30f);  // in place
        ggml_tensor * mean    = ggml_sum_rows(ctx, ggml_mul(ctx, cut.p, finite));
        ggml_tensor * largest = pick.first(pick(top_logits, cut.order), 1);
        latents.entropy       = ggml_sub(ctx, ggml_sub(ctx, largest, first_log_p), mean);
    }
    if (critic->n_critic_inputs() > 0) {
        inputs_tensor = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, critic->n_critic_inputs(), n);
        ggml_set_input(inputs_tensor);
        latents.critic_inputs = inputs_tensor;
    }
    critic_tensor = keep(graph, critic->build(ctx, latents));
}

void device_rows::expect(bool asks_critic, const std::vector<float> & values) {
    wants_critic = asks_critic;
    given_inputs = values;
}

// Called for every sequence of the batch.
void device_rows::set_inputs() {
    if (inputs_tensor == nullptr || inputs_tensor->buffer == nullptr) {
        return;
    }
    given_inputs.resize(size_t(ggml_nelements(inputs_tensor)));
    ggml_backend_tensor_set(inputs_tensor, given_inputs.data(), 0, ggml_nbytes(inputs_tensor));
}

bool device_rows::copy_to_host(size_t n_rows) {
    const auto copy = [&](ggml_tensor * t, auto & values) {
        values.resize(size_t(ggml_nelements(t)));
        ggml_backend_tensor_get(t, values.data(), 0, ggml_nbytes(t));
    };
    const bool critic_is_missing = wants_critic && critic != nullptr && critic_tensor == nullptr;
    if (logits == nullptr || size_t(logits->ne[1]) != n_rows || critic_is_missing) {
        return false;
    }
    copy(top_tokens, host_tokens);
    copy(top_logits, host_logits);
    copy(first_log_p, host_log_p);
    if (critic_tensor != nullptr) {
        copy(critic_tensor, host_critic_output);
    }
    order.resize(size_t(n_head));
    for (size_t row = 0; row < n_rows; ++row) {
        float *   values = &host_logits[row * size_t(n_head)];
        int32_t * tokens = &host_tokens[row * size_t(n_head)];
        if (std::isnan(host_log_p[row])) {
            continue;  // NaN cannot be sorted
        }
        for (size_t i = 0; i < order.size(); ++i) {
            order[i] = { values[i], tokens[i] };
        }
        std::sort(order.begin(), order.end(), [](const auto & a, const auto & b) {
            return a.first != b.first ? a.first > b.first : a.second < b.second;
        });
        for (size_t i = 0; i < order.size(); ++i) {
            values[i] = order[i].first;
            tokens[i] = order[i].second;
        }
    }
    return true;
}

row_head device_rows::head(size_t row) const {
    const size_t n = size_t(n_head);
    return { &host_tokens[row * n], &host_logits[row * n], n, double(host_logits[row * n]) - host_log_p[row] };
}

const float * device_rows::critic_output(size_t row) const {
    return critic_tensor != nullptr ? &host_critic_output[row * size_t(critic->n_critic_outputs())] : nullptr;
}

void device_rows::whole_row(size_t row, float * out) {
    const std::lock_guard<std::mutex> one_at_a_time(copying);
    const size_t                      bytes = size_t(n_vocab) * sizeof(float);
    ggml_backend_tensor_get(logits, out, row * bytes, bytes);
}

}  // namespace ig
