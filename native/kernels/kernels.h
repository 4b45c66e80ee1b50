// kernels.h owns the registration of our own kernels with ggml's CPU backend. Before ggml runs an operation, it asks
// each entry in its list of extra buffer types to compute it, and computes it itself if all decline. An entry can also
// store weights in its own format.
#pragma once

struct ggml_backend_buffer_type;

// Call it once per process, before anything is computed or a model is loaded: ggml copies the list the first time that
// it looks for a place for weights.
void register_kernels();

// The entries: attention of many sequences that share a prompt, which stores no weights; and products with packed
// weights, null if this build does not use them.
ggml_backend_buffer_type * shared_attention();
ggml_backend_buffer_type * packed_products();
