// residual_tap.h owns what is read of the residual stream while a decode runs: of the items that ask for it, what the stream holds
// behind chosen layers. llama.cpp's graph is cut at those layers, and only in decodes in which an item asks. Behind the last layer
// nothing is read: there llama.cpp computes outputs only.
#pragma once

#include "llama-cpp.h"
#include "serving/decoder.h"

namespace ig {

// Layers by their numbers in llama.cpp (from 0), in the order in which their readers named them.
class residual_layers {
  public:
    // Where the values of layers lie among those of all; they are read from now on.
    std::vector<size_t> places_of(const std::vector<int32_t> & wanted);

    const std::vector<int32_t> & numbers() const { return layers; }

  private:
    std::vector<int32_t> layers;
};

class residual_tap {
  public:
    residual_tap(std::vector<int32_t> layers, int32_t n_embd) : layers(std::move(layers)), n_embd(size_t(n_embd)) {}

    size_t n_values() const { return layers.size() * n_embd; }

    // In a context that is about to be made.
    void attach(llama_context_params & params);

    // Before a decode of these items.
    void expect(const decode_item * items, size_t n);

    // After it. Throws UNSUPPORTED_MODEL where the architecture names no outputs of layers, or computes a batch in parts.
    void check() const;

    // [layer, n_embd], null where the item did not ask
    const float * row(size_t item) const {
        return places[item] < 0 ? nullptr : &host[size_t(places[item]) * n_values()];
    }

  private:
    std::vector<int32_t> layers;
    size_t               n_embd;
    std::vector<int32_t> places;  // of each item's row; -1: it did not ask
    int32_t              n_rows = 0;
    std::vector<float>   host;    // [row, layer, n_embd]
    std::vector<bool>    seen;    // per layer

    int32_t place_of(const ggml_tensor * node) const;
    void    bring_home(const ggml_tensor * node, size_t place);

    static bool on_node(ggml_tensor * node, bool ask, void * self);
};

// The layer that a node of a graph is the output of; -1: none.
int32_t layer_of_output(const ggml_tensor * node);

}  // namespace ig
