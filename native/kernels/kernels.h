// kernels.h owns what ggml's CPU backend computes with kernels of our own. Before ggml runs an operation, it asks each entry of its list of
// extra buffer types to compute it, and does so itself where all decline. An entry can also keep weights in a form of its own.
#pragma once

struct ggml_backend_buffer_type;

// Once per process, before anything is computed or a model is loaded: ggml copies the list when it is first asked where weights can be kept.
void register_kernels();

// The entries: attention of many sequences that share a prompt, which keeps no weights; and products with packed q8_0 weights, null where
// this build has no use for them.
ggml_backend_buffer_type * shared_attention();
ggml_backend_buffer_type * packed_q8_0();
