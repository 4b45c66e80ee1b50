#include "assertions.h"

#include "ggml.h"

#include <cstdio>
#include <stdexcept>
#include <string>

namespace {

thread_local bool throws = false;
thread_local int  holds  = 0;

// ggml aborts if this returns
void on_failed_assertion(const char * message) {
    if (throws && holds == 0) {
        const std::string text = message;  // folder/file:line: message
        throw std::runtime_error(text.substr(text.find_last_of("/\\", text.find(": ")) + 1));
    }
    std::fprintf(stderr, "%s\n", message);
}

}  // namespace

void ggml_watch_assertions() {
    ggml_set_abort_callback(on_failed_assertion);
}

void ggml_hold_assertions(void) {
    ++holds;
}

void ggml_release_assertions(void) {
    --holds;
}

ggml_throwing_assertions::ggml_throwing_assertions() : before(throws) {
    throws = true;
}

ggml_throwing_assertions::~ggml_throwing_assertions() {
    throws = before;
}
