// amx_slices.cpp owns the entry points of ggml's AMX matrix multiplication. ggml's own ones, renamed by cmake/amx.cmake, are right for one
// matrix of at most 2 GiB: for a stack of matrices or of inputs, as of several sequences of a recurrent model, they mix bytes with elements
// and write out of bounds. For matrices one block wide they add to what the output held before. Here every call is split into ones that
// they do right. Weights lie in their packed form, slice behind slice.
#include "amx/mmq.h"

#if defined(__AMX_INT8__) && defined(__AVX512VNNI__)

#    include <climits>

size_t ggml_amx_matrix_alloc_size(const ggml_tensor * matrix);
void   ggml_amx_matrix_convert(ggml_tensor * matrix, const void * data, size_t offset, size_t size);
void   ggml_amx_matrix_mul_mat(const ggml_compute_params * params, ggml_tensor * dst);

namespace {

const int64_t columns_at_once = 32;  // of the output, which ggml's kernels handle together
const int64_t inputs_at_once  = 31;  // below a full block of ggml's kernels

ggml_tensor as_matrix(const ggml_tensor & stack, int64_t rows) {
    ggml_tensor matrix = stack;
    matrix.ne[1]       = rows;
    matrix.ne[2]       = 1;
    matrix.ne[3]       = 1;
    return matrix;
}

size_t packed_row_size(const ggml_tensor & weight) {
    const ggml_tensor row = as_matrix(weight, 1);
    return ggml_amx_matrix_alloc_size(&row);
}

// Rows of a weight matrix that ggml's 32-bit offsets reach.
int64_t rows_in_slice(const ggml_tensor & weight) {
    const int64_t reach = INT_MAX / int64_t(packed_row_size(weight)) / columns_at_once * columns_at_once;
    return std::min(weight.ne[1], std::max(reach, columns_at_once));
}

// Rows of all matrices of a stack as those of one matrix; the stack is contiguous.
void flatten(ggml_tensor & stack) {
    stack = as_matrix(stack, ggml_nrows(&stack));
}

char * at(const ggml_tensor & t, int64_t i1, int64_t i2, int64_t i3) {
    return static_cast<char *>(t.data) + i1 * t.nb[1] + i2 * t.nb[2] + i3 * t.nb[3];
}

}  // namespace

size_t ggml_backend_amx_get_alloc_size(const ggml_tensor * weight) {
    return ggml_nrows(weight) * packed_row_size(*weight);
}

void ggml_backend_amx_convert_weight(ggml_tensor * weight, const void * data, size_t offset, size_t size) {
    GGML_ASSERT(offset == 0 && size == ggml_nbytes(weight));
    const size_t  packed_row = packed_row_size(*weight);
    const int64_t most       = rows_in_slice(*weight);
    for (int64_t matrix = 0; matrix < weight->ne[2] * weight->ne[3]; ++matrix) {
        for (int64_t row = 0; row < weight->ne[1]; row += most) {
            const int64_t first = matrix * weight->ne[1] + row;
            ggml_tensor   slice = as_matrix(*weight, std::min(most, weight->ne[1] - row));
            slice.data          = static_cast<char *>(weight->data) + first * packed_row;
            ggml_amx_matrix_convert(&slice, static_cast<const char *>(data) + first * weight->nb[1], 0,
                                    ggml_nbytes(&slice));
        }
    }
}

void ggml_backend_amx_mul_mat(const ggml_compute_params * params, ggml_tensor * dst) {
    const ggml_tensor & weight = *dst->src[0];
    ggml_tensor         input  = *dst->src[1];
    ggml_tensor         output = *dst;
    if (weight.ne[2] * weight.ne[3] == 1) {
        flatten(input);
        flatten(output);
    }
    const size_t  packed_row = packed_row_size(weight);
    const int64_t most_rows  = rows_in_slice(weight);
    const bool    strided =
        most_rows < weight.ne[1];  // the output, which only the first block of inputs is then written to rightly
    const bool one_block =
        weight.ne[0] == ggml_blck_size(weight.type);  // which a full block of inputs is added to the output for
    const int64_t most_inputs = strided || one_block ? inputs_at_once : output.ne[1];
    bool          sliced      = false;
    for (int64_t i3 = 0; i3 < output.ne[3]; ++i3) {
        for (int64_t i2 = 0; i2 < output.ne[2]; ++i2) {
            const int64_t matrix =
                i3 / (output.ne[3] / weight.ne[3]) * weight.ne[2] + i2 / (output.ne[2] / weight.ne[2]);
            for (int64_t row = 0; row < weight.ne[1]; row += most_rows) {
                for (int64_t first = 0; first < output.ne[1]; first += most_inputs) {
                    const int64_t rows         = std::min(most_rows, weight.ne[1] - row);
                    const int64_t inputs       = std::min(most_inputs, output.ne[1] - first);
                    ggml_tensor   weight_slice = as_matrix(weight, rows);
                    weight_slice.data = static_cast<char *>(weight.data) + (matrix * weight.ne[1] + row) * packed_row;
                    ggml_tensor input_slice  = as_matrix(input, inputs);
                    input_slice.data         = at(input, first, i2, i3);
                    ggml_tensor output_slice = as_matrix(output, inputs);
                    output_slice.ne[0]       = rows;
                    output_slice.data        = at(output, first, i2, i3) + row * sizeof(float);
                    output_slice.src[0]      = &weight_slice;
                    output_slice.src[1]      = &input_slice;
                    if (sliced) {
                        ggml_barrier(
                            params
                                ->threadpool);  // the quantised inputs of the last slice give way to those of this one
                    }
                    sliced = true;
                    ggml_amx_matrix_mul_mat(params, &output_slice);
                }
            }
        }
    }
}

#endif
