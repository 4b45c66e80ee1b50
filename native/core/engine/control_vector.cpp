#include "engine/control_vector.h"

#include "support/error.h"
#include "support/tensor_file.h"

#include <algorithm>
#include <cmath>

namespace ig {

double control_vector::projection(const std::vector<float> & hidden) const {
    double dot     = 0;
    double squares = 0;
    for (size_t i = 0; i < hidden.size(); ++i) {
        dot += double(hidden[i]) * gate[i];
        squares += double(gate[i]) * gate[i];
    }
    return dot / squares;
}

control_vector load_control_vector(const std::string & path, int32_t n_embd, int32_t n_layers) {
    const tensor_file file(path, "control-vector", "INVALID_CONTROL_VECTOR");
    const auto        expect = [&](const char * key, int32_t model) {
        if (file.number(key) != model) {
            throw error("CONTROL_VECTOR_MISMATCH",
                        format("expected a control vector of %s %d, got %g; make one for this model", key, model,
                               file.number(key)));
        }
    };
    expect("hidden_width", n_embd);
    expect("layers", n_layers);
    control_vector vector;
    vector.directions.assign(size_t(n_layers - 1) * size_t(n_embd), 0);
    for (double layer : file.numbers("steered_layers")) {
        const bool exists = layer == std::floor(layer) && layer >= 1 && layer < n_layers;
        if (!exists) {
            throw error("INVALID_CONTROL_VECTOR",
                        format("%s steers layer %g, which there is not; make the file again", path.c_str(), layer));
        }
        const std::vector<float> direction = file.tensor("direction." + std::to_string(int32_t(layer)), { n_embd });
        std::copy(direction.begin(), direction.end(), vector.directions.begin() + (size_t(layer) - 1) * size_t(n_embd));
    }
    vector.gate_layer     = int32_t(file.number("gate_layer"));
    vector.gate_threshold = file.number("gate_threshold");
    const float * gate    = vector.gate_layer >= 1 && vector.gate_layer < n_layers ?
                                &vector.directions[size_t(vector.gate_layer - 1) * size_t(n_embd)] :
                                nullptr;
    if (gate == nullptr || std::all_of(gate, gate + n_embd, [](float x) { return x == 0; })) {
        throw error("INVALID_CONTROL_VECTOR", path + " has a gate at a layer without direction; make the file again");
    }
    vector.gate.assign(gate, gate + n_embd);
    return vector;
}

void keep_largest(control_vector & vector, size_t n_embd, double share) {
    const size_t kept = std::max<size_t>(1, size_t(std::llround(share * double(n_embd))));
    for (size_t begin = 0; begin < vector.directions.size() && kept < n_embd; begin += n_embd) {
        std::vector<float> sizes;
        for (size_t i = 0; i < n_embd; ++i) {
            sizes.push_back(std::abs(vector.directions[begin + i]));
        }
        std::nth_element(sizes.begin(), sizes.begin() + kept - 1, sizes.end(), std::greater<float>());
        const float smallest = sizes[kept - 1];
        for (size_t i = 0; i < n_embd; ++i) {
            float & component = vector.directions[begin + i];
            component         = std::abs(component) >= smallest ? component : 0;
        }
    }
}

}  // namespace ig
