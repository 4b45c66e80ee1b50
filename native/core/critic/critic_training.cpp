#include "critic/critic_training.h"

#include "ggml-cpu.h"
#include "ggml-opt.h"
#include "support/calibration.h"
#include "support/random.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace ig {

namespace {

const int32_t patience       = 5;     // epochs without a lower validation loss
const double  reported_share = 0.25;  // of the examples are trained with the reported budget
const double  value_weight   = 0.5;   // of the value's loss relative to that of pSafe

// purposes of the random numbers
enum random_purpose : uint64_t { RANDOM_WEIGHTS, RANDOM_BOOTSTRAP, RANDOM_ORDER, RANDOM_BUDGETS };

struct example {
    const rollout *          response;
    const rollout_position * position;
};

struct optimizer_deleter {
    void operator()(ggml_opt_context_t optimizer) const { ggml_opt_free(optimizer); }
};

struct result_deleter {
    void operator()(ggml_opt_result_t result) const { ggml_opt_result_free(result); }
};

// Metal lacks operations of the backward pass.
bool can_train(ggml_backend_dev_t device) {
    return device != nullptr && std::string(ggml_backend_reg_name(ggml_backend_dev_backend_reg(device))) != "MTL";
}

std::vector<float> from_half(const std::vector<uint16_t> & halves) {
    std::vector<float> values(halves.size());
    ggml_fp16_to_fp32_row(reinterpret_cast<const ggml_fp16_t *>(halves.data()), values.data(), int64_t(values.size()));
    return values;
}

double cross_entropy(double p, bool safe) {
    const double clipped = std::min(1 - 1e-7, std::max(1e-7, p));
    return -std::log(safe ? clipped : 1 - clipped);
}

class critic_trainer {
  public:
    critic_trainer(const std::vector<rollout> &    rollouts,
                   const critic_training_options & options,
                   const cancel_flag &             cancel,
                   const epoch_function &          on_epoch) :
        options(options),
        cancel(cancel),
        on_epoch(on_epoch),
        device(can_train(options.device) ? options.device : nullptr),
        backend(open_backend(device, options.n_threads)) {
        gather(rollouts);
        describe();
    }

    critic_training run() {
        net    = std::make_unique<network>(w.net, backend.get(), /*trainable =*/true);
        runner = std::make_unique<network_runner>(*net, backend.get());
        net->set_weights(initial_weights());
        measure_features();
        fit();
        calibrate();
        result.weights = w;
        predict_test();
        return std::move(result);
    }

  private:
    const critic_training_options & options;
    const cancel_flag &             cancel;
    const epoch_function &          on_epoch;
    ggml_backend_dev_t              device;
    ggml_backend_ptr                backend;
    ggml_backend_ptr                cpu;             // for operations that the device lacks
    std::vector<example>            training, validation, testing;
    std::vector<std::vector<float>> member_weights;  // [prompt][member]
    critic_weights                  w;
    critic_training                 result;
    std::unique_ptr<network>        net;
    std::unique_ptr<network_runner> runner;
    double                          current_rate = 0;

    void gather(const std::vector<rollout> & rollouts) {
        for (const rollout & r : rollouts) {
            if (r.prompt < 0 || size_t(r.prompt) >= options.splits.size()) {
                throw error("INVALID_ROLLOUTS",
                            format("a rollout belongs to prompt %d of %zu", r.prompt, options.splits.size()));
            }
            const uint8_t          split = options.splits[r.prompt];
            std::vector<example> & list  = split == SPLIT_TRAIN      ? training :
                                           split == SPLIT_VALIDATION ? validation :
                                                                       testing;
            for (const rollout_position & p : r.positions) {
                list.push_back({ &r, &p });
            }
        }
        for (const auto * list : { &training, &validation, &testing }) {
            if (list->empty()) {
                throw error("INVALID_ROLLOUTS",
                            "expected rollouts of prompts to train, validate and test on, but one of these splits "
                            "is empty; sample more prompts");
            }
        }
        result.n_examples = int64_t(training.size());
        for (size_t prompt = 0; prompt < options.splits.size(); ++prompt) {
            random_stream random(options.seed, RANDOM_BOOTSTRAP, prompt);
            member_weights.emplace_back();
            for (int32_t m = 0; m < options.n_members; ++m) {
                member_weights.back().push_back(options.n_members == 1 ? 1.0f : float(poisson(random)));
            }
        }
    }

    // of mean 1: how often a bootstrap sample contains a prompt
    static int poisson(random_stream & random) {
        int n = 0;
        for (double product = random.uniform(); product > std::exp(-1.0); product *= random.uniform()) {
            ++n;
        }
        return n;
    }

    void describe() {
        w.features.groups        = options.inputs;
        w.features.n_embd        = options.shape.n_embd;
        w.features.n_summary     = options.shape.n_summary;
        w.features.n_constraints = options.shape.n_constraints;
        w.features.n_stream      = options.n_stream;
        w.features.n_layers      = options.n_stream > 0 ? options.shape.n_mean / options.n_stream : 0;
        w.net                    = { w.features.size(), options.n_layers, options.width, options.n_members };
        for (size_t c = 0; c < options.terms.size(); ++c) {
            result.budgets.push_back(options.budgets.empty() ? common_budgets(c) : options.budgets[c]);
            w.budget_scale.push_back(result.budgets[c].highest > 0 ? result.budgets[c].highest : 1);
        }
        double sum = 0, squares = 0;
        for (const example & e : training) {
            sum += true_value(*e.response);
            squares += true_value(*e.response) * true_value(*e.response);
        }
        const double n        = double(training.size());
        w.value_mean          = sum / n;
        const double variance = squares / n - w.value_mean * w.value_mean;
        w.value_scale         = variance > 1e-12 ? std::sqrt(variance) : 1;
        w.mean.assign(size_t(w.net.n_inputs), 0);
        w.scale.assign(size_t(w.net.n_inputs), 1);
    }

    // from 0 to the cost that 95 % of the training responses do not exceed, including the reported budget
    budget_range common_budgets(size_t c) const {
        std::vector<double> costs;
        for (const example & e : training) {
            costs.push_back(e.response->binding_cost[c]);
        }
        const auto common = costs.begin() + std::ptrdiff_t(0.95 * double(costs.size() - 1));
        std::nth_element(costs.begin(), common, costs.end());
        return { 0, std::max(*common, options.terms[c].budget) };
    }

    double true_value(const rollout & r) const {
        const double discount = options.terms.empty() ? 1 : options.terms[0].discount;
        return std::pow(discount, double(r.tokens.size())) * r.reward;
    }

    // Budgets that the example can still meet. Sometimes the reported one, otherwise the cost of some training
    // response, because P(safe) changes at such costs (abruptly, if costs are whole numbers). If neither fits, uniform
    // in the range.
    std::vector<double> draw_budgets(const example & e, random_stream & random) const {
        std::vector<double> budgets;
        for (size_t c = 0; c < result.budgets.size(); ++c) {
            const double lowest  = options.terms[c].anytime ?
                                       std::max(result.budgets[c].lowest, e.position->highest_cost[c]) :
                                       result.budgets[c].lowest;
            const double highest = std::max(result.budgets[c].highest, lowest);
            double       budget  = options.terms[c].budget;
            bool         fits    = random.uniform() < reported_share && budget >= lowest && budget <= highest;
            for (int attempt = 0; attempt < 8 && !fits; ++attempt) {
                budget = training[size_t(random.uniform() * double(training.size()))].response->binding_cost[c];
                fits   = budget >= lowest && budget <= highest;
            }
            budgets.push_back(fits ? budget : lowest + (highest - lowest) * random.uniform());
        }
        return budgets;
    }

    std::vector<double> reported_budgets() const {
        std::vector<double> budgets;
        for (const budget_terms & t : options.terms) {
            budgets.push_back(t.budget);
        }
        return budgets;
    }

    bool ends_safe(const example & e, const std::vector<double> & budgets) const {
        for (size_t c = 0; c < budgets.size(); ++c) {
            if (e.response->binding_cost[c] > budgets[c]) {
                return false;
            }
        }
        return true;
    }

    void features(const example & e, const std::vector<double> & budgets, float * out) const {
        std::vector<double> z;
        for (size_t c = 0; c < budgets.size(); ++c) {
            const double weight = std::pow(options.terms[c].cost_discount(), e.position->n_tokens);
            z.push_back((budgets[c] - e.position->cost[c]) / weight / w.budget_scale[c]);
        }
        const std::vector<float> hidden = from_half(e.position->hidden), mean = from_half(e.position->mean);
        const double             position = double(e.position->n_tokens) / options.max_tokens;
        write_features(w.features, { hidden.data(), e.position->summary.data(), z.data(), position, mean.data() }, out);
        for (size_t k = 0; k < w.mean.size(); ++k) {
            out[k] = (out[k] - w.mean[k]) / w.scale[k];
        }
    }

    std::vector<std::vector<float>> initial_weights() const {
        std::vector<std::vector<float>> values;
        const std::vector<named_tensor> described = network_tensors(w.net);
        for (size_t i = 0; i < described.size(); ++i) {
            const std::vector<int64_t> & shape     = described[i].shape;
            const bool                   is_weight = shape.size() == 2;
            std::vector<float>           value(size_t(shape[0] * (is_weight ? shape[1] : 1)), 0);
            random_stream                random(options.seed, RANDOM_WEIGHTS, i);
            const double bound = is_weight ? std::sqrt(3.0 / double(shape[0])) : 0;  // variance 1 / inputs
            for (float & x : value) {
                x = float(bound * (2 * random.uniform() - 1));
            }
            values.push_back(value);
        }
        return values;
    }

    void measure_features() {
        std::vector<double> sum(w.mean.size(), 0), squares(w.mean.size(), 0);
        std::vector<float>  row(w.mean.size());
        for (size_t i = 0; i < training.size(); ++i) {
            random_stream random(options.seed, RANDOM_BUDGETS, i);
            features(training[i], draw_budgets(training[i], random), row.data());
            for (size_t k = 0; k < row.size(); ++k) {
                sum[k] += row[k];
                squares[k] += double(row[k]) * row[k];
            }
        }
        const double       n = double(training.size());
        std::vector<float> mean, scale;
        for (size_t k = 0; k < row.size(); ++k) {
            const double m        = sum[k] / n;
            const double variance = squares[k] / n - m * m;
            mean.push_back(float(m));
            scale.push_back(variance > 1e-10 ? float(std::sqrt(variance)) : 1);
        }
        w.mean  = mean;
        w.scale = scale;
    }

    static ggml_opt_optimizer_params optimizer_params(void * self) {
        const critic_trainer &    trainer = *static_cast<critic_trainer *>(self);
        ggml_opt_optimizer_params params  = ggml_opt_get_default_optimizer_params(nullptr);
        params.adamw.alpha                = float(trainer.current_rate);
        params.adamw.wd                   = float(trainer.options.weight_decay);
        return params;
    }

    // The loss of every example of a batch. A row has features, label, standardised value and the members' weights.
    ggml_tensor * build_loss(ggml_context * ctx, ggml_tensor * batch) const {
        const int64_t n    = batch->ne[1];
        const auto    rows = [&](int64_t first, int64_t count) {
            return ggml_cont(ctx, ggml_view_2d(ctx, batch, count, n, batch->nb[1], size_t(first) * sizeof(float)));
        };
        const int64_t n_inputs = w.net.n_inputs;
        ggml_tensor * x        = rows(0, n_inputs);
        ggml_tensor * safe     = rows(n_inputs, 1);
        ggml_tensor * value    = rows(n_inputs + 1, 1);
        ggml_tensor * total    = nullptr;
        for (int32_t m = 0; m < w.net.n_members; ++m) {
            ggml_tensor * heads = net->forward(ctx, x, m);
            const auto    head  = [&](size_t row) {
                return ggml_cont(ctx, ggml_view_2d(ctx, heads, 1, n, heads->nb[1], row * sizeof(float)));
            };
            ggml_tensor * log_odds = head(0);
            ggml_tensor * entropy  = ggml_sub(ctx, ggml_softplus(ctx, log_odds), ggml_mul(ctx, log_odds, safe));
            ggml_tensor * error    = ggml_scale(ctx, ggml_sqr(ctx, ggml_sub(ctx, head(1), value)), float(value_weight));
            ggml_tensor * loss     = ggml_mul(ctx, ggml_add(ctx, entropy, error), rows(n_inputs + 2 + m, 1));
            total                  = total == nullptr ? loss : ggml_add(ctx, total, loss);
        }
        return ggml_scale(ctx, total, 1.0f / float(w.net.n_members));
    }

    void fill_batch(const std::vector<size_t> & order, size_t begin, int32_t epoch, std::vector<float> & rows) const {
        const size_t width = size_t(w.net.n_inputs) + 2 + size_t(w.net.n_members);
        std::fill(rows.begin(), rows.end(), 0.0f);  // rows beyond the end have no weight
        const size_t end = std::min(order.size(), begin + rows.size() / width);
        for (size_t i = begin; i < end; ++i) {
            const example &           e = training[order[i]];
            random_stream             random(options.seed, RANDOM_BUDGETS + uint64_t(epoch), order[i]);
            const std::vector<double> budgets = draw_budgets(e, random);
            float *                   row     = &rows[(i - begin) * width];
            features(e, budgets, row);
            row[w.net.n_inputs]                = ends_safe(e, budgets) ? 1 : 0;
            row[w.net.n_inputs + 1]            = float((true_value(*e.response) - w.value_mean) / w.value_scale);
            const std::vector<float> & weights = member_weights[size_t(e.response->prompt)];
            std::copy(weights.begin(), weights.end(), row + w.net.n_inputs + 2);
        }
    }

    void fit() {
        const int64_t                 batch_size = std::min<int64_t>(options.batch_size, int64_t(training.size()));
        const int64_t                 width      = w.net.n_inputs + 2 + w.net.n_members;
        const ggml_context_ptr        inputs(ggml_init({ ggml_tensor_overhead(), nullptr, /*no_alloc =*/true }));
        ggml_tensor *                 batch = ggml_new_tensor_2d(inputs.get(), GGML_TYPE_F32, width, batch_size);
        const ggml_backend_buffer_ptr inputs_buffer(ggml_backend_alloc_ctx_tensors(inputs.get(), backend.get()));
        if (!inputs_buffer) {
            throw error("OUT_OF_MEMORY",
                        format("there is not enough memory for batches of %lld examples", (long long) batch_size));
        }
        const size_t                graph_bytes = 3 * ggml_graph_overhead_custom(GGML_DEFAULT_GRAPH_SIZE, true);
        const ggml_context_ptr      ctx(ggml_init(
            { graph_bytes + ggml_tensor_overhead() * GGML_DEFAULT_GRAPH_SIZE * 2, nullptr, /*no_alloc =*/true }));
        std::vector<ggml_backend_t> backends = { backend.get() };
        if (device != nullptr) {
            cpu = open_backend(nullptr, options.n_threads);
            backends.push_back(cpu.get());
        }
        const ggml_backend_sched_ptr scheduler(ggml_backend_sched_new(backends.data(), nullptr, int(backends.size()),
                                                                      GGML_DEFAULT_GRAPH_SIZE, false, true));
        ggml_opt_params              params = ggml_opt_default_params(scheduler.get(), GGML_OPT_LOSS_TYPE_MEAN);
        params.ctx_compute                  = ctx.get();
        params.inputs                       = batch;
        params.outputs                      = build_loss(ctx.get(), batch);
        params.get_opt_pars                 = optimizer_params;
        params.get_opt_pars_ud              = this;
        const std::unique_ptr<ggml_opt_context, optimizer_deleter> optimizer(ggml_opt_init(params));

        std::vector<size_t> order(training.size());
        for (size_t i = 0; i < order.size(); ++i) {
            order[i] = i;
        }
        std::vector<float>                    rows(size_t(width * batch_size));
        const std::vector<std::vector<float>> initial = net->weights();
        double                                best    = std::numeric_limits<double>::infinity();
        current_rate                                  = options.learning_rate;
        for (int32_t epoch = 1; epoch <= options.max_epochs && epoch <= result.n_epochs + patience; ++epoch) {
            random_stream random(options.seed, RANDOM_ORDER, uint64_t(epoch));
            for (size_t i = order.size(); i > 1; --i) {
                std::swap(order[i - 1], order[size_t(random.uniform() * double(i))]);
            }
            const std::unique_ptr<ggml_opt_result, result_deleter> losses(ggml_opt_result_init());
            for (size_t begin = 0; begin < order.size(); begin += size_t(batch_size)) {
                cancel.check();
                fill_batch(order, begin, epoch, rows);
                ggml_opt_alloc(optimizer.get(), /*backward =*/true);
                ggml_backend_tensor_set(batch, rows.data(), 0, rows.size() * sizeof(float));
                ggml_opt_eval(optimizer.get(), losses.get());
            }
            if (epoch == 1 && net->weights() == initial) {
                throw error("DECODE_FAILED", "the device could not compute a training step; train on another device");
            }
            double training_loss = 0;
            ggml_opt_result_loss(losses.get(), &training_loss, nullptr);
            const double loss = validation_loss();
            on_epoch({ epoch, options.max_epochs, training_loss, loss });
            if (loss < best) {
                best                   = loss;
                result.n_epochs        = epoch;
                result.validation_loss = loss;
                w.tensors              = net->weights();
            } else {
                current_rate /= 2;
            }
        }
        if (w.tensors.empty()) {
            throw error("TRAINING_DIVERGED", "the critic's loss became infinite; lower the learning rate");
        }
        net->set_weights(w.tensors);
    }

    // Calls visit(i, output, row) for every example, judged under the budgets of budgets_of(i).
    template <typename B, typename F> void judge(const std::vector<example> & examples, B budgets_of, F visit) {
        const size_t chunk = 1024, n = size_t(w.net.n_inputs);
        for (size_t begin = 0; begin < examples.size(); begin += chunk) {
            cancel.check();
            const size_t       count = std::min(chunk, examples.size() - begin);
            std::vector<float> rows(count * n);
            for (size_t i = 0; i < count; ++i) {
                features(examples[begin + i], budgets_of(begin + i), &rows[i * n]);
            }
            const network_output out = runner->run(rows, count);
            for (size_t i = 0; i < count; ++i) {
                visit(begin + i, out, i);
            }
        }
    }

    std::vector<double> validation_budgets(size_t i) const {
        random_stream random(options.seed, RANDOM_BUDGETS, i);
        return draw_budgets(validation[i], random);
    }

    double validation_loss() {
        double     loss       = 0;
        const auto budgets_of = [&](size_t i) {
            return validation_budgets(i);
        };
        judge(validation, budgets_of, [&](size_t i, const network_output & out, size_t row) {
            const critic_output said  = combine_members(out, row, 0, 1);
            const double        value = (true_value(*validation[i].response) - w.value_mean) / w.value_scale;
            loss += cross_entropy(said.p_safe, ends_safe(validation[i], validation_budgets(i)));
            loss += value_weight * (said.value - value) * (said.value - value);
        });
        return loss / double(validation.size());
    }

    // One slope for the log-odds of all members. It minimises the cross-entropy of their mean on the validation split.
    void calibrate() {
        std::vector<std::vector<double>> log_odds;
        std::vector<double>              safe;
        const auto                       budgets_of = [&](size_t i) {
            return validation_budgets(i);
        };
        judge(validation, budgets_of, [&](size_t i, const network_output & out, size_t row) {
            log_odds.emplace_back();
            for (const std::vector<float> & member : out.log_odds) {
                log_odds.back().push_back(member[row]);
            }
            safe.push_back(ends_safe(validation[i], validation_budgets(i)) ? 1 : 0);
        });
        const calibration               scale     = fit_calibration(log_odds, safe, /*with_shift =*/false, cancel);
        const std::vector<named_tensor> described = network_tensors(w.net);
        for (size_t i = 0; i < described.size(); ++i) {  // the log-odds are the first row of the heads
            std::vector<float> & values = w.tensors[i];
            if (described[i].name.find(".heads.weight") != std::string::npos) {
                for (int64_t k = 0; k < described[i].shape[0]; ++k) {
                    values[size_t(k)] *= float(scale.slope);
                }
            } else if (described[i].name.find(".heads.bias") != std::string::npos) {
                values[0] = float(values[0] * scale.slope);
            }
            if (described[i].half) {
                round_to_half(values);  // the report describes the weights as stored
            }
        }
        net->set_weights(w.tensors);
    }

    void predict_test() {
        const std::vector<double> budgets = reported_budgets();
        judge(
            testing, [&](size_t) { return budgets; },
            [&](size_t i, const network_output & out, size_t row) {
                const example &     e    = testing[i];
                const critic_output said = combine_members(out, row, w.value_mean, w.value_scale);
                critic_prediction   p;
                p.prompt             = e.response->prompt;
                p.response           = e.response->response;
                p.position           = e.position->n_tokens;
                p.feasible           = true;
                p.cost_share         = 0;
                p.partial_cost_share = 0;
                for (size_t c = 0; c < budgets.size(); ++c) {
                    const double unit = budgets[c] > 0 ? budgets[c] : w.budget_scale[c];
                    p.feasible = p.feasible && (!options.terms[c].anytime || e.position->highest_cost[c] <= budgets[c]);
                    p.cost_share         = std::max(p.cost_share, float(e.position->cost[c] / unit));
                    p.partial_cost_share = std::max(p.partial_cost_share, float(e.position->partial_cost[c] / unit));
                }
                p.safe       = ends_safe(e, budgets);
                p.p_safe     = p.feasible ? said.p_safe : 0;
                p.value      = said.value;
                p.true_value = float(true_value(*e.response));
                result.predictions.push_back(p);
            });
    }
};

}  // namespace

critic_training train_critic(const std::vector<rollout> &    rollouts,
                             const critic_training_options & options,
                             const cancel_flag &             cancel,
                             const epoch_function &          on_epoch) {
    return critic_trainer(rollouts, options, cancel, on_epoch).run();
}

}  // namespace ig
