// q8_vnni.cpp owns the products of q8_0 weights on CPUs with AVX-512 VNNI but without AMX tiles. ggml packs q8_0
// weights only on ARM and for AMX; elsewhere it processes the blocks of one weight row after another, which is as slow
// for each of 16 sequences as for each of four. Here, a weight matrix is stored in groups of 16 rows, so that one
// instruction multiplies four numbers of each row by four of an input. A group holds the values of all blocks, four of
// every row in turn, each with 128 added (the instruction needs one unsigned operand), followed by their scales. The
// size in bytes is the same. Inputs are rounded as ggml rounds them. A result depends neither on other rows nor on the
// number of threads.
#include "kernels.h"

#if defined(__AVX512VNNI__) && !defined(__AMX_INT8__)

#    include "ggml-backend-impl.h"
#    include "ggml-backend.h"
#    include "ggml-cpu-impl.h"
#    include "ggml-cpu.h"
#    include "ggml-impl.h"
#    define GGML_COMMON_DECL_CPP
#    include "ggml-common.h"
#    include "simd-mappings.h"
#    include "traits.h"

#    include <immintrin.h>
#    include <sys/mman.h>

#    include <algorithm>
#    include <cstdlib>
#    include <cstring>

namespace {

const int    group_rows      = 16;                  // of a weight matrix: one number of each fills a vector
const int    columns_at_once = 2 * group_rows;      // of the output
const int    most_inputs     = 6;                   // per call: 12 sums and 12 products of a block fit into registers
const int    values_at_once  = 4;                   // per row and instruction
const size_t block_values    = group_rows * QK8_0;  // per group
const size_t block_scales    = group_rows * sizeof(ggml_half);
const size_t vector_bytes    = 64;
const size_t large_page      = 2 << 20;
const int    excess          = 128;  // added to each packed value

struct input_block {
    float   scale;
    int32_t correction;  // subtracts the contribution of the weights' excess
    int8_t  values[QK8_0];
};

bool is_packed_type(const ggml_tensor & weight) {
    return weight.type == GGML_TYPE_Q8_0 && ggml_is_contiguous(&weight) && weight.ne[2] * weight.ne[3] == 1 &&
           weight.ne[1] % columns_at_once == 0;
}

size_t group_size(int64_t blocks) {
    return blocks * (block_values + block_scales);
}

void pack_group(const block_q8_0 * rows, int64_t blocks, char * group) {
    char * scales = group + blocks * block_values;
    for (int64_t block = 0; block < blocks; ++block) {
        for (int row = 0; row < group_rows; ++row) {
            const block_q8_0 & source = rows[row * blocks + block];
            for (int i = 0; i < QK8_0; i += values_at_once) {
                uint32_t four;
                std::memcpy(&four, source.qs + i, sizeof(four));
                four ^= 0x80808080;  // adds the excess to each
                std::memcpy(group + block * block_values + (i / values_at_once * group_rows + row) * sizeof(four),
                            &four, sizeof(four));
            }
            std::memcpy(scales + block * block_scales + row * sizeof(ggml_half), &source.d, sizeof(ggml_half));
        }
    }
}

// Like ggml's quantize_row_q8_0.
void round_input(const float * numbers, int64_t blocks, input_block * rounded) {
    for (int64_t i = 0; i < blocks; ++i, numbers += QK8_0) {
        const __m512  low         = _mm512_loadu_ps(numbers);
        const __m512  high        = _mm512_loadu_ps(numbers + QK8_0 / 2);
        const float   largest     = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
        const __m512  factor      = _mm512_set1_ps(largest != 0 ? 127 / largest : 0);
        const __m128i low_values  = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(low, factor)));
        const __m128i high_values = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(high, factor)));
        const __m256i values      = _mm256_set_m128i(high_values, low_values);
        const __m256i excesses =
            _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(static_cast<char>(excess)), values);
        rounded[i].scale      = GGML_CPU_FP16_TO_FP32(GGML_CPU_FP32_TO_FP16(largest / 127));
        rounded[i].correction = -_mm512_reduce_add_epi32(_mm512_zextsi256_si512(excesses));
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(rounded[i].values), values);
    }
}

__m512i four_of(const int8_t * values) {
    int32_t four;
    std::memcpy(&four, values, sizeof(four));
    return _mm512_set1_epi32(four);
}

// Computes 32 columns of `inputs` rows of the output. Prefetches every `period`th block of the next columns' weights,
// starting at `phase`.
template <int inputs>
void multiply(const input_block * input,
              const char *        weights,
              int64_t             blocks,
              float *             output,
              size_t              output_stride,
              int64_t             phase,
              int64_t             period) {
    const char * groups[2] = { weights, weights + group_size(blocks) };
    __m512       sums[inputs][2];
    for (auto & sum : sums) {
        sum[0] = sum[1] = _mm512_setzero_ps();
    }
    for (int64_t block = 0; block < blocks; ++block) {
        if (block % period == phase) {
            const char * next = weights + 2 * group_size(blocks) + 2 * block * (block_values + block_scales);
            for (size_t line = 0; line < 2 * (block_values + block_scales); line += vector_bytes) {
                _mm_prefetch(next + line, _MM_HINT_T1);
            }
        }
        __m512i products[inputs][2];
        for (int i = 0; i < inputs; ++i) {
            products[i][0] = products[i][1] = _mm512_set1_epi32(input[i * blocks + block].correction);
        }
        for (int k = 0; k < QK8_0 / values_at_once; ++k) {
            const size_t  place = block * block_values + k * vector_bytes;
            const __m512i left  = _mm512_loadu_si512(groups[0] + place);
            const __m512i right = _mm512_loadu_si512(groups[1] + place);
            for (int i = 0; i < inputs; ++i) {
                const __m512i four = four_of(input[i * blocks + block].values + k * values_at_once);
                products[i][0]     = _mm512_dpbusd_epi32(products[i][0], left, four);
                products[i][1]     = _mm512_dpbusd_epi32(products[i][1], right, four);
            }
        }
        for (int side = 0; side < 2; ++side) {
            const char * halves = groups[side] + blocks * block_values + block * block_scales;
            const __m512 scales = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(halves)));
            for (int i = 0; i < inputs; ++i) {
                const __m512 scale = _mm512_mul_ps(scales, _mm512_set1_ps(input[i * blocks + block].scale));
                sums[i][side]      = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products[i][side]), scale, sums[i][side]);
            }
        }
    }
    for (int i = 0; i < inputs; ++i) {
        _mm512_storeu_ps(output + i * output_stride, sums[i][0]);
        _mm512_storeu_ps(output + i * output_stride + group_rows, sums[i][1]);
    }
}

using multiplication = void (*)(const input_block *, const char *, int64_t, float *, size_t, int64_t, int64_t);
const multiplication multiply_some[most_inputs] = { multiply<1>, multiply<2>, multiply<3>,
                                                    multiply<4>, multiply<5>, multiply<6> };

// Thread `ith` of `nth`'s part of `count`.
struct share {
    int64_t begin;
    int64_t end;
};

share share_of(int64_t count, const ggml_compute_params & params) {
    return { count * params.ith / params.nth, count * (params.ith + 1) / params.nth };
}

const float * input_row(const ggml_tensor & input, int64_t row) {
    const int64_t i1 = row % input.ne[1];
    const int64_t i2 = row / input.ne[1] % input.ne[2];
    const int64_t i3 = row / input.ne[1] / input.ne[2];
    return reinterpret_cast<const float *>(static_cast<const char *>(input.data) + i1 * input.nb[1] + i2 * input.nb[2] +
                                           i3 * input.nb[3]);
}

void multiply_matrix(const ggml_compute_params & params, const ggml_tensor & output) {
    const ggml_tensor & weight  = *output.src[0];
    const ggml_tensor & input   = *output.src[1];
    const int64_t       blocks  = weight.ne[0] / QK8_0;
    const int64_t       rows    = ggml_nrows(&input);
    input_block *       rounded = static_cast<input_block *>(params.wdata);

    const share own_rows = share_of(rows, params);
    for (int64_t row = own_rows.begin; row < own_rows.end; ++row) {
        round_input(input_row(input, row), blocks, rounded + row * blocks);
    }
    ggml_barrier(params.threadpool);

    const int64_t turns       = (rows + most_inputs - 1) / most_inputs;
    const share   own_columns = share_of(weight.ne[1] / columns_at_once, params);
    for (int64_t i = own_columns.begin; i < own_columns.end; ++i) {
        const char * weights = static_cast<const char *>(weight.data) + 2 * i * group_size(blocks);
        for (int64_t turn = 0; turn < turns; ++turn) {
            const int64_t first  = rows * turn / turns;
            const int64_t inputs = rows * (turn + 1) / turns - first;
            float *       out    = static_cast<float *>(output.data) + first * weight.ne[1] + i * columns_at_once;
            multiply_some[inputs - 1](rounded + first * blocks, weights, blocks, out, weight.ne[1], turn, turns);
        }
    }
}

struct matrix_traits : ggml::cpu::tensor_traits {
    bool work_size(int, const ggml_tensor * op, size_t & size) override {
        size = ggml_nrows(op->src[1]) * (op->src[0]->ne[0] / QK8_0) * sizeof(input_block);
        return true;
    }

    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override {
        multiply_matrix(*params, *op);
        return true;
    }
};

struct packed_matrices : ggml::cpu::extra_buffer_type {
    bool supports_op(ggml_backend_dev_t, const ggml_tensor * op) override {
        const ggml_tensor * weight = op->src[0];
        const ggml_tensor * input  = op->src[1];
        return op->op == GGML_OP_MUL_MAT && weight->buffer && weight->buffer->buft == packed_q8_0() &&
               is_packed_type(*weight) && ggml_is_contiguous(op) && input->type == GGML_TYPE_F32 &&
               input->nb[0] == sizeof(float) && (!input->buffer || ggml_backend_buft_is_host(input->buffer->buft));
    }

    ggml::cpu::tensor_traits * get_tensor_traits(const ggml_tensor * op) override {
        static matrix_traits traits;
        const bool           is_packed =
            op->op == GGML_OP_MUL_MAT && op->src[0]->buffer && op->src[0]->buffer->buft == packed_q8_0();
        return is_packed ? &traits : nullptr;
    }
};

void set_matrix(ggml_backend_buffer_t, ggml_tensor * weight, const void * data, size_t offset, size_t size) {
    GGML_ASSERT(is_packed_type(*weight) && offset == 0 && size == ggml_nbytes(weight));
    const int64_t blocks = weight->ne[0] / QK8_0;
    for (int64_t row = 0; row < weight->ne[1]; row += group_rows) {
        pack_group(static_cast<const block_q8_0 *>(data) + row * blocks, blocks,
                   static_cast<char *>(weight->data) + row / group_rows * group_size(blocks));
    }
}

void clear_matrices(ggml_backend_buffer_t buffer, uint8_t value) {
    std::memset(buffer->context, value, buffer->size);
}

const char * name_of(ggml_backend_buffer_type_t) {
    return "CPU_VNNI";
}

size_t alignment_of(ggml_backend_buffer_type_t) {
    return vector_bytes;
}

ggml_backend_buffer_t allocate(ggml_backend_buffer_type_t type, size_t size) {
    void * data = nullptr;
    if (posix_memalign(&data, large_page, size) != 0) {
        return nullptr;
    }
#    ifdef MADV_HUGEPAGE
    madvise(data, size, MADV_HUGEPAGE);  // a step reads all weights once
#    endif
    ggml_backend_buffer_i interface = {};
    interface.free_buffer           = [](ggml_backend_buffer_t buffer) {
        std::free(buffer->context);
    };
    interface.get_base = [](ggml_backend_buffer_t buffer) {
        return buffer->context;
    };
    interface.set_tensor = set_matrix;
    interface.clear      = clear_matrices;
    return ggml_backend_buffer_init(type, interface, data, size);
}

}  // namespace

ggml_backend_buffer_type_t packed_q8_0() {
    static packed_matrices          matrices;
    static ggml_backend_buffer_type type = {
        /* .iface   = */ { name_of, allocate, alignment_of, /* .get_max_size = */ nullptr,
                          /* .get_alloc_size = */ nullptr, /* .is_host = */ nullptr },
        /* .device  = */
        ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0),
        /* .context = */ &matrices,
    };
    return &type;
}

#else

ggml_backend_buffer_type * packed_q8_0() {
    return nullptr;
}

#endif
