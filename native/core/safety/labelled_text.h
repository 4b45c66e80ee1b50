// labelled_text.h owns what the cost models that are learned from labels learn from.
#pragma once

#include <string>

namespace ig {

struct labelled_text {
    std::string context;  // empty: none
    std::string text;
    float       label;    // probability of "unsafe"
    bool        trains;   // otherwise it validates, or is only scored
    bool        validates;
};

}  // namespace ig
