// scorer_factory.h owns the making of the cost and reward models that run on a language model: it loads the model, reads what
// stands beside it, and tests it. All of a guard's share one set of threads.
#pragma once

#include "engine/residual_tap.h"
#include "engine/text_models.h"
#include "safety/encoder_judge.h"
#include "safety/guard_model.h"
#include "safety/linked_score.h"
#include "safety/probe.h"
#include "safety/score_model.h"
#include "safety/sequence_classifier.h"

namespace ig {

enum scorer_kind { SCORER_GUARD_MODEL, SCORER_SEQUENCE_CLASSIFIER, SCORER_SCORE_MODEL, SCORER_PROBE, SCORER_ENCODER };

struct scorer_spec {
    scorer_kind                 kind = SCORER_GUARD_MODEL;
    std::string                 path;   // of the model, the probe or the encoder
    std::string                 head;   // path, of a score model
    std::string                 probe;  // path, of an encoder's further member; empty: none
    bool                        has_template = false;
    template_pieces             pieces;
    guard_answers               answers;              // of a guard model
    class_choice                classes;              // of a sequence classifier
    std::optional<double>       uncertainty_penalty;  // of an encoder; what the file says, where it is not given
    std::vector<self_test_pair> self_test;            // empty: none
    higher_score                higher = UNSAFE_IS_HIGHER;
};

class scorer_factory {
  public:
    // What probes read of the residual stream is noted in `layers`. `computing` is held while the threads compute for what serves several
    // searches.
    scorer_factory(model_options                    device,
                   std::shared_ptr<ggml_threadpool> threads,
                   int32_t                          n_threads,
                   residual_layers &                layers,
                   std::mutex &                     computing) :
        device(std::move(device)),
        threads(std::move(threads)),
        n_threads(n_threads),
        layers(layers),
        computing(computing) {}

    // Throws as loaded_model does, and INVALID_COST_MODEL, INVALID_OPTION, COST_MODEL_FLIPPED, COST_MODEL_TEMPLATE or
    // COST_MODEL_TOKENIZER. `base` is the guard's own model, for probes; null: none.
    std::unique_ptr<text_scorer> make(const scorer_spec &           spec,
                                      std::shared_ptr<loaded_model> base,
                                      const cancel_flag &           cancel);

  private:
    model_options                    device;  // without a path
    std::shared_ptr<ggml_threadpool> threads;
    int32_t                          n_threads;
    residual_layers &                layers;
    std::mutex &                     computing;

    std::unique_ptr<mean_probe>  mean_probe_of(probe_weights weights);
    std::unique_ptr<text_scorer> make_probe(const std::string & path, std::shared_ptr<loaded_model> base);
    std::unique_ptr<mean_probe>  make_member(const std::string & path, const loaded_model & base);
    std::unique_ptr<text_model>  load(const std::string & path,
                                      model_purpose       purpose,
                                      text_output         output,
                                      const cancel_flag & cancel);
    std::unique_ptr<text_model>  read_with(std::shared_ptr<loaded_model> model, text_output output);
};

}  // namespace ig
