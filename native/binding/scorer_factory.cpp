#include "scorer_factory.h"

#include "support/error.h"

namespace ig {

std::unique_ptr<text_model> scorer_factory::read_with(std::shared_ptr<loaded_model> model, text_output output) {
    return make_text_model(std::move(model), threads, n_threads, output);
}

std::unique_ptr<text_model> scorer_factory::load(const std::string & path,
                                                 model_purpose       purpose,
                                                 text_output         output,
                                                 const cancel_flag & cancel) {
    model_options options = device;
    options.path          = path;
    options.purpose       = purpose;
    return read_with(std::make_shared<loaded_model>(options, cancel, [](float) {}), output);
}

namespace {

probe_weights probe_of(const std::string & path, const llama_model * model) {
    return load_probe(path, { llama_model_n_layer(model), llama_model_n_embd(model), llama_model_n_embd_out(model) });
}

}  // namespace

std::unique_ptr<mean_probe> scorer_factory::mean_probe_of(probe_weights weights) {
    std::vector<size_t> places = layers.places_of(weights.layers);
    return std::make_unique<mean_probe>(std::move(weights), std::move(places));
}

std::unique_ptr<text_scorer> scorer_factory::make_probe(const std::string & path, std::shared_ptr<loaded_model> base) {
    probe_weights weights = probe_of(path, base->get());
    if (weights.layers.empty()) {
        return std::make_unique<last_state_probe>(read_with(std::move(base), OUTPUT_HIDDEN), std::move(weights));
    }
    return mean_probe_of(std::move(weights));
}

// A further member of a judge, which reads what the base model decodes anyway.
std::unique_ptr<mean_probe> scorer_factory::make_member(const std::string & path, const loaded_model & base) {
    probe_weights weights = probe_of(path, base.get());
    if (weights.layers.empty()) {
        throw error("INVALID_COST_MODEL", "expected a probe of means beside an encoder, but " + path +
                                              " reads the state at the last token; train one with layers");
    }
    return mean_probe_of(std::move(weights));
}

std::unique_ptr<text_scorer> scorer_factory::make(const scorer_spec &           spec,
                                                  std::shared_ptr<loaded_model> base,
                                                  const cancel_flag &           cancel) {
    std::unique_ptr<text_scorer> scorer;
    encoder_judge *              judge = nullptr;
    switch (spec.kind) {
        case SCORER_GUARD_MODEL:
            scorer = std::make_unique<guard_model>(load(spec.path, PURPOSE_GENERATE, OUTPUT_LOGITS, cancel),
                                                   spec.pieces, spec.answers);
            break;
        case SCORER_SEQUENCE_CLASSIFIER:
            {
                auto pieces = spec.has_template ? std::make_unique<template_pieces>(spec.pieces) : nullptr;
                scorer =
                    std::make_unique<sequence_classifier>(load(spec.path, PURPOSE_CLASSIFY, OUTPUT_CLASSES, cancel),
                                                          std::move(pieces), spec.classes, spec.path);
                break;
            }
        case SCORER_SCORE_MODEL:
            {
                std::unique_ptr<text_model> body = load(spec.path, PURPOSE_GENERATE, OUTPUT_HIDDEN, cancel);
                linear_head                 head = load_head(spec.head, body->width());
                scorer = std::make_unique<score_model>(std::move(body), spec.pieces, std::move(head));
                break;
            }
        case SCORER_PROBE:
            scorer = make_probe(spec.path, base);
            break;
        case SCORER_ENCODER:
            {
                auto made_judge =
                    std::make_unique<encoder_judge>(spec.path, spec.uncertainty_penalty, threads, n_threads, computing);
                judge = made_judge.get();
                scorer = std::move(made_judge);
                break;
            }
    }
    if (!spec.self_test.empty()) {
        self_test(*scorer, spec.path, spec.self_test, spec.higher, cancel);
    }
    if (!spec.probe.empty()) {
        judge->join(make_member(spec.probe, *base));  // after the test, whose texts no model decodes
    }
    return scorer;
}

}  // namespace ig
