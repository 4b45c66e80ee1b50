// utf8.h owns the conversion of bytes to text. A token may end inside a character. Its bytes are kept until it is
// complete, so that text never holds half a character. Malformed bytes become U+FFFD, as in the WHATWG encoding
// standard.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ig {

void append_utf8(std::string & out, uint32_t code);

// Reads the character at `at` in well-formed text and moves `at` past it.
uint32_t next_character(std::string_view text, size_t & at);

class utf8_stream {
  public:
    // Appends the characters that `bytes` completes to `out`.
    void push(std::string_view bytes, std::string & out);

  private:
    uint32_t code    = 0;
    uint8_t  missing = 0;                 // continuation bytes still missing
    uint8_t  lower = 0x80, upper = 0xbf;  // range of the next one
};

}  // namespace ig
