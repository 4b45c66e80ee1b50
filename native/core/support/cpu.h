// cpu.h owns what this processor can do. It calls nothing of the C++ library and is compiled for the plain baseline: the probe, which is
// asked before anything else is loaded, consists of it.
#pragma once

namespace ig {

// Whether this process may use a feature, by the name that compilers give it (x86-64: "avx2", "amx-tile"; arm64: "dotprod", "i8mm"): the
// processor has it, and the operating system saves its registers and grants them. False for a name that is not known here.
bool cpu_has(const char * feature);

}  // namespace ig
