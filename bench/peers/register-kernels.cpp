// Gives llama-batched-bench the kernels of the addon, before it begins.
#include "kernels/kernels.h"

static const bool registered = (register_kernels(), true);
