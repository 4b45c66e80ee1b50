// packed_products.cpp owns the products of q8_0, q4_1, q5_0 and q5_1 weights on CPUs with AVX-512 VNNI but without AMX
// tiles. ggml packs q8_0 weights only on ARM and for AMX, the others at most for AMX; elsewhere it processes the blocks
// of one weight row after another (q5_0: of a few), which is as slow for each of 16 sequences as for each of four.
// Here, a weight matrix is stored in groups of 16 rows, so that one instruction multiplies four values of each row by
// four of an input. A group holds the values of all blocks, followed by their scales (and minima). Its bytes are those
// of the file in another order: four bytes of every row in turn, and then the fifth bits, those of one instruction side
// by side. A byte of q8_0 has 128 added (the instruction needs one unsigned operand). The bytes of the other types hold
// four bits of two values each, one of the block's first half and one of its second. Inputs are rounded as ggml rounds
// them. A result depends neither on other rows nor on the number of threads.
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

const int    group_rows      = 16;              // of a weight matrix: one number of each fills a vector
const int    columns_at_once = 2 * group_rows;  // of the output
const int    most_inputs     = 6;               // per call: 12 sums and 12 products of a block fit into registers
const int    block_values    = 32;              // per row, of all types
const int    values_at_once  = 4;               // per row and instruction
const int    steps           = block_values / values_at_once;
const size_t vector_bytes    = 64;
const size_t large_page      = 2 << 20;

// How a type of weights is stored.
struct layout {
    int  bits;        // per value
    int  excess;      // of a stored value: a weight is its scale times (value - excess)
    bool has_minima;  // a weight is its scale times its value, plus the minimum of its block

    constexpr int values_per_byte() const { return bits == 8 ? 1 : 2; }

    constexpr int vectors() const { return steps / values_per_byte(); }

    constexpr int step(int vector, int half) const { return half * vectors() + vector; }

    // Bytes per block of a group.
    constexpr size_t bytes() const { return vectors() * vector_bytes; }

    constexpr size_t values() const { return bytes() + (bits == 5 ? steps * sizeof(__mmask64) : 0); }

    constexpr size_t scales() const { return group_rows * sizeof(ggml_half) * (has_minima ? 2 : 1); }

    constexpr size_t block() const { return values() + scales(); }

    // Bytes per block in the file.
    constexpr size_t row() const { return block() / group_rows; }
};

constexpr layout layout_of(ggml_type type) {
    switch (type) {
        case GGML_TYPE_Q4_1:
            return { 4, 0, true };
        case GGML_TYPE_Q5_0:
            return { 5, 16, false };
        case GGML_TYPE_Q5_1:
            return { 5, 0, true };
        default:
            return { 8, 128, false };
    }
}

static_assert(layout_of(GGML_TYPE_Q8_0).row() == sizeof(block_q8_0) && QK8_0 == block_values);
static_assert(layout_of(GGML_TYPE_Q4_1).row() == sizeof(block_q4_1) && QK4_1 == block_values);
static_assert(layout_of(GGML_TYPE_Q5_0).row() == sizeof(block_q5_0) && QK5_0 == block_values);
static_assert(layout_of(GGML_TYPE_Q5_1).row() == sizeof(block_q5_1) && QK5_1 == block_values);

struct input_block {
    float scale;

    union {
        int32_t correction;  // subtracts the contribution of the weights' excess
        float   sum;         // of the numbers, for the weights' minima
    };

    int8_t values[block_values];
};

void pack_fifth_bits(const char * first_row, size_t stride, char * packed) {
    uint64_t masks[steps] = {};
    for (int row = 0; row < group_rows; ++row) {
        uint32_t bits;
        std::memcpy(&bits, first_row + row * stride, sizeof(bits));
        for (int step = 0; step < steps; ++step) {
            const uint64_t four = bits >> (step * values_at_once) & 15;
            masks[step] |= four << (row * values_at_once);
        }
    }
    std::memcpy(packed, masks, sizeof(masks));
}

// In the file, a row's block is its scale (and minimum), its fifth bits, and its bytes of values.
template <ggml_type type> void pack_group(const char * rows, int64_t blocks, char * group) {
    constexpr layout form       = layout_of(type);
    constexpr size_t halves     = form.scales() / group_rows;
    constexpr size_t own_bytes  = form.bytes() / group_rows;
    const size_t     row_stride = blocks * form.row();
    for (int64_t block = 0; block < blocks; ++block) {
        const char * first_row = rows + block * form.row();
        char *       values    = group + block * form.values();
        char *       scales    = group + blocks * form.values() + block * form.scales();
        for (int row = 0; row < group_rows; ++row) {
            const char * source = first_row + row * row_stride;
            for (size_t i = 0; i < halves; i += sizeof(ggml_half)) {
                std::memcpy(scales + i * group_rows + row * sizeof(ggml_half), source + i, sizeof(ggml_half));
            }
            for (int i = 0; i < form.vectors(); ++i) {
                uint32_t four;
                std::memcpy(&four, source + form.row() - own_bytes + i * sizeof(four), sizeof(four));
                four ^= form.bits == 8 ? 0x80808080 : 0;  // adds the excess to each
                std::memcpy(values + (i * group_rows + row) * sizeof(four), &four, sizeof(four));
            }
        }
        if constexpr (form.bits == 5) {
            pack_fifth_bits(first_row + halves, row_stride, values + form.bytes());
        }
    }
}

int32_t sum_of(__m256i values, int factor) {
    const __m256i sums =
        _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(static_cast<char>(factor)), values);
    return _mm512_reduce_add_epi32(_mm512_zextsi256_si512(sums));
}

// Like ggml's quantize_row_q8_0 and quantize_row_q8_1.
template <ggml_type type> void round_input(const float * numbers, int64_t blocks, input_block * rounded) {
    constexpr layout form = layout_of(type);
    for (int64_t i = 0; i < blocks; ++i, numbers += block_values) {
        const __m512  low         = _mm512_loadu_ps(numbers);
        const __m512  high        = _mm512_loadu_ps(numbers + block_values / 2);
        const float   largest     = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
        const __m512  factor      = _mm512_set1_ps(largest != 0 ? 127 / largest : 0);
        const __m128i low_values  = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(low, factor)));
        const __m128i high_values = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(high, factor)));
        const __m256i values      = _mm256_set_m128i(high_values, low_values);
        rounded[i].scale          = GGML_CPU_FP16_TO_FP32(GGML_CPU_FP32_TO_FP16(largest / 127));
        if constexpr (form.has_minima) {
            rounded[i].sum = GGML_CPU_FP16_TO_FP32(GGML_CPU_FP32_TO_FP16(largest / 127 * sum_of(values, 1)));
        } else {
            rounded[i].correction = -sum_of(values, form.excess);
        }
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(rounded[i].values), values);
    }
}

// Four values of each row of a group: the bytes of one vector of a block, or one half of their bits.
template <ggml_type type> __m512i values_of(const char * block, int vector, int half) {
    constexpr layout form  = layout_of(type);
    const __m512i    bytes = _mm512_loadu_si512(block + vector * vector_bytes);
    if constexpr (form.bits == 8) {
        return bytes;
    }
    const __m512i four_bits = _mm512_and_si512(half == 0 ? bytes : _mm512_srli_epi16(bytes, 4), _mm512_set1_epi8(15));
    if constexpr (form.bits == 4) {
        return four_bits;
    }
    __mmask64 fifth_bits;
    std::memcpy(&fifth_bits, block + form.bytes() + form.step(vector, half) * sizeof(fifth_bits), sizeof(fifth_bits));
    return _mm512_mask_add_epi8(four_bits, fifth_bits, four_bits, _mm512_set1_epi8(16));
}

__m512 sixteen_of(const char * halves) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(halves)));
}

__m512i four_of(const int8_t * values) {
    int32_t four;
    std::memcpy(&four, values, sizeof(four));
    return _mm512_set1_epi32(four);
}

// Computes 32 columns of `inputs` rows of the output. Prefetches every `period`th block of the next columns' weights,
// starting at `phase`.
template <ggml_type type, int inputs>
void multiply(const input_block * input,
              const char *        weights,
              int64_t             blocks,
              float *             output,
              size_t              output_stride,
              int64_t             phase,
              int64_t             period) {
    constexpr layout form      = layout_of(type);
    const char *     groups[2] = { weights, weights + blocks * form.block() };
    __m512           sums[inputs][2];
    for (auto & sum : sums) {
        sum[0] = sum[1] = _mm512_setzero_ps();
    }
    for (int64_t block = 0; block < blocks; ++block) {
        if (block % period == phase) {
            const char * next = weights + 2 * (blocks + block) * form.block();
            for (size_t line = 0; line < 2 * form.block(); line += vector_bytes) {
                _mm_prefetch(next + line, _MM_HINT_T1);
            }
        }
        __m512i products[inputs][2];
        for (int i = 0; i < inputs; ++i) {
            const int32_t correction = form.has_minima ? 0 : input[i * blocks + block].correction;
            products[i][0] = products[i][1] = _mm512_set1_epi32(correction);
        }
        for (int vector = 0; vector < form.vectors(); ++vector) {
            for (int half = 0; half < form.values_per_byte(); ++half) {
                const int     first = form.step(vector, half) * values_at_once;
                const __m512i left  = values_of<type>(groups[0] + block * form.values(), vector, half);
                const __m512i right = values_of<type>(groups[1] + block * form.values(), vector, half);
                for (int i = 0; i < inputs; ++i) {
                    const __m512i four = four_of(input[i * blocks + block].values + first);
                    products[i][0]     = _mm512_dpbusd_epi32(products[i][0], left, four);
                    products[i][1]     = _mm512_dpbusd_epi32(products[i][1], right, four);
                }
            }
        }
        for (int side = 0; side < 2; ++side) {
            const char * halves = groups[side] + blocks * form.values() + block * form.scales();
            const __m512 scales = sixteen_of(halves);
            for (int i = 0; i < inputs; ++i) {
                const __m512 scale = _mm512_mul_ps(scales, _mm512_set1_ps(input[i * blocks + block].scale));
                sums[i][side]      = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products[i][side]), scale, sums[i][side]);
            }
            if constexpr (form.has_minima) {
                const __m512 minima = sixteen_of(halves + form.scales() / 2);
                for (int i = 0; i < inputs; ++i) {
                    sums[i][side] =
                        _mm512_fmadd_ps(minima, _mm512_set1_ps(input[i * blocks + block].sum), sums[i][side]);
                }
            }
        }
    }
    for (int i = 0; i < inputs; ++i) {
        _mm512_storeu_ps(output + i * output_stride, sums[i][0]);
        _mm512_storeu_ps(output + i * output_stride + group_rows, sums[i][1]);
    }
}

using multiplication = void (*)(const input_block *, const char *, int64_t, float *, size_t, int64_t, int64_t);
template <ggml_type type>
const multiplication multiply_some[most_inputs] = { multiply<type, 1>, multiply<type, 2>, multiply<type, 3>,
                                                    multiply<type, 4>, multiply<type, 5>, multiply<type, 6> };

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

template <ggml_type type> void multiply_matrix(const ggml_compute_params & params, const ggml_tensor & output) {
    const ggml_tensor & weight  = *output.src[0];
    const ggml_tensor & input   = *output.src[1];
    const int64_t       blocks  = weight.ne[0] / block_values;
    const int64_t       rows    = ggml_nrows(&input);
    input_block *       rounded = static_cast<input_block *>(params.wdata);

    const share own_rows = share_of(rows, params);
    for (int64_t row = own_rows.begin; row < own_rows.end; ++row) {
        round_input<type>(input_row(input, row), blocks, rounded + row * blocks);
    }
    ggml_barrier(params.threadpool);

    const int64_t turns       = (rows + most_inputs - 1) / most_inputs;
    const share   own_columns = share_of(weight.ne[1] / columns_at_once, params);
    for (int64_t i = own_columns.begin; i < own_columns.end; ++i) {
        const char * weights = static_cast<const char *>(weight.data) + 2 * i * blocks * layout_of(type).block();
        for (int64_t turn = 0; turn < turns; ++turn) {
            const int64_t first  = rows * turn / turns;
            const int64_t inputs = rows * (turn + 1) / turns - first;
            float *       out    = static_cast<float *>(output.data) + first * weight.ne[1] + i * columns_at_once;
            multiply_some<type>[inputs - 1](rounded + first * blocks, weights, blocks, out, weight.ne[1], turn, turns);
        }
    }
}

struct matrix_traits : ggml::cpu::tensor_traits {
    bool work_size(int, const ggml_tensor * op, size_t & size) override {
        size = ggml_nrows(op->src[1]) * (op->src[0]->ne[0] / block_values) * sizeof(input_block);
        return true;
    }

    virtual void pack(const ggml_tensor & weight, const char * data) = 0;
};

template <ggml_type type> struct traits_of_type : matrix_traits {
    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override {
        multiply_matrix<type>(*params, *op);
        return true;
    }

    void pack(const ggml_tensor & weight, const char * data) override {
        constexpr layout form   = layout_of(type);
        const int64_t    blocks = weight.ne[0] / block_values;
        for (int64_t row = 0; row < weight.ne[1]; row += group_rows) {
            const size_t place = row * blocks * form.row();
            pack_group<type>(data + place, blocks, static_cast<char *>(weight.data) + place);
        }
    }
};

// Null for a type that is not packed.
matrix_traits * traits_of(ggml_type type) {
    static traits_of_type<GGML_TYPE_Q8_0> q8_0;
    static traits_of_type<GGML_TYPE_Q4_1> q4_1;
    static traits_of_type<GGML_TYPE_Q5_0> q5_0;
    static traits_of_type<GGML_TYPE_Q5_1> q5_1;
    switch (type) {
        case GGML_TYPE_Q8_0:
            return &q8_0;
        case GGML_TYPE_Q4_1:
            return &q4_1;
        case GGML_TYPE_Q5_0:
            return &q5_0;
        case GGML_TYPE_Q5_1:
            return &q5_1;
        default:
            return nullptr;
    }
}

bool can_pack(const ggml_tensor & weight) {
    return traits_of(weight.type) != nullptr && ggml_is_contiguous(&weight) && weight.ne[2] * weight.ne[3] == 1 &&
           weight.ne[1] % columns_at_once == 0;
}

bool is_packed(const ggml_tensor & weight) {
    return weight.buffer && weight.buffer->buft == packed_products();
}

struct packed_matrices : ggml::cpu::extra_buffer_type {
    bool supports_op(ggml_backend_dev_t, const ggml_tensor * op) override {
        const ggml_tensor * weight = op->src[0];
        const ggml_tensor * input  = op->src[1];
        return op->op == GGML_OP_MUL_MAT && is_packed(*weight) && can_pack(*weight) && ggml_is_contiguous(op) &&
               input->type == GGML_TYPE_F32 && input->nb[0] == sizeof(float) &&
               (!input->buffer || ggml_backend_buft_is_host(input->buffer->buft));
    }

    ggml::cpu::tensor_traits * get_tensor_traits(const ggml_tensor * op) override {
        return op->op == GGML_OP_MUL_MAT && is_packed(*op->src[0]) ? traits_of(op->src[0]->type) : nullptr;
    }
};

void set_matrix(ggml_backend_buffer_t, ggml_tensor * weight, const void * data, size_t offset, size_t size) {
    GGML_ASSERT(can_pack(*weight) && offset == 0 && size == ggml_nbytes(weight));
    traits_of(weight->type)->pack(*weight, static_cast<const char *>(data));
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

ggml_backend_buffer_type_t packed_products() {
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

ggml_backend_buffer_type * packed_products() {
    return nullptr;
}

#endif
