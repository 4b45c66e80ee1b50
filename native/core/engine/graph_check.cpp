#include "engine/graph_check.h"

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "llama-ext.h"
#include "support/error.h"

namespace ig {

namespace {

const uint32_t n_tokens = 4;

// the file's tensor that `source` refers to in CPU memory, or null
const ggml_tensor * weight_behind(const ggml_tensor * source) {
    const ggml_tensor * t         = source != nullptr && source->view_src != nullptr ? source->view_src : source;
    const bool          is_weight = t != nullptr && t->buffer != nullptr && ggml_backend_buffer_is_host(t->buffer) &&
                                    ggml_backend_buffer_get_usage(t->buffer) == GGML_BACKEND_BUFFER_USAGE_WEIGHTS;
    return is_weight ? t : nullptr;
}

bool moves_only(enum ggml_op op) {
    switch (op) {
        case GGML_OP_NONE:
        case GGML_OP_VIEW:
        case GGML_OP_RESHAPE:
        case GGML_OP_PERMUTE:
        case GGML_OP_TRANSPOSE:
        case GGML_OP_DUP:
        case GGML_OP_CPY:
        case GGML_OP_CONT:
        case GGML_OP_IM2COL:  // takes half precision
            return true;
        default:
            return false;
    }
}

// A rotation turns pairs of the first values of a head.
bool can_rotate(const ggml_tensor * node) {
    const int32_t * params       = reinterpret_cast<const int32_t *>(node->op_params);
    const int32_t   n_rotated    = params[1];
    const bool      by_sections  = (params[2] & GGML_ROPE_TYPE_MROPE) != 0;
    const bool      has_sections = params[11] > 0 || params[12] > 0 || params[13] > 0;
    return n_rotated > 0 && n_rotated % 2 == 0 && n_rotated <= node->ne[0] && (!by_sections || has_sections);
}

// whether a kernel takes a weight of this type as its operand
bool takes(const ggml_tensor * node, int operand, ggml_type type) {
    const bool is_matrix = operand == 0 && (node->op == GGML_OP_MUL_MAT || node->op == GGML_OP_MUL_MAT_ID);
    if (is_matrix) {
        return ggml_get_type_traits_cpu(type)->vec_dot != nullptr;
    }
    if (node->op == GGML_OP_GET_ROWS && operand == 0) {
        return type == GGML_TYPE_F32 || type == GGML_TYPE_I32 || ggml_get_type_traits(type)->to_float != nullptr;
    }
    return type == GGML_TYPE_F32 || moves_only(node->op);
}

}  // namespace

void check_graph(llama_context * context, const std::string & path) {
    ggml_cgraph * graph = llama_graph_reserve(context, n_tokens, /*n_seqs =*/1, /*n_outputs =*/n_tokens);
    if (graph == nullptr) {
        throw error("OUT_OF_MEMORY", "there is not enough memory for a step of " + path);
    }
    for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
        const ggml_tensor * node = ggml_graph_node(graph, i);
        if (node->op == GGML_OP_ROPE && !can_rotate(node)) {
            throw error(
                "INVALID_MODEL",
                format("expected positions that turn an even number of the values of a head, but %s turns %d of %lld; "
                       "convert the model again",
                       path.c_str(), reinterpret_cast<const int32_t *>(node->op_params)[1], (long long) node->ne[0]));
        }
        for (int operand = 0; operand < GGML_MAX_SRC; ++operand) {
            const ggml_tensor * weight = weight_behind(node->src[operand]);
            if (weight != nullptr && !takes(node, operand, weight->type)) {
                throw error(
                    "INVALID_MODEL",
                    format("expected weights of types that can be computed with, but %s holds %s as %s, which %s does "
                           "not take; convert the model again",
                           path.c_str(), ggml_get_name(weight), ggml_type_name(weight->type), ggml_op_desc(node)));
            }
        }
    }
}

}  // namespace ig
