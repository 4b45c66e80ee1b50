// cpu.h owns the check that this CPU can run what was compiled. It is itself compiled for the plain baseline and must
// be asked before any other code of the addon runs.
#pragma once

#include <string>

namespace ig {

// Comma-separated names of the CPU features that the build needs and this machine lacks; empty when it may run.
std::string missing_cpu_features();

// Comma-separated names of the CPU features that the build needs; empty where none are checked.
const char * required_cpu_features();

}  // namespace ig
