// control_vector.h owns the file of a steering vector. It holds one direction per layer, which is added to the residual
// stream after that layer, and the gate, which tells from a prompt's hidden state on which side of the contrast the
// prompt lies.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ig {

struct control_vector {
    std::vector<float> directions;  // [n_layers - 1, n_embd], from layer 1 on; 0 for layers that are not steered
    std::vector<float> gate;        // [n_embd] the unscaled direction at the gate's layer
    int32_t            gate_layer     = 0;
    double             gate_threshold = 0;  // of the projection on the gate layer's direction, in units of its length

    // The projection of a hidden state after the gate layer. Above the threshold it is on the positive side.
    double projection(const std::vector<float> & hidden) const;
};

// Throws INVALID_CONTROL_VECTOR, or CONTROL_VECTOR_MISMATCH if it is for a model of another size.
control_vector load_control_vector(const std::string & path, int32_t n_embd, int32_t n_layers);

// Of every layer's direction only the share of components that are largest stays (Shen et al. 2025).
void keep_largest(control_vector & vector, size_t n_embd, double share);

}  // namespace ig
