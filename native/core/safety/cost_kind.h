// cost_kind.h owns the registration of a kind of cost model: the name in its specification and its factory. A new kind
// is a file that defines a cost_kind or, if it judges texts with a model, a scorer_kind, and a line in one of the two
// lists of binding/cost_factory.cpp.
#pragma once

#include "safety/guard_model.h"
#include "safety/lexicon.h"
#include "safety/linked_score.h"
#include "safety/probe.h"
#include "safety/sequence_classifier.h"

#include <mutex>

struct ggml_threadpool;

namespace ig {

struct scorer_kind;
struct cost_kind;

// the caller's specification of a model that judges texts
struct scorer_spec {
    const scorer_kind *         kind = nullptr;
    std::string                 path;   // of the model, the probe or the encoder
    std::string                 head;   // path; for a score model
    std::string                 probe;  // path; for an encoder's additional member; empty: none
    bool                        has_template = false;
    template_pieces             pieces;
    guard_answers               answers;              // for a guard model
    class_choice                classes;              // for a sequence classifier
    std::optional<double>       uncertainty_penalty;  // for an encoder; unset: the file's value
    std::vector<self_test_pair> self_test;            // empty: none
    higher_score                higher = UNSAFE_IS_HIGHER;
};

// the caller's specification of a cost model
struct constraint_spec {
    const cost_kind *         kind = nullptr;
    std::optional<double>     budget;  // unset: the classifier file's recommendation
    budget_terms              terms;   // without the budget
    std::vector<lexicon_term> lexicon;
    spelling_rule             spelling = SPELLING_STRICT;
    std::vector<double>       token_costs;
    std::string               classifier;  // path
    score_link                link = LINK_PROBABILITY;
    std::optional<double>     threshold;   // for LINK_EXCESS, in the units of the score; unset: the file's value
    scorer_spec               scorer;
};

// what a guard provides for making cost models
class cost_materials {
  public:
    virtual ~cost_materials() = default;

    // Loads a model file for reading texts. Throws as loaded_model does.
    virtual std::unique_ptr<text_model> load(const std::string & path, text_output output) = 0;

    // A reader on the generating model, and that model's properties for a probe.
    virtual std::unique_ptr<text_model> read_base(text_output output) = 0;
    virtual probed_model                base() const                  = 0;

    // The places of these layers' values among all layers of the residual stream that are read. They are read from now
    // on.
    virtual std::vector<size_t> places_of(const std::vector<int32_t> & layers) = 0;

    virtual std::shared_ptr<ggml_threadpool> threads() const   = 0;
    virtual int32_t                          n_threads() const = 0;
    virtual std::mutex &                     computing() const = 0;  // locked while the threads compute
    virtual const cancel_flag &              cancel() const    = 0;
};

struct scorer_kind {
    const char * name;
    std::unique_ptr<text_scorer> (*make)(const scorer_spec & spec, cost_materials & with);

    // Completes a scorer after its self-test, whose texts are never decoded; null: nothing to do.
    void (*complete)(text_scorer & made, const scorer_spec & spec, cost_materials & with);
};

struct cost_kind {
    const char * name;
    bool         loads_models;  // others are made first

    // Sets one of the constraint's two models. `index` is its place among the guard's constraints.
    void (*make)(constraint & made, const constraint_spec & spec, size_t index, cost_materials & with);
};

// Makes a scorer and runs its self-test. Throws as its kind and self_test do.
std::unique_ptr<const text_scorer> make_scorer(const scorer_spec & spec, cost_materials & with);

}  // namespace ig
