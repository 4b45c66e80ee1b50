// cost_kind.h owns what a kind of cost model is to whoever makes one: the name that its specification goes by, and how it is made. A new
// kind is a file that defines a cost_kind or, where it judges texts with a model, a scorer_kind, and a line in one of the two lists
// of binding/cost_factory.cpp.
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

// what the caller gives of a model that judges texts
struct scorer_spec {
    const scorer_kind *         kind = nullptr;
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

// what the caller gives of a cost model
struct constraint_spec {
    const cost_kind *         kind = nullptr;
    std::optional<double>     budget;  // nothing: what the classifier's file recommends
    budget_terms              terms;   // but for the budget
    std::vector<lexicon_term> lexicon;
    spelling_rule             spelling = SPELLING_STRICT;
    std::vector<double>       token_costs;
    std::string               classifier;  // path
    score_link                link = LINK_PROBABILITY;
    std::optional<double>     threshold;   // of LINK_EXCESS, in the units of the score; nothing: the file's
    scorer_spec               scorer;
};

// what a guard has to make cost models with
class cost_materials {
  public:
    virtual ~cost_materials() = default;

    // A reader of a model file. Throws as loaded_model does.
    virtual std::unique_ptr<text_model> load(const std::string & path, text_output output) = 0;

    // A reader of the model that generates, and what a probe has to know of that model.
    virtual std::unique_ptr<text_model> read_base(text_output output) = 0;
    virtual probed_model                base() const                  = 0;

    // Where the values of layers of the residual stream lie among those of all that are read; they are read from now on.
    virtual std::vector<size_t> places_of(const std::vector<int32_t> & layers) = 0;

    virtual std::shared_ptr<ggml_threadpool> threads() const   = 0;
    virtual int32_t                          n_threads() const = 0;
    virtual std::mutex &                     computing() const = 0;  // held while the threads compute
    virtual const cancel_flag &              cancel() const    = 0;
};

struct scorer_kind {
    const char * name;
    std::unique_ptr<text_scorer> (*make)(const scorer_spec & spec, cost_materials & with);

    // What it gets behind its self-test, whose texts nobody decodes; null: nothing.
    void (*complete)(text_scorer & made, const scorer_spec & spec, cost_materials & with);
};

struct cost_kind {
    const char * name;
    bool         loads_models;  // so that others are made before

    // Sets one of the two models of the constraint; `index` is its place among the guard's.
    void (*make)(constraint & made, const constraint_spec & spec, size_t index, cost_materials & with);
};

// Makes a scorer and tests it. Throws as its kind does, and as self_test does.
std::unique_ptr<const text_scorer> make_scorer(const scorer_spec & spec, cost_materials & with);

}  // namespace ig
