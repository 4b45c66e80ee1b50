#include "safety/probe.h"

#include "safety/cost_kind.h"
#include "support/error.h"
#include "support/tensor_file.h"

#include <cmath>

namespace ig {

namespace {

// a prompt, and a response that is tokenized separately
token_sequence tokens_of(const text_model &  model,
                         const std::string & context,
                         const std::string & text,
                         const cancel_flag * cancel) {
    token_sequence sequence;
    if (model.beginning() >= 0) {
        sequence.tokens.push_back(model.beginning());
    }
    for (const std::string * part : { &context, &text }) {
        if (!part->empty()) {
            const std::vector<token_id> tokens = model.tokenize(*part, /*with_ends =*/false, cancel);
            sequence.tokens.insert(sequence.tokens.end(), tokens.begin(), tokens.end());
        }
    }
    sequence.n_kept = sequence.tokens.size();
    return sequence;
}

}  // namespace

probe_weights load_probe(const std::string & path, const probed_model & model) {
    const tensor_file file(path, "probe", "INVALID_COST_MODEL");
    probe_weights     weights;
    if (file.has_numbers("layers")) {
        const int32_t n_readable = model.n_layers - 1;  // see residual_tap.h
        for (double layer : file.numbers("layers")) {
            if (!(layer >= 0 && layer < n_readable && layer == std::floor(layer))) {
                throw error(
                    "INVALID_COST_MODEL",
                    format("expected a probe of layers from 0 to %d of this model, but %s reads layer %g; make the "
                           "file again",
                           n_readable - 1, path.c_str(), layer));
            }
            weights.layers.push_back(int32_t(layer));
        }
        weights.prior = file.number("prior");
    }
    const int64_t n_means = int64_t(weights.layers.size()) * model.n_stream;
    weights.head.weight   = file.tensor("weights", { weights.layers.empty() ? model.n_hidden : n_means });
    weights.head.bias     = file.number("bias");
    weights.with_context  = file.number("with_context") != 0;
    return weights;
}

double mean_probe::log_odds(const text_view & text) const {
    if (text.residual == nullptr) {
        throw error("INTERNAL", "a probe was asked about a text whose residual stream was not read");
    }
    const residual_sum & residual = *text.residual;
    if (residual.n_tokens == 0) {
        return weights.prior;
    }
    const size_t n_embd = weights.head.weight.size() / weights.layers.size();
    double       sum    = 0;
    for (size_t l = 0; l < places.size(); ++l) {
        const float * values = &residual.values[places[l] * n_embd];
        const float * weight = &weights.head.weight[l * n_embd];
        for (size_t i = 0; i < n_embd; ++i) {
            sum += double(weight[i]) * values[i];
        }
    }
    return sum / double(residual.n_tokens) + weights.head.bias;
}

std::unique_ptr<scoring_session> mean_probe::open(const session_scope &) const {
    return std::make_unique<plain_session>([this](const std::vector<text_view> & texts) {
        std::vector<double> result;
        for (const text_view & view : texts) {
            result.push_back(log_odds(view));
        }
        return result;
    });
}

std::unique_ptr<scoring_session> last_state_probe::open(const session_scope & scope) const {
    const auto        reading = std::make_shared<reading_session>(*model, scope.reading);
    const std::string context = weights.with_context ? scope.prompt : "";
    return std::make_unique<plain_session>([this, &scope, reading, context](const std::vector<text_view> & texts) {
        std::vector<token_sequence> sequences;
        std::vector<size_t>         asked;
        std::vector<double>         result(texts.size(), weights.head.bias);
        for (size_t i = 0; i < texts.size(); ++i) {
            token_sequence sequence = tokens_of(*model, context, *texts[i].text, scope.reading.cancel);
            if (!sequence.tokens.empty()) {
                sequences.push_back(std::move(sequence));
                asked.push_back(i);
            }
        }
        reading->read(sequences,
                      [&](size_t i, size_t, const float * hidden) { result[asked[i]] = weights.head.score(hidden); });
        return result;
    });
}

namespace {

std::unique_ptr<text_scorer> make_probe(const scorer_spec & spec, cost_materials & with) {
    probe_weights weights = load_probe(spec.path, with.base());
    if (weights.layers.empty()) {
        return std::make_unique<last_state_probe>(with.read_base(OUTPUT_HIDDEN), std::move(weights));
    }
    std::vector<size_t> places = with.places_of(weights.layers);
    return std::make_unique<mean_probe>(std::move(weights), std::move(places));
}

}  // namespace

const scorer_kind probe_kind = { "probe", make_probe, nullptr };

}  // namespace ig
