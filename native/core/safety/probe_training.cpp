#include "safety/probe_training.h"

#include "support/calibration.h"
#include "support/error.h"
#include "support/numeric.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ig {

namespace {

const double penalties[] = {
    1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001
};  // L2 penalties, the strongest first: each descent starts at the result of the last
const int32_t passes_per_penalty = 100;
const int32_t power_iterations   = 15;
const size_t  rows_per_part      = 256;             // summed by one thread in single precision
const size_t  prefixes[]         = { 16, 32, 64 };  // tokens of unfinished responses that train along with whole ones

// the purpose of each row's features
struct probe_rows {
    std::vector<probe_row> rows;
    std::vector<double>    labels;
    std::vector<size_t>    training, validation;

    void add(size_t index, size_t n_tokens, const labelled_response & response) {
        if (response.trains) {
            training.push_back(rows.size());
        }
        if (response.validates) {
            validation.push_back(rows.size());
        }
        rows.push_back({ index, n_tokens, n_tokens == response.tokens.size() });
        labels.push_back(response.label);
    }
};

// rows of features, standardised by the rows that train
struct feature_table {
    size_t             width = 0;
    std::vector<float> values;       // [row][feature]
    std::vector<float> mean, scale;  // x becomes (x - mean) / scale

    feature_table() = default;

    feature_table(size_t n_rows, size_t width) : width(width), values(n_rows * width) {}

    void fill(size_t i, const float * from, double factor) {
        for (size_t k = 0; k < width; ++k) {
            values[i * width + k] = float(from[k] * factor);
        }
    }

    size_t rows() const { return width == 0 ? 0 : values.size() / width; }

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
            mean[k]               = float(sums[k] / n);
            scale[k]              = float(std::sqrt(variance) + 1e-6);
        }
        for (size_t i = 0; i < rows(); ++i) {
            for (size_t k = 0; k < width; ++k) {
                float & x = values[i * width + k];
                x         = (x - mean[k]) / scale[k];
            }
        }
    }
};

struct linear_model {
    std::vector<float> weight;
    double             bias = 0;

    double predict(const feature_table & table, size_t i) const {
        return bias + dot(weight.data(), table.row(i), weight.size());
    }
};

// logistic regression by accelerated gradient descent (Nesterov 1983)
class probe_trainer {
  public:
    probe_trainer(const feature_table & table,
                  const probe_rows &    rows,
                  thread_team &         team,
                  const cancel_flag &   cancel) :
        table(table),
        rows(rows),
        team(team),
        cancel(cancel),
        curvature(0.25 * largest_eigenvalue() + 0.25) {
        current.weight.assign(table.width, 0);
    }

    // Descends under this penalty from the last result. Returns the losses without penalty.
    void descend(double penalty) {
        linear_model ahead    = current;
        double       momentum = 1;
        for (int32_t pass = 0; pass < passes_per_penalty; ++pass) {
            cancel.check();
            linear_model next      = step(ahead, penalty);
            const double following = (1 + std::sqrt(1 + 4 * momentum * momentum)) / 2;
            const double share     = (momentum - 1) / following;
            for (size_t k = 0; k < ahead.weight.size(); ++k) {
                ahead.weight[k] = next.weight[k] + float(share) * (next.weight[k] - current.weight[k]);
            }
            ahead.bias = next.bias + share * (next.bias - current.bias);
            momentum   = following;
            current    = std::move(next);
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
    thread_team &         team;
    const cancel_flag &   cancel;
    double                curvature;  // upper bound for the loss without penalty

    // Sums over the training rows: each feature, then a constant 1, times a factor of the row.
    template <typename F> std::vector<double> weighted_sums(F factor) const {
        const size_t                    n = rows.training.size();
        std::vector<std::vector<float>> parts((n + rows_per_part - 1) / rows_per_part);
        team.run(parts.size(), [&](size_t p, size_t) {
            std::vector<float> part(table.width + 1, 0);
            for (size_t t = p * rows_per_part; t < std::min(n, (p + 1) * rows_per_part); ++t) {
                const size_t i   = rows.training[t];
                const float  own = float(factor(i));
                add_scaled(part.data(), table.row(i), table.width, own);
                part.back() += own;
            }
            parts[p] = std::move(part);
        });
        std::vector<double> sums(table.width + 1, 0);
        for (const std::vector<float> & part : parts) {
            for (size_t k = 0; k < sums.size(); ++k) {
                sums[k] += part[k];
            }
        }
        return sums;
    }

    linear_model step(const linear_model & from, double penalty) const {
        const double              n = double(rows.training.size());
        const std::vector<double> gradient =
            weighted_sums([&](size_t i) { return (sigmoid(from.predict(table, i)) - rows.labels[i]) / n; });
        linear_model next = from;
        const double rate = 1 / (curvature + penalty);
        for (size_t k = 0; k < next.weight.size(); ++k) {
            next.weight[k] -= float(rate * (gradient[k] + penalty * from.weight[k]));
        }
        next.bias -= rate * gradient.back();
        return next;
    }

    // of the features' second moments, by power iteration, with a margin
    double largest_eigenvalue() const {
        const double       n = double(rows.training.size());
        std::vector<float> v(table.width, float(1 / std::sqrt(double(table.width))));
        double             value = 0;
        for (int32_t iteration = 0; iteration < power_iterations; ++iteration) {
            cancel.check();
            const std::vector<double> next =
                weighted_sums([&](size_t i) { return dot(v.data(), table.row(i), v.size()) / n; });
            double norm = 0;
            for (size_t k = 0; k < v.size(); ++k) {
                norm += next[k] * next[k];
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

// each row's features by their source
struct probe_features {
    probe_rows                 rows;
    feature_table              last;
    std::vector<feature_table> means;  // per layer
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

probe_features read_features(const open_decoder &                   open,
                             const std::vector<labelled_response> & responses,
                             size_t                                 n_layers,
                             const cancel_flag &                    cancel) {
    probe_features              features;
    std::vector<given_response> given;
    std::vector<size_t>         first_row;  // of each response
    for (size_t r = 0; r < responses.size(); ++r) {
        const labelled_response & response = responses[r];
        if (response.tokens.empty()) {
            throw error("INVALID_DATA", format("expected text in every row, but that of row %zu is empty", r + 1));
        }
        given.push_back({ &response.prompt, &response.tokens, lengths_of(response.tokens.size()) });
        first_row.push_back(features.rows.rows.size());
        for (size_t n_tokens : given.back().lengths) {
            features.rows.add(r, n_tokens, response);
        }
    }
    const size_t n_rows     = features.rows.rows.size();
    const size_t n_residual = open()->n_residual();
    features.last           = feature_table(n_rows, size_t(open()->n_embd()));
    features.means.assign(n_layers, feature_table(n_rows, n_residual / std::max<size_t>(1, n_layers)));
    const auto fill = [&](const response_state & state) {
        const size_t row = first_row[state.response] + state.length;
        features.last.fill(row, state.hidden, 1);
        for (size_t l = 0; l < n_layers; ++l) {
            feature_table & mean = features.means[l];
            mean.fill(row, &state.residual.values[l * mean.width], 1 / double(state.residual.n_tokens));
        }
    };
    read_responses(open, given, /*with_hidden =*/true, fill, cancel);
    features.last.standardise(features.rows.training);
    for (feature_table & mean : features.means) {
        mean.standardise(features.rows.training);
    }
    return features;
}

// Concatenates the tables' features.
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

trained_probe fit(const feature_table &  table,
                  const probe_rows &     rows,
                  thread_team &          team,
                  const cancel_flag &    cancel,
                  const epoch_function & on_epoch) {
    probe_trainer trainer(table, rows, team, cancel);
    linear_model  best;
    trained_probe result;
    result.validation_loss = std::numeric_limits<double>::infinity();
    const int32_t n_passes = int32_t(std::size(penalties)) * passes_per_penalty;
    int32_t       passes   = 0;
    for (double penalty : penalties) {
        trainer.descend(penalty);
        passes += passes_per_penalty;
        const double loss = trainer.loss(rows.validation);
        on_epoch({ passes, n_passes, trainer.loss(rows.training), loss });
        if (loss < result.validation_loss) {
            result.validation_loss = loss;
            best                   = trainer.current;
            result.n_epochs        = passes;
        }
    }
    if (result.n_epochs == 0) {
        throw error("TRAINING_DIVERGED", "the probe's loss became infinite; check the labels and the model");
    }
    std::vector<std::vector<double>> scores;
    std::vector<double>              labels;
    for (size_t i : rows.validation) {
        scores.push_back({ best.predict(table, i) });
        labels.push_back(rows.labels[i]);
    }
    const calibration scale = fit_calibration(scores, labels, /*with_shift =*/true, cancel);
    for (size_t i = 0; i < table.rows(); ++i) {
        result.log_odds.push_back(scale.slope * best.predict(table, i) + scale.shift);
    }
    // for states that are not standardised
    result.prior     = scale.slope * best.bias + scale.shift;
    result.head.bias = result.prior;
    for (size_t k = 0; k < table.width; ++k) {
        const double weight = scale.slope * best.weight[k] / table.scale[k];
        result.head.weight.push_back(float(weight));
        result.head.bias -= weight * table.mean[k];
    }
    return result;
}

}  // namespace

probe_training train_probes(const open_decoder &                   open,
                            const std::vector<labelled_response> & responses,
                            const std::vector<int32_t> &           layers,
                            bool                                   chooses,
                            thread_team &                          team,
                            const cancel_flag &                    cancel,
                            const epoch_function &                 on_epoch) {
    const probe_features features = read_features(open, responses, layers.size(), cancel);
    probe_training       result;
    result.rows    = features.rows.rows;
    const auto add = [&](const std::vector<size_t> & means, bool last) {
        std::vector<const feature_table *> tables;
        trained_probe                      probe;
        for (size_t l : means) {
            tables.push_back(&features.means[l]);
            probe.layers.push_back(layers[l]);
        }
        if (last) {
            tables.push_back(&features.last);
        }
        trained_probe trained = tables.size() == 1 ? fit(*tables[0], features.rows, team, cancel, on_epoch) :
                                                     fit(join(tables), features.rows, team, cancel, on_epoch);
        trained.layers        = std::move(probe.layers);
        trained.last          = last;
        result.probes.push_back(std::move(trained));
        return result.probes.back().validation_loss;
    };
    std::vector<size_t> all, best;
    double              lowest_loss = std::numeric_limits<double>::infinity();
    for (size_t l = 0; l < layers.size(); ++l) {
        all.push_back(l);
        const double loss = add({ l }, /*last =*/false);
        if (loss < lowest_loss) {
            lowest_loss = loss;
            best        = { l };
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

}  // namespace ig
