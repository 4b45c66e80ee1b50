#include "assertions.h"

#include "ggml-cpu.h"

#include <cstdio>
#include <stdexcept>
#include <string>

// ggml's own, under another name in this build
extern "C" enum ggml_status ggml_graph_compute_unwatched(struct ggml_cgraph * graph, struct ggml_cplan * plan);

namespace {

thread_local bool throws = false;

// restores what it finds, also when something is thrown
struct throwing_as_before {
    const bool before = throws;

    ~throwing_as_before() { throws = before; }
};

// ggml aborts when this returns
void on_failed_assertion(const char * message) {
    if (throws) {
        const std::string text = message;  // folder/file:line: what
        throw std::runtime_error(text.substr(text.find_last_of("/\\", text.find(": ")) + 1));
    }
    std::fprintf(stderr, "%s\n", message);
}

}  // namespace

void ggml_watch_assertions() {
    ggml_set_abort_callback(on_failed_assertion);
}

ggml_throwing_assertions::ggml_throwing_assertions() : before(throws) {
    throws = true;
}

ggml_throwing_assertions::~ggml_throwing_assertions() {
    throws = before;
}

enum ggml_status ggml_graph_compute(struct ggml_cgraph * graph, struct ggml_cplan * plan) {
    const throwing_as_before scope;
    throws = throws && plan->n_threads == 1;
    return ggml_graph_compute_unwatched(graph, plan);
}
