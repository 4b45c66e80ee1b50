// cost_factory.h owns the lists of all kinds of cost models, and the means by which a guard makes its own. All of these
// share one set of threads.
#pragma once

#include "engine/llama_model.h"
#include "engine/residual_tap.h"
#include "safety/cost_kind.h"

namespace ig {

extern const std::vector<const cost_kind *>   cost_kinds;
extern const std::vector<const scorer_kind *> scorer_kinds;

class cost_factory : public cost_materials {
  public:
    // `layers` collects the layers of the residual stream that probes read. `computing` is locked while the threads
    // compute for something that several searches use.
    cost_factory(model_options                    device,
                 std::shared_ptr<ggml_threadpool> threads,
                 int32_t                          n_threads,
                 residual_layers &                layers,
                 std::mutex &                     computing,
                 const cancel_flag &              cancel);

    // Sets the generating model. Call it before making a cost model that reads it.
    void set_base(std::shared_ptr<loaded_model> model) { generating = std::move(model); }

    constraint make(const constraint_spec & spec, size_t index);

    std::unique_ptr<text_model> load(const std::string & path, text_output output) override;
    std::unique_ptr<text_model> read_base(text_output output) override;
    probed_model                base() const override;

    std::vector<size_t> places_of(const std::vector<int32_t> & wanted) override { return layers.places_of(wanted); }

    std::shared_ptr<ggml_threadpool> threads() const override { return compute; }

    int32_t n_threads() const override { return n_compute; }

    std::mutex & computing() const override { return in_use; }

    const cancel_flag & cancel() const override { return flag; }

  private:
    model_options                    device;  // without a path
    std::shared_ptr<ggml_threadpool> compute;
    int32_t                          n_compute;
    residual_layers &                layers;
    std::mutex &                     in_use;
    const cancel_flag &              flag;
    std::shared_ptr<loaded_model>    generating;
};

}  // namespace ig
