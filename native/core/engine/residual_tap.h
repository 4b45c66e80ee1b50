// residual_tap.h owns the reading of the residual stream during a decode: for items that ask, its values after chosen
// layers. llama.cpp's graph is cut at those layers, and only in decodes in which an item asks. The last layer cannot be
// read: there llama.cpp computes outputs only.
#pragma once

#include "llama-cpp.h"
#include "serving/decoder.h"

namespace ig {

// llama.cpp's layer numbers (from 0), in the order in which readers requested them.
class residual_layers {
  public:
    // The places of these layers' values among those of all layers. They are read from now on.
    std::vector<size_t> places_of(const std::vector<int32_t> & wanted);

    const std::vector<int32_t> & numbers() const { return layers; }

  private:
    std::vector<int32_t> layers;
};

class residual_tap {
  public:
    residual_tap(std::vector<int32_t> layers, int32_t n_embd) : layers(std::move(layers)), n_embd(size_t(n_embd)) {}

    size_t n_values() const { return layers.size() * n_embd; }

    // Before a context is made with these parameters.
    void attach(llama_context_params & params);

    // Before a decode of these items.
    void expect(const decode_item * items, size_t n);

    // After a decode. Throws UNSUPPORTED_MODEL if the architecture does not name its layers' outputs, or computes a
    // batch in parts.
    void check() const;

    // [layer, n_embd]; null if the item did not ask
    const float * row(size_t item) const {
        return places[item] < 0 ? nullptr : &host[size_t(places[item]) * n_values()];
    }

  private:
    std::vector<int32_t> layers;
    size_t               n_embd;
    std::vector<int32_t> places;  // each item's row; -1: it did not ask
    int32_t              n_rows = 0;
    std::vector<float>   host;    // [row, layer, n_embd]
    std::vector<bool>    seen;    // per layer

    int32_t place_of(const ggml_tensor * node) const;
    void    bring_home(const ggml_tensor * node, size_t place);

    static bool on_node(ggml_tensor * node, bool ask, void * self);
};

// The layer whose output a node is; -1: none.
int32_t layer_of_output(const ggml_tensor * node);

}  // namespace ig
