#include "safety/probe.h"

#include "support/calibration.h"
#include "support/error.h"
#include "support/numeric.h"
#include "support/tensor_file.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ig {

namespace {

const double  penalties[] = { 1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001 }; // L2, the strongest first: each starts where the one before ended
const int32_t passes_per_penalty = 100;
const int32_t power_iterations = 15;
const size_t  texts_at_once = 64;

// a prompt, and a response that was tokenised apart from it
token_sequence tokens_of(const text_model & model, const std::string & context, const std::string & text) {
    token_sequence sequence;
    if (model.beginning() >= 0) {
        sequence.tokens.push_back(model.beginning());
    }
    for (const std::string * part : { &context, &text }) {
        const std::vector<token_id> tokens = part->empty() ? std::vector<token_id>() : model.tokenize(*part, false);
        sequence.tokens.insert(sequence.tokens.end(), tokens.begin(), tokens.end());
    }
    sequence.n_kept = sequence.tokens.size();
    return sequence;
}

// rows of features, standardised by the rows that train
struct feature_table {
    size_t             width = 0;
    std::vector<float> values; // [row][feature]
    std::vector<float> mean, scale; // x becomes (x - mean) / scale

    size_t        rows() const { return width == 0 ? 0 : values.size() / width; }
    const float * row(size_t i) const { return &values[i * width]; }

    void standardise(const std::vector<size_t> & training) {
        mean.assign(width, 0);
        scale.assign(width, 0);
        std::vector<double> sums(width, 0), squares(width, 0);
        for (size_t i : training) {
            for (size_t k = 0; k < width; ++k) {
                sums[k] += row(i)[k];
                squares[k] += double(row(i)[k]) * row(i)[k];
            }
        }
        const double n = double(training.size());
        for (size_t k = 0; k < width; ++k) {
            const double variance = std::max(0.0, squares[k] / n - sums[k] / n * sums[k] / n);
            mean[k] = float(sums[k] / n);
            scale[k] = float(std::sqrt(variance) + 1e-6);
        }
        for (size_t i = 0; i < rows(); ++i) {
            for (size_t k = 0; k < width; ++k) {
                float & x = values[i * width + k];
                x = (x - mean[k]) / scale[k];
            }
        }
    }
};

struct linear_model {
    std::vector<double> weight;
    double              bias = 0;

    double predict(const feature_table & table, size_t i) const {
        const float * x = table.row(i);
        double sum = bias;
        for (size_t k = 0; k < weight.size(); ++k) {
            sum += weight[k] * x[k];
        }
        return sum;
    }
};

// logistic regression by accelerated gradient descent (Nesterov 1983)
class probe_trainer {
  public:
    probe_trainer(const feature_table & table, const std::vector<labelled_text> & texts, std::vector<size_t> training,
                  std::vector<size_t> validation, const cancel_flag & cancel)
        : table(table), texts(texts), training(std::move(training)), validation(std::move(validation)), cancel(cancel),
          curvature(0.25 * largest_eigenvalue() + 0.25) {
        current.weight.assign(table.width, 0);
    }

    // Descends under this penalty from where the last one ended; returns the losses before penalty.
    void descend(double penalty) {
        linear_model ahead = current;
        double momentum = 1;
        for (int32_t pass = 0; pass < passes_per_penalty; ++pass) {
            cancel.check();
            linear_model next = step(ahead, penalty);
            const double following = (1 + std::sqrt(1 + 4 * momentum * momentum)) / 2;
            const double share = (momentum - 1) / following;
            for (size_t k = 0; k < ahead.weight.size(); ++k) {
                ahead.weight[k] = next.weight[k] + share * (next.weight[k] - current.weight[k]);
            }
            ahead.bias = next.bias + share * (next.bias - current.bias);
            momentum = following;
            current = std::move(next);
        }
    }

    double loss(const std::vector<size_t> & rows) const {
        double sum = 0;
        for (size_t i : rows) {
            sum += cross_entropy(current.predict(table, i), texts[i].label) / double(rows.size());
        }
        return sum;
    }

    double training_loss() const { return loss(training); }
    double validation_loss() const { return loss(validation); }

    linear_model current;

  private:
    const feature_table &           table;
    const std::vector<labelled_text> & texts;
    std::vector<size_t>             training, validation;
    const cancel_flag &             cancel;
    double                          curvature; // of the loss at most, without penalty

    linear_model step(const linear_model & from, double penalty) const {
        std::vector<double> gradient(from.weight.size(), 0);
        double bias_gradient = 0;
        const double n = double(training.size());
        for (size_t i : training) {
            const double error = (sigmoid(from.predict(table, i)) - texts[i].label) / n;
            const float * x = table.row(i);
            for (size_t k = 0; k < gradient.size(); ++k) {
                gradient[k] += error * x[k];
            }
            bias_gradient += error;
        }
        linear_model next = from;
        const double rate = 1 / (curvature + penalty);
        for (size_t k = 0; k < gradient.size(); ++k) {
            next.weight[k] -= rate * (gradient[k] + penalty * from.weight[k]);
        }
        next.bias -= rate * bias_gradient;
        return next;
    }

    // of the features' second moments, by power iteration, with a margin
    double largest_eigenvalue() const {
        std::vector<double> v(table.width, 1 / std::sqrt(double(table.width)));
        double value = 0;
        for (int32_t iteration = 0; iteration < power_iterations; ++iteration) {
            cancel.check();
            std::vector<double> next(table.width, 0);
            for (size_t i : training) {
                const float * x = table.row(i);
                double dot = 0;
                for (size_t k = 0; k < v.size(); ++k) {
                    dot += v[k] * x[k];
                }
                for (size_t k = 0; k < v.size(); ++k) {
                    next[k] += dot * x[k] / double(training.size());
                }
            }
            double norm = 0;
            for (double x : next) {
                norm += x * x;
            }
            value = std::sqrt(norm);
            if (!(value > 0)) {
                return 0;
            }
            for (size_t k = 0; k < v.size(); ++k) {
                v[k] = next[k] / value;
            }
        }
        return 1.2 * value;
    }
};

feature_table read_features(text_model & model, const std::vector<labelled_text> & texts, const cancel_flag & cancel) {
    feature_table table;
    table.width = size_t(model.width());
    table.values.resize(texts.size() * table.width);
    for (size_t begin = 0; begin < texts.size(); begin += texts_at_once) {
        cancel.check();
        std::vector<token_sequence> sequences;
        for (size_t i = begin; i < std::min(texts.size(), begin + texts_at_once); ++i) {
            sequences.push_back(tokens_of(model, texts[i].context, texts[i].text));
            if (sequences.back().tokens.empty()) {
                throw error("INVALID_DATA", format("expected text in every row, but that of row %zu is empty", i + 1));
            }
        }
        model.read(sequences, [&](size_t i, size_t, const float * hidden) {
            std::copy(hidden, hidden + table.width, &table.values[(begin + i) * table.width]);
        });
    }
    return table;
}

}

probe_weights load_probe(const std::string & path, const probed_model & model) {
    const tensor_file file(path, "probe", "INVALID_COST_MODEL");
    probe_weights weights;
    if (file.has_numbers("layers")) {
        const int32_t n_readable = model.n_layers - 1; // see residual_tap.h
        for (double layer : file.numbers("layers")) {
            if (!(layer >= 0 && layer < n_readable && layer == std::floor(layer))) {
                throw error("INVALID_COST_MODEL", format("expected a probe of layers from 0 to %d of this model, but %s reads layer %g; make the "
                                                         "file again",
                                                         n_readable - 1, path.c_str(), layer));
            }
            weights.layers.push_back(int32_t(layer));
        }
        weights.prior = file.number("prior");
    }
    const int64_t n_means = int64_t(weights.layers.size()) * model.n_stream;
    weights.head.weight = file.tensor("weights", { weights.layers.empty() ? model.n_hidden : n_means });
    weights.head.bias = file.number("bias");
    weights.with_context = file.number("with_context") != 0;
    return weights;
}

double mean_probe::log_odds(const residual_sum & residual) const {
    if (residual.n_tokens == 0) {
        return weights.prior;
    }
    const size_t n_embd = weights.head.weight.size() / weights.layers.size();
    double sum = 0;
    for (size_t l = 0; l < places.size(); ++l) {
        const float * values = &residual.values[places[l] * n_embd];
        const float * weight = &weights.head.weight[l * n_embd];
        for (size_t i = 0; i < n_embd; ++i) {
            sum += double(weight[i]) * values[i];
        }
    }
    return sum / double(residual.n_tokens) + weights.head.bias;
}

std::vector<double> mean_probe::scores(const std::vector<text_view> & texts) {
    std::vector<double> result;
    for (const text_view & view : texts) {
        if (view.residual == nullptr) {
            throw error("INTERNAL", "a probe was asked about a text whose residual stream was not read");
        }
        result.push_back(log_odds(*view.residual));
    }
    return result;
}

std::vector<double> last_state_probe::scores(const std::vector<text_view> & texts) {
    const std::string none;
    std::vector<token_sequence> sequences;
    std::vector<size_t> asked;
    std::vector<double> result(texts.size(), weights.head.bias);
    for (size_t i = 0; i < texts.size(); ++i) {
        token_sequence sequence = tokens_of(*model, weights.with_context ? prompt : none, *texts[i].text);
        if (!sequence.tokens.empty()) {
            sequences.push_back(std::move(sequence));
            asked.push_back(i);
        }
    }
    model->read(sequences, [&](size_t i, size_t, const float * hidden) { result[asked[i]] = weights.head.score(hidden); });
    return result;
}

probe_training train_probe(text_model & model, const std::vector<labelled_text> & texts, const cancel_flag & cancel,
                           const epoch_function & on_epoch) {
    std::vector<size_t> training, validation;
    for (size_t i = 0; i < texts.size(); ++i) {
        if (texts[i].trains) {
            training.push_back(i);
        }
        if (texts[i].validates) {
            validation.push_back(i);
        }
    }
    feature_table table = read_features(model, texts, cancel);
    table.standardise(training);
    probe_trainer trainer(table, texts, training, validation, cancel);
    linear_model best;
    probe_training result;
    double best_loss = std::numeric_limits<double>::infinity();
    const int32_t n_passes = int32_t(std::size(penalties)) * passes_per_penalty;
    int32_t passes = 0;
    for (double penalty : penalties) {
        trainer.descend(penalty);
        passes += passes_per_penalty;
        const double loss = trainer.validation_loss();
        on_epoch({ passes, n_passes, trainer.training_loss(), loss });
        if (loss < best_loss) {
            best_loss = loss;
            best = trainer.current;
            result.n_epochs = passes;
        }
    }
    if (result.n_epochs == 0) {
        throw error("TRAINING_DIVERGED", "the probe's loss became infinite; check the labels and the model");
    }
    std::vector<std::vector<double>> scores;
    std::vector<double> labels;
    for (size_t i : validation) {
        scores.push_back({ best.predict(table, i) });
        labels.push_back(texts[i].label);
    }
    const calibration scale = fit_calibration(scores, labels, /*with_shift =*/true, cancel);
    for (size_t i = 0; i < texts.size(); ++i) {
        result.log_odds.push_back(scale.slope * best.predict(table, i) + scale.shift);
    }
    // on the states as they are
    linear_head & head = result.weights.head;
    head.bias = scale.slope * best.bias + scale.shift;
    for (size_t k = 0; k < table.width; ++k) {
        const double weight = scale.slope * best.weight[k] / table.scale[k];
        head.weight.push_back(float(weight));
        head.bias -= weight * table.mean[k];
    }
    return result;
}

}
