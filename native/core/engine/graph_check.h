// graph_check.h owns the question whether the CPU's kernels take the weights that a graph of llama.cpp gives them. llama.cpp checks
// names and shapes of a file's tensors, not that their types can be computed with: a kernel ends the process where they cannot.
#pragma once

#include "llama.h"

#include <string>

namespace ig {

// The graph of a step that the context computes. Throws INVALID_MODEL, or what llama.cpp throws while it builds the graph.
void check_graph(llama_context * context, const std::string & path);

}  // namespace ig
