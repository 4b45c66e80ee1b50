#include "critic/latent_critic.h"

#include "support/error.h"
#include "support/numeric.h"

#include <cmath>

namespace ig {

namespace {

const double largest_dimension = 1 << 20;
const size_t most_layers       = 1024;

int32_t dimension(const tensor_file & file, const std::string & path, const char * key, double least) {
    const double value = file.number(key);
    if (value < least || value > largest_dimension || value != std::floor(value)) {
        throw error("INVALID_CRITIC", format("%s has no valid %s: %g; make the file again", path.c_str(), key, value));
    }
    return int32_t(value);
}

}  // namespace

critic_weights load_critic(const std::string & path) {
    const tensor_file file(path, "critic", "INVALID_CRITIC");
    critic_weights    w;
    w.features.groups.hidden   = file.number("inputs.hidden") != 0;
    w.features.groups.logits   = file.number("inputs.logits") != 0;
    w.features.groups.z        = file.number("inputs.z") != 0;
    w.features.groups.position = file.number("inputs.position") != 0;
    w.features.groups.mean     = file.has_numbers("inputs.mean") && file.number("inputs.mean") != 0;
    w.features.n_embd          = dimension(file, path, "hidden_width", 0);
    if (w.features.groups.mean) {
        w.features.n_stream = dimension(file, path, "stream_width", 1);
        for (double layer : file.numbers("mean_layers")) {
            if (!(layer >= 0 && layer < most_layers && layer == std::floor(layer)) || w.layers.size() == most_layers) {
                throw error("INVALID_CRITIC",
                            format("%s reads no valid layers: %g; make the file again", path.c_str(), layer));
            }
            w.layers.push_back(int32_t(layer));
        }
        w.features.n_layers = int32_t(w.layers.size());
    }
    const int least_summary  = int(n_summary_beside_top_k) + (w.features.groups.logits ? 1 : 0);
    w.features.n_summary     = dimension(file, path, "summary_width", least_summary);
    w.budget_scale           = file.numbers("budget_scale");
    w.features.n_constraints = int32_t(w.budget_scale.size());
    for (double scale : w.budget_scale) {
        if (!(scale > 0)) {
            throw error("INVALID_CRITIC", path + " has a budget scale that is not positive; make the file again");
        }
    }
    w.net.n_inputs  = w.features.size();
    w.net.n_layers  = dimension(file, path, "layers", 0);
    w.net.width     = dimension(file, path, "width", 1);
    w.net.n_members = dimension(file, path, "members", 1);
    if (w.net.n_inputs == 0 || w.net.n_layers > 64 || w.net.n_members > 256) {
        throw error("INVALID_CRITIC", path + " describes no network; make the file again");
    }
    w.value_mean  = file.number("value_mean");
    w.value_scale = file.number("value_scale");
    w.mean        = file.tensor("features.mean", { w.net.n_inputs });
    w.scale       = file.tensor("features.scale", { w.net.n_inputs });
    for (float scale : w.scale) {
        if (!(scale > 0)) {
            throw error("INVALID_CRITIC", path + " has a feature scale that is not positive; make the file again");
        }
    }
    for (const named_tensor & t : network_tensors(w.net)) {
        w.tensors.push_back(file.tensor(t.name, t.shape));
    }
    return w;
}

critic_output combine_members(const network_output & out, size_t row, double value_mean, double value_scale) {
    const double n   = double(out.log_odds.size());
    double       sum = 0, squares = 0, value = 0;
    for (size_t m = 0; m < out.log_odds.size(); ++m) {
        const double p = sigmoid(out.log_odds[m][row]);
        sum += p;
        squares += p * p;
        value += out.value[m][row];
    }
    const double mean     = sum / n;
    const double variance = std::max(0.0, squares / n - mean * mean);
    return { float(mean), float(std::sqrt(variance)), float(value / n * value_scale + value_mean) };
}

latent_critic::latent_critic(critic_weights              given,
                             std::vector<size_t>         places,
                             const critic_surroundings & around,
                             ggml_backend_dev_t          device) :
    weights(std::move(given)),
    places(std::move(places)),
    backend(open_backend(device, /*n_threads =*/1)),  // more threads would be started again for every block
    net(weights.net, backend.get(), false),
    runner(net, backend.get()) {
    const auto expect = [](bool fits, const char * what, int64_t critic, int64_t model) {
        if (!fits) {
            throw error("CRITIC_MISMATCH",
                        format("expected a critic for %lld %s, got one for %lld; train a critic for this model "
                               "and these cost models",
                               (long long) model, what, (long long) critic));
        }
    };
    const int32_t         n_top = int32_t(n_top_tokens());
    const feature_shape & shape = weights.features;
    expect(shape.n_constraints == int32_t(around.n_constraints), "constraints", shape.n_constraints,
           int64_t(around.n_constraints));
    expect(!shape.groups.hidden || shape.n_embd == around.n_embd, "values of the hidden state", shape.n_embd,
           around.n_embd);
    expect(!shape.groups.mean || shape.n_stream == around.n_stream, "values of the residual stream", shape.n_stream,
           around.n_stream);
    expect(n_top <= around.n_vocab, "tokens of the vocabulary", n_top, around.n_vocab);
    net.set_weights(weights.tensors);
    make_scales();
}

void latent_critic::make_scales() {
    const size_t n = n_of_output();
    scales.reset(ggml_init({ 2 * ggml_tensor_overhead(), nullptr, /*no_alloc =*/true }));
    factor = ggml_new_tensor_1d(scales.get(), GGML_TYPE_F32, int64_t(std::max<size_t>(n, 1)));
    offset = ggml_dup_tensor(scales.get(), factor);
    scales_buffer.reset(ggml_backend_alloc_ctx_tensors(scales.get(), backend.get()));
    if (!scales_buffer) {
        throw error("OUT_OF_MEMORY", "there is not enough memory for the critic");
    }
    ggml_backend_buffer_set_usage(scales_buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    std::vector<float> factors(size_t(factor->ne[0]), 1), offsets(size_t(factor -> ne[0]), 0);
    for (size_t i = 0; i < n; ++i) {
        factors[i] = 1 / weights.scale[i];
        offsets[i] = -weights.mean[i] / weights.scale[i];
    }
    ggml_backend_tensor_set(factor, factors.data(), 0, ggml_nbytes(factor));
    ggml_backend_tensor_set(offset, offsets.data(), 0, ggml_nbytes(offset));
}

ggml_tensor * latent_critic::build(ggml_context * ctx, const graph_latents & latents) const {
    ggml_tensor * x      = nullptr;  // [features, n]
    const auto    append = [&](ggml_tensor * part) {
        x = x == nullptr ? part : ggml_concat(ctx, x, part, 0);
    };
    if (weights.features.groups.hidden) {
        append(ggml_rms_norm(ctx, latents.hidden, float(hidden_epsilon)));
    }
    if (weights.features.groups.logits) {
        append(latents.top_log_p);
        append(latents.entropy);
    }
    if (x != nullptr) {
        x = ggml_add(ctx, ggml_mul(ctx, x, factor), offset);
    }
    if (latents.critic_inputs != nullptr) {
        append(latents.critic_inputs);
    }
    ggml_tensor * said = nullptr;
    for (int32_t m = 0; m < net.shape.n_members; ++m) {
        ggml_tensor * heads = net.forward(ctx, x, m);
        said                = said == nullptr ? heads : ggml_concat(ctx, said, heads, 0);
    }
    return said;
}

std::vector<float> latent_critic::keep(const float * hidden, const float * logits, size_t n_vocab) const {
    std::vector<float> kept;
    if (weights.features.groups.hidden) {
        kept.assign(hidden, hidden + weights.features.n_embd);
    }
    if (weights.features.groups.logits) {
        const std::vector<float> summary = summarise_logits(logits, n_vocab, n_top_tokens(), 0, 0);
        kept.insert(kept.end(), summary.begin(), summary.begin() + std::ptrdiff_t(n_top_tokens()) + 1);
    }
    return kept;
}

void latent_critic::append_inputs(const critic_input & in, std::vector<float> & out) const {
    const feature_shape & shape    = weights.features;
    const size_t          n_tokens = in.text.tokens->size();
    size_t                at       = n_of_output();
    const auto            append   = [&](double value) {
        out.push_back(float((value - weights.mean[at]) / weights.scale[at]));
        ++at;
    };
    if (shape.groups.logits) {
        append(in.last_log_likelihood);
        append(n_tokens > 0 ? in.text.log_likelihood / double(n_tokens) : 0);
    }
    for (size_t c = 0; c < weights.budget_scale.size() && shape.groups.z; ++c) {
        append(in.paid->z(c) / weights.budget_scale[c]);
    }
    if (shape.groups.position) {
        append(double(n_tokens) / in.max_tokens);
    }
    const size_t n_stream = size_t(shape.n_stream);
    for (size_t l = 0; l < places.size() && shape.groups.mean; ++l) {
        const std::vector<float> mean = in.text.residual->mean(places[l] * n_stream, n_stream);
        const double             norm = inverse_root_mean_square(mean.data(), n_stream);
        for (float x : mean) {
            append(x * norm);
        }
    }
}

std::vector<float> latent_critic::standardised(const std::vector<critic_input> & inputs) const {
    const feature_shape & shape = weights.features;
    std::vector<float>    rows;
    rows.reserve(inputs.size() * size_t(shape.size()));
    for (const critic_input & in : inputs) {
        const std::vector<float> & kept     = *in.kept;
        const size_t               n_hidden = shape.groups.hidden ? size_t(shape.n_embd) : 0;
        const double               norm     = n_hidden > 0 ? inverse_root_mean_square(kept.data(), n_hidden) : 1;
        for (size_t i = 0; i < n_of_output(); ++i) {
            const double value = i < n_hidden ? float(kept[i] * norm) : kept[i];
            rows.push_back(float((value - weights.mean[i]) / weights.scale[i]));
        }
        rows.insert(rows.end(), kept.begin() + std::ptrdiff_t(n_of_output()), kept.end());
    }
    return rows;
}

std::vector<critic_output> latent_critic::judge(const std::vector<critic_input> & inputs, const cancel_flag & cancel) {
    cancel.check();
    std::vector<critic_input> open;
    for (const critic_input & in : inputs) {
        if (!in.from_device) {
            open.push_back(in);
        }
    }
    network_output said;
    if (!open.empty()) {
        const std::lock_guard<std::mutex> guard(one_at_a_time);
        said = runner.run(standardised(open), open.size());
    }
    std::vector<critic_output> outputs;
    size_t                     row = 0;
    for (const critic_input & in : inputs) {
        if (!in.from_device) {
            outputs.push_back(combine_members(said, row++, weights.value_mean, weights.value_scale));
            continue;
        }
        network_output one;
        for (size_t m = 0; m < in.kept->size(); m += size_t(n_heads)) {
            one.log_odds.push_back({ (*in.kept)[m] });
            one.value.push_back({ (*in.kept)[m + 1] });
        }
        outputs.push_back(combine_members(one, 0, weights.value_mean, weights.value_scale));
    }
    return outputs;
}

latent_critic::climber::climber(const critic_weights & weights) :
    backend(open_backend(nullptr, /*n_threads =*/1)),
    net(weights.net, backend.get(), false) {
    net.set_weights(weights.tensors);
}

// The network's first input is the hidden state, as h / rms(h), standardised. The gradient is propagated back through
// both.
std::vector<float> latent_critic::ascend(const std::vector<critic_input> & inputs,
                                         const ascent_options &            options,
                                         const cancel_flag &               cancel) {
    if (!weights.features.groups.hidden) {
        throw error("CRITIC_MISMATCH",
                    "expected a critic that reads the hidden state, got one that does not; train it with "
                    "hidden among its inputs");
    }
    const std::lock_guard<std::mutex> guard(one_at_a_time);
    if (!climbs) {
        climbs = std::make_unique<climber>(weights);
    }
    const size_t       n_embd     = size_t(weights.features.n_embd);
    const size_t       n_features = size_t(weights.features.size());
    std::vector<float> hidden;
    for (const critic_input & in : inputs) {
        hidden.insert(hidden.end(), in.kept->begin(), in.kept->begin() + std::ptrdiff_t(n_embd));
    }
    std::vector<float> states = standardised(inputs);
    network_gradient   gradient(climbs->net, climbs->backend.get(), inputs.size());
    for (int32_t step = 0; step < options.n_steps; ++step) {
        cancel.check();
        const std::vector<float> uphill = gradient.at(states, weights.value_scale, options.lambda);
        for (size_t i = 0; i < inputs.size(); ++i) {
            float *       h           = &hidden[i * n_embd];
            const float * g           = &uphill[i * n_features];
            const double  inverse_rms = inverse_root_mean_square(h, n_embd);
            double        along       = 0;  // component of the gradient with respect to h / rms(h) along h / rms(h)
            for (size_t k = 0; k < n_embd; ++k) {
                along += g[k] / weights.scale[k] * h[k] * inverse_rms;
            }
            for (size_t k = 0; k < n_embd; ++k) {
                const double normed = h[k] * inverse_rms;
                h[k] += float(options.step_size * inverse_rms *
                              (g[k] / weights.scale[k] - normed * along / double(n_embd)));
            }
            const double moved_inverse_rms = inverse_root_mean_square(h, n_embd);
            for (size_t k = 0; k < n_embd; ++k) {
                states[i * n_features + k] = float((h[k] * moved_inverse_rms - weights.mean[k]) / weights.scale[k]);
            }
        }
    }
    return hidden;
}

}  // namespace ig
