// ggml's operations, before which is asked whether there are operands: llama.cpp takes many of an architecture's tensors as optional
// and computes with them all the same.
#include "ggml.h"

#define REFUSING_NOTHING(operation)                                                                             \
    extern "C" struct ggml_tensor * operation##_of_some(struct ggml_context *, struct ggml_tensor *,            \
                                                        struct ggml_tensor *);                                  \
    struct ggml_tensor * operation(struct ggml_context * ctx, struct ggml_tensor * a, struct ggml_tensor * b) { \
        GGML_ASSERT(a != nullptr && b != nullptr && "a tensor that the architecture needs is missing");         \
        return operation##_of_some(ctx, a, b);                                                                  \
    }

REFUSING_NOTHING(ggml_add)
REFUSING_NOTHING(ggml_sub)
REFUSING_NOTHING(ggml_mul)
REFUSING_NOTHING(ggml_div)
REFUSING_NOTHING(ggml_mul_mat)
REFUSING_NOTHING(ggml_get_rows)
REFUSING_NOTHING(ggml_ssm_conv)

extern "C" struct ggml_tensor * ggml_mul_mat_id_of_some(struct ggml_context *,
                                                        struct ggml_tensor *,
                                                        struct ggml_tensor *,
                                                        struct ggml_tensor *);

struct ggml_tensor * ggml_mul_mat_id(struct ggml_context * ctx,
                                     struct ggml_tensor *  as,
                                     struct ggml_tensor *  b,
                                     struct ggml_tensor *  ids) {
    GGML_ASSERT(as != nullptr && b != nullptr && ids != nullptr && "a tensor that the architecture needs is missing");
    return ggml_mul_mat_id_of_some(ctx, as, b, ids);
}
