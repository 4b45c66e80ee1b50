// graph_check.h owns the check that the CPU's kernels accept the weights in a llama.cpp graph. llama.cpp checks the
// names and shapes of a file's tensors, but not that their types can be computed with. A kernel ends the process if
// they cannot.
#pragma once

#include "llama.h"

#include <string>

namespace ig {

// Checks the context's graph of one step. Throws INVALID_MODEL, or what llama.cpp throws while it builds the graph.
void check_graph(llama_context * context, const std::string & path);

}  // namespace ig
