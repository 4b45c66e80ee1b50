// canonical_form.h owns the canonical forms of text (the Unicode Standard, section 3.11), which tokenizers need.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ig {

// NFD of characters
std::vector<uint32_t> decomposed_form(const std::vector<uint32_t> & characters);

// NFC of well-formed UTF-8
std::string composed_form(const std::string & text);

}  // namespace ig
