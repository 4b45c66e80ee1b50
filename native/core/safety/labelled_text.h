// labelled_text.h owns the training example of the cost models that learn from labels.
#pragma once

#include <string>

namespace ig {

struct labelled_text {
    std::string context;  // empty: none
    std::string text;
    float       label;    // probability of "unsafe"
    bool        trains;   // otherwise it is for validation, or is only scored
    bool        validates;
};

}  // namespace ig
