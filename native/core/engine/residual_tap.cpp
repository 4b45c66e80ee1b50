#include "engine/residual_tap.h"

#include <cstdlib>
#include <cstring>

namespace ig {

int32_t layer_of_output(const ggml_tensor * node) {
    static const char   name[] = "l_out-";
    static const size_t n_name = sizeof(name) - 1;
    return std::strncmp(node->name, name, n_name) == 0 ? int32_t(std::atoi(node->name + n_name)) : -1;
}

std::vector<size_t> residual_layers::places_of(const std::vector<int32_t> & wanted) {
    std::vector<size_t> places;
    for (int32_t layer : wanted) {
        const auto known = std::find(layers.begin(), layers.end(), layer);
        places.push_back(size_t(known - layers.begin()));
        if (known == layers.end()) {
            layers.push_back(layer);
        }
    }
    return places;
}

void residual_tap::attach(llama_context_params & params) {
    params.cb_eval           = on_node;
    params.cb_eval_user_data = this;
}

void residual_tap::expect(const decode_item * items, size_t n) {
    n_rows = 0;
    places.assign(n, -1);
    for (size_t i = 0; i < n; ++i) {
        if (items[i].residual) {
            places[i] = n_rows++;
        }
    }
    host.resize(size_t(n_rows) * n_values());
    seen.assign(layers.size(), false);
}

int32_t residual_tap::place_of(const ggml_tensor * node) const {
    const int32_t layer = layer_of_output(node);
    const auto    found = std::find(layers.begin(), layers.end(), layer);
    return layer < 0 || found == layers.end() ? -1 : int32_t(found - layers.begin());
}

// Adjacent rows are copied at once.
void residual_tap::bring_home(const ggml_tensor * node, size_t place) {
    const bool is_whole =
        node->type == GGML_TYPE_F32 && size_t(node->ne[0]) == n_embd && size_t(ggml_nrows(node)) == places.size();
    if (!is_whole) {
        return;
    }
    seen[place]            = true;
    const size_t row_bytes = n_embd * sizeof(float);
    for (size_t begin = 0; begin < places.size();) {
        size_t end = begin + 1;
        if (places[begin] >= 0) {
            while (end < places.size() && places[end] >= 0) {
                ++end;
            }
            float * to = &host[size_t(places[begin]) * n_values() + place * n_embd];
            ggml_backend_tensor_get_2d(node, to, begin * node->nb[1], row_bytes, end - begin, node->nb[1],
                                       n_values() * sizeof(float));
        }
        begin = end;
    }
}

bool residual_tap::on_node(ggml_tensor * node, bool ask, void * self) {
    residual_tap & tap   = *static_cast<residual_tap *>(self);
    const int32_t  place = tap.n_rows > 0 ? tap.place_of(node) : -1;
    if (!ask && place >= 0) {
        tap.bring_home(node, size_t(place));
    }
    return !ask || place >= 0;
}

void residual_tap::check() const {
    for (size_t place = 0; place < layers.size() && n_rows > 0; ++place) {
        if (!seen[place]) {
            throw error("UNSUPPORTED_MODEL", format("expected an architecture that names the output of layer %d for "
                                                    "every token, to read its residual stream, but "
                                                    "this one does not; use a cost model and a critic that read none",
                                                    layers[place]));
        }
    }
}

}  // namespace ig
