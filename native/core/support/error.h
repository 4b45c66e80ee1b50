// error.h owns the only exception type of the core: a stable code and a message that says what was expected, what came
// and how to mend it. Nothing else is thrown on purpose. The binding converts it to a JavaScript error.
#pragma once

#include <cstdio>
#include <stdexcept>
#include <string>

namespace ig {

struct error : std::runtime_error {
    std::string code;

    error(std::string code, const std::string & message) : std::runtime_error(message), code(std::move(code)) {}
};

// printf into a string
template <typename... Args> std::string format(const char * pattern, Args... args) {
    const int   n = std::snprintf(nullptr, 0, pattern, args...);
    std::string text(n, '\0');
    std::snprintf(&text[0], n + 1, pattern, args...);
    return text;
}

}  // namespace ig
