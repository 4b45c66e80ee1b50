// stop_strings.h owns the strings that end a response, and the text of a growing response for as long as one may have
// begun. Such text is held back, so the text of a response has neither a stop string nor the beginning of one. What
// ends a response is decided character by character: how its text is cut into tokens does not matter.
#pragma once

#include "support/utf8.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ig {

// the end of a text, about which the next bytes decide
struct open_end {
    utf8_stream         bytes;      // the beginning of a character
    std::string         held;       // text that may be the beginning of a stop string
    std::vector<size_t> n_matched;  // per stop string: how much of it `held` ends with

    // Appends the text that was held back, since nothing follows it.
    void close(std::string & text) {
        text += held;
        held.clear();
    }
};

class stop_strings {
  public:
    stop_strings() = default;

    // None of them is empty.
    explicit stop_strings(std::vector<std::string> strings);

    // Appends the text of further bytes up to the stop string that is complete first, or the longest of several. Returns
    // whether there is one.
    bool append(std::string_view added, open_end & end, std::string & text) const;

  private:
    std::vector<std::string>         strings;
    std::vector<std::vector<size_t>> borders;  // [string][n]: length of the longest border of its first n bytes

    size_t advance(size_t string, size_t n_matched, char next) const;
};

}  // namespace ig
