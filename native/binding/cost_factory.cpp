#include "cost_factory.h"

#include "engine/text_models.h"
#include "safety/encoder_judge.h"
#include "safety/function_model.h"
#include "safety/score_model.h"
#include "safety/text_classifier.h"
#include "safety/token_costs.h"

namespace ig {

const std::vector<const cost_kind *> cost_kinds = {
    &lexicon_kind, &token_costs_kind, &text_classifier_kind, &function_kind, &linked_score_kind,
};

const std::vector<const scorer_kind *> scorer_kinds = {
    &guard_model_kind, &sequence_classifier_kind, &score_model_kind, &probe_kind, &encoder_judge_kind,
};

cost_factory::cost_factory(model_options                    device,
                           std::shared_ptr<ggml_threadpool> threads,
                           int32_t                          n_threads,
                           residual_layers &                layers,
                           std::mutex &                     computing,
                           const cancel_flag &              cancel) :
    device(std::move(device)),
    compute(std::move(threads)),
    n_compute(n_threads),
    layers(layers),
    in_use(computing),
    flag(cancel) {
    this->device.path.clear();
}

constraint cost_factory::make(const constraint_spec & spec, size_t index) {
    constraint made;
    made.terms        = spec.terms;
    made.terms.budget = spec.budget.value_or(0);
    spec.kind->make(made, spec, index, *this);
    made.terms.per_token = made.per_token != nullptr;
    return made;
}

std::unique_ptr<text_model> cost_factory::load(const std::string & path, text_output output) {
    model_options options = device;
    options.path          = path;
    options.purpose       = output == OUTPUT_CLASSES ? PURPOSE_CLASSIFY : PURPOSE_GENERATE;
    auto model            = std::make_shared<loaded_model>(options, flag, [](float) {});
    return make_text_model(std::move(model), compute, n_compute, output);
}

std::unique_ptr<text_model> cost_factory::read_base(text_output output) {
    return make_text_model(generating, compute, n_compute, output);
}

probed_model cost_factory::base() const {
    const llama_model * model = generating->get();
    return { llama_model_n_layer(model), llama_model_n_embd(model), llama_model_n_embd_out(model) };
}

}  // namespace ig
