#include "safety/probe_training.h"

#include "engine/response_reader.h"
#include "support/calibration.h"
#include "support/error.h"
#include "support/numeric.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ig {

namespace {

const double  penalties[] = { 1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001 }; // L2, the strongest first: each starts where the one before ended
const int32_t passes_per_penalty = 100;
const int32_t power_iterations = 15;
const size_t  prefixes[] = { 16, 32, 64 }; // tokens of unfinished responses that train beside whole ones

// what the features of each row are for
struct probe_rows {
    std::vector<probe_row> rows;
    std::vector<double>    labels;
    std::vector<size_t>    training, validation;
};

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
    std::vector<float> weight;
    double             bias = 0;

    double predict(const feature_table & table, size_t i) const { return bias + dot(weight.data(), table.row(i), weight.size()); }
};

// logistic regression by accelerated gradient descent (Nesterov 1983)
class probe_trainer {
  public:
    probe_trainer(const feature_table & table, const probe_rows & rows, const cancel_flag & cancel)
        : table(table), rows(rows), cancel(cancel), curvature(0.25 * largest_eigenvalue() + 0.25) {
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
                ahead.weight[k] = next.weight[k] + float(share) * (next.weight[k] - current.weight[k]);
            }
            ahead.bias = next.bias + share * (next.bias - current.bias);
            momentum = following;
            current = std::move(next);
        }
    }

    double loss(const std::vector<size_t> & some) const {
        double sum = 0;
        for (size_t i : some) {
            sum += cross_entropy(current.predict(table, i), rows.labels[i]) / double(some.size());
        }
        return sum;
    }

    linear_model current;

  private:
    const feature_table & table;
    const probe_rows &    rows;
    const cancel_flag &   cancel;
    double                curvature; // of the loss at most, without penalty

    linear_model step(const linear_model & from, double penalty) const {
        std::vector<double> gradient(from.weight.size(), 0);
        double bias_gradient = 0;
        const double n = double(rows.training.size());
        for (size_t i : rows.training) {
            const double error = (sigmoid(from.predict(table, i)) - rows.labels[i]) / n;
            const float * x = table.row(i);
            for (size_t k = 0; k < gradient.size(); ++k) {
                gradient[k] += error * x[k];
            }
            bias_gradient += error;
        }
        linear_model next = from;
        const double rate = 1 / (curvature + penalty);
        for (size_t k = 0; k < gradient.size(); ++k) {
            next.weight[k] -= float(rate * (gradient[k] + penalty * from.weight[k]));
        }
        next.bias -= rate * bias_gradient;
        return next;
    }

    // of the features' second moments, by power iteration, with a margin
    double largest_eigenvalue() const {
        std::vector<float> v(table.width, float(1 / std::sqrt(double(table.width))));
        double value = 0;
        for (int32_t iteration = 0; iteration < power_iterations; ++iteration) {
            cancel.check();
            std::vector<double> next(table.width, 0);
            for (size_t i : rows.training) {
                const float * x = table.row(i);
                const double along = dot(v.data(), x, v.size()) / double(rows.training.size());
                for (size_t k = 0; k < v.size(); ++k) {
                    next[k] += along * x[k];
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
                v[k] = float(next[k] / value);
            }
        }
        return 1.2 * value;
    }
};

// features of every row by what they are read from
struct probe_features {
    probe_rows                 rows;
    feature_table              last;
    std::vector<feature_table> means; // per layer
};

std::vector<size_t> lengths_of(size_t n_tokens) {
    std::vector<size_t> lengths;
    for (size_t n : prefixes) {
        if (n < n_tokens) {
            lengths.push_back(n);
        }
    }
    lengths.push_back(n_tokens);
    return lengths;
}

void append(feature_table & table, const float * values, size_t n, double scale) {
    table.width = n;
    for (size_t i = 0; i < n; ++i) {
        table.values.push_back(float(values[i] * scale));
    }
}

probe_features read_features(const open_decoder & open, const std::vector<labelled_response> & responses, size_t n_layers,
                             const cancel_flag & cancel) {
    probe_features features;
    features.means.resize(n_layers);
    for (size_t r = 0; r < responses.size(); ++r) {
        cancel.check();
        const labelled_response & response = responses[r];
        if (response.tokens.empty()) {
            throw error("INVALID_DATA", format("expected text in every row, but that of row %zu is empty", r + 1));
        }
        const std::unique_ptr<decoder> model = open();
        const auto add_row = [&](const response_state & state) {
            const size_t row = features.rows.rows.size();
            features.rows.rows.push_back({ r, state.n_tokens, state.n_tokens == response.tokens.size() });
            features.rows.labels.push_back(response.label);
            if (response.trains) {
                features.rows.training.push_back(row);
            }
            if (response.validates) {
                features.rows.validation.push_back(row);
            }
            append(features.last, state.hidden, size_t(model->n_embd()), 1);
            for (size_t l = 0; l < n_layers; ++l) {
                const size_t n_embd = state.residual.values.size() / n_layers;
                append(features.means[l], &state.residual.values[l * n_embd], n_embd, 1 / double(state.n_tokens));
            }
        };
        read_response(*model, response.prompt, response.tokens, lengths_of(response.tokens.size()), /*with_hidden =*/true, add_row, cancel);
    }
    features.last.standardise(features.rows.training);
    for (feature_table & mean : features.means) {
        mean.standardise(features.rows.training);
    }
    return features;
}

// Those of the tables side by side.
feature_table join(const std::vector<const feature_table *> & tables) {
    feature_table joined;
    for (const feature_table * table : tables) {
        joined.width += table->width;
        joined.mean.insert(joined.mean.end(), table->mean.begin(), table->mean.end());
        joined.scale.insert(joined.scale.end(), table->scale.begin(), table->scale.end());
    }
    for (size_t i = 0; i < tables[0]->rows(); ++i) {
        for (const feature_table * table : tables) {
            joined.values.insert(joined.values.end(), table->row(i), table->row(i) + table->width);
        }
    }
    return joined;
}

trained_probe fit(const feature_table & table, const probe_rows & rows, const cancel_flag & cancel, const epoch_function & on_epoch) {
    probe_trainer trainer(table, rows, cancel);
    linear_model best;
    trained_probe result;
    result.validation_loss = std::numeric_limits<double>::infinity();
    const int32_t n_passes = int32_t(std::size(penalties)) * passes_per_penalty;
    int32_t passes = 0;
    for (double penalty : penalties) {
        trainer.descend(penalty);
        passes += passes_per_penalty;
        const double loss = trainer.loss(rows.validation);
        on_epoch({ passes, n_passes, trainer.loss(rows.training), loss });
        if (loss < result.validation_loss) {
            result.validation_loss = loss;
            best = trainer.current;
            result.n_epochs = passes;
        }
    }
    if (result.n_epochs == 0) {
        throw error("TRAINING_DIVERGED", "the probe's loss became infinite; check the labels and the model");
    }
    std::vector<std::vector<double>> scores;
    std::vector<double> labels;
    for (size_t i : rows.validation) {
        scores.push_back({ best.predict(table, i) });
        labels.push_back(rows.labels[i]);
    }
    const calibration scale = fit_calibration(scores, labels, /*with_shift =*/true, cancel);
    for (size_t i = 0; i < table.rows(); ++i) {
        result.log_odds.push_back(scale.slope * best.predict(table, i) + scale.shift);
    }
    // on the states as they are
    result.prior = scale.slope * best.bias + scale.shift;
    result.head.bias = result.prior;
    for (size_t k = 0; k < table.width; ++k) {
        const double weight = scale.slope * best.weight[k] / table.scale[k];
        result.head.weight.push_back(float(weight));
        result.head.bias -= weight * table.mean[k];
    }
    return result;
}

}

probe_training train_probes(const open_decoder & open, const std::vector<labelled_response> & responses, const std::vector<int32_t> & layers,
                            bool chooses, const cancel_flag & cancel, const epoch_function & on_epoch) {
    const probe_features features = read_features(open, responses, layers.size(), cancel);
    probe_training result;
    result.rows = features.rows.rows;
    const auto add = [&](const std::vector<size_t> & means, bool last) {
        std::vector<const feature_table *> tables;
        trained_probe probe;
        for (size_t l : means) {
            tables.push_back(&features.means[l]);
            probe.layers.push_back(layers[l]);
        }
        if (last) {
            tables.push_back(&features.last);
        }
        trained_probe trained = tables.size() == 1 ? fit(*tables[0], features.rows, cancel, on_epoch)
                                                   : fit(join(tables), features.rows, cancel, on_epoch);
        trained.layers = std::move(probe.layers);
        trained.last = last;
        result.probes.push_back(std::move(trained));
        return result.probes.back().validation_loss;
    };
    std::vector<size_t> all, best;
    double lowest_loss = std::numeric_limits<double>::infinity();
    for (size_t l = 0; l < layers.size(); ++l) {
        all.push_back(l);
        const double loss = add({ l }, /*last =*/false);
        if (loss < lowest_loss) {
            lowest_loss = loss;
            best = { l };
        }
    }
    if (!chooses && layers.size() > 1) {
        add(all, /*last =*/false);
    }
    add({}, /*last =*/true);
    if (!layers.empty()) {
        add(chooses ? best : all, /*last =*/true);
    }
    return result;
}

}
