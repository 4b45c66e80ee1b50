// cpu_build.h owns what this build needs of the processor. It must be asked before any other code of the addon runs.
#pragma once

#include <string>

namespace ig {

// The level that a binary for distribution was built for (cmake/cpu-features.cmake), "native" for one that was built for the machine's own
// processor.
const char * cpu_level();

// Comma-separated names of the CPU features that the build needs; empty where none are checked.
const char * required_cpu_features();

// Those of them that this process may not use; empty when the build may run.
std::string missing_cpu_features();

}  // namespace ig
