// shared_attention.cpp owns ggml's attention on the CPU for what a search decodes: many sequences at once, most of whose cells are those of
// one prompt. ggml's own, renamed by cmake/attention.cmake, goes through the cells of one query after another below 64 sequences, and from
// there on computes every cell for every query, also those of other sequences. Here the queries that see many cells of a tile are the rows
// of a product of matrices, with all heads that share keys, and the others have small products of their own. What a query gets depends on
// the cells it sees and on their order alone, not on the queries beside it, nor on where tiles begin: every product adds in the order of
// the cells, and sums of weights are rounded once, from double precision. Biases, soft caps, sinks, keys that are not half precision, and
// single sequences with many cells and fewer key heads than threads, which ggml splits by cells, go to ggml's own.
#include "ggml-cpu-impl.h"
#include "ops.h"
#include "simd-gemm.h"
#include "vec.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

extern "C" void ggml_compute_own_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst);

namespace {

#if defined(GGML_SIMD) && !defined(__ARM_FEATURE_SVE)
const bool        fast_products = true;  // ggml's products of small matrices
#else
const bool        fast_products = false;
#endif
const int         max_rows = 64;         // query heads of one turn
const int64_t     max_weights = 1 << 20; // of one turn, where one query does not have more
const int         tile_cells = 64;
const int         few_cells = 16;        // of a tile, up to which a query has a product of its own
const int64_t     split_cells = 512;     // from which ggml splits the cells of a single sequence
const ggml_fp16_t hidden_cell = 0xFC00;  // minus infinity as half precision
const uint64_t    four_hidden_cells = 0xFC00FC00FC00FC00;

const ggml_fp16_t * halves(const ggml_tensor & t, int64_t i1, int64_t i2) {
    return reinterpret_cast<const ggml_fp16_t *>(static_cast<const char *>(t.data) + i1 * t.nb[1] + i2 * t.nb[2]);
}

// Begins to read the rows of a tile: those of one head lie too far apart for the processor to see what comes next. A macro, since gcc
// drops calls of a function that does nothing else.
#if defined(__GNUC__)
#define FETCH_TILE(rows, tile)                                                                                          \
    for (int64_t cell = (tile) * tile_cells; cell < std::min(((tile) + 1) * tile_cells, (rows).ne[1]); ++cell) {         \
        for (int64_t d = 0; d < (rows).ne[0]; d += int64_t(CACHE_LINE_SIZE / sizeof(ggml_fp16_t))) {                     \
            __builtin_prefetch(halves(rows, cell, key_head) + d);                                                        \
        }                                                                                                                \
    }
#else
#define FETCH_TILE(rows, tile)
#endif

// What a query sees of a tile of cells; a few of them are listed.
struct view {
    int     n;
    bool    biased; // or part of it hidden
    uint8_t few[few_cells];
};

// What a thread keeps between turns.
struct memory {
    std::vector<float> queries;     // [rows, key size], scaled
    std::vector<float> outputs;     // [rows, value size]
    std::vector<float> weights;     // [tiles, rows, tile_cells]; of a few cells [heads, few_cells] where the query's rows begin
    std::vector<view>  views;       // [tiles, queries]
    std::vector<float> tile;        // [key size, tile_cells] or [tile_cells, value size]
    std::vector<float> few;         // [key size, few_cells] or [few_cells, value size]
    std::vector<float> key;
};

double sum_of(const float * values, int n) {
    double sums[8] = {};
    for (int i = 0; i < n; i += 8) {
        for (int j = 0; j < 8; ++j) {
            sums[j] += values[i + j];
        }
    }
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// The queries [first, first + n) with the heads that share a key head; row = query * heads + head.
struct turn {
    const ggml_tensor & queries;
    const ggml_tensor & keys;
    const ggml_tensor & values;
    const ggml_tensor & mask;
    ggml_tensor &       dst;
    const int           key_size;
    const int           value_size;
    const int           heads;
    const int64_t       n_tiles;
    const int64_t       first;
    const int           n;
    const int64_t       key_head;
    memory &            own;

    turn(ggml_tensor & dst, int64_t first, int n, int64_t key_head, memory & own)
        : queries(*dst.src[0]), keys(*dst.src[1]), values(*dst.src[2]), mask(*dst.src[3]), dst(dst), key_size(int(keys.ne[0])),
          value_size(int(values.ne[0])), heads(int(queries.ne[2] / keys.ne[2])), n_tiles((keys.ne[1] + tile_cells - 1) / tile_cells),
          first(first), n(n), key_head(key_head), own(own) {}

    const ggml_fp16_t * bias_of(int64_t tile, int query) const { return halves(mask, first + query, 0) + tile * tile_cells; }
    int cells_in(int64_t tile) const { return int(std::min<int64_t>(tile_cells, keys.ne[1] - tile * tile_cells)); }
    view & view_of(int64_t tile, int query) { return own.views[size_t(tile * n + query)]; }
    float * weights_of(int64_t tile, int query) { return &own.weights[size_t((tile * n + query) * heads * tile_cells)]; }

    void run();
    bool look(int64_t tile);
    static void list_few(view & seen, const ggml_fp16_t * bias, int n_cells);
    void score(int64_t tile);
    void score_few(int64_t tile, int query);
    void weigh();
    void mix(int64_t tile);
    void mix_few(int64_t tile, int query);
    void put_key(float * column, int width, int64_t cell);
    void put_value(float * row, int64_t cell);
    template <typename use> void each_run(int64_t tile, use product);
};

void turn::run() {
    const size_t rows = size_t(n) * heads;
    own.queries.resize(rows * key_size);
    own.outputs.assign(rows * value_size, 0.0f);
    own.weights.resize(size_t(n_tiles) * rows * tile_cells);
    own.views.resize(size_t(n_tiles) * n);
    own.tile.resize(size_t(tile_cells) * std::max(key_size, value_size));
    own.few.resize(size_t(few_cells) * std::max(key_size, value_size));
    own.key.resize(key_size);
    float scale;
    std::memcpy(&scale, dst.op_params, sizeof(scale));
    const auto head_of = [&](size_t row) { return key_head * heads + int64_t(row) % heads; };
    for (size_t row = 0; row < rows; ++row) {
        const void * query = halves(queries, first + int64_t(row) / heads, head_of(row));
        std::memcpy(&own.queries[row * key_size], query, key_size * sizeof(float));
    }
    ggml_vec_scale_f32(int(own.queries.size()), own.queries.data(), scale);
    for (int64_t tile = 0; tile < n_tiles; ++tile) {
        FETCH_TILE(keys, tile + 1);
        score(tile);
    }
    weigh();
    for (int64_t tile = 0; tile < n_tiles; ++tile) {
        FETCH_TILE(values, tile + 1);
        mix(tile);
    }
    for (size_t row = 0; row < rows; ++row) {
        char * output = static_cast<char *>(dst.data) + head_of(row) * dst.nb[1] + (first + int64_t(row) / heads) * dst.nb[2];
        std::memcpy(output, &own.outputs[row * value_size], value_size * sizeof(float));
    }
}

void turn::list_few(view & seen, const ggml_fp16_t * bias, int n_cells) {
    int at = 0;
    for (int c = 0; c < n_cells && at < seen.n; ++c) {
        uint64_t four = 0;
        if (c % 4 == 0 && c + 4 <= n_cells) {
            std::memcpy(&four, bias + c, sizeof(four));
        }
        if (four == four_hidden_cells) {
            c += 3;
        } else if (bias[c] != hidden_cell) {
            seen.few[at++] = uint8_t(c);
        }
    }
}

// Fills the views of a tile; true where a query sees more than a few cells.
bool turn::look(int64_t tile) {
    bool many = false;
    for (int query = 0; query < n; ++query) {
        view & seen = view_of(tile, query);
        const ggml_fp16_t * bias = bias_of(tile, query);
        const int n_cells = cells_in(tile);
        int n_seen = 0;
        int bits = 0;
        for (int c = 0; c < n_cells; ++c) {
            n_seen += bias[c] != hidden_cell;
            bits |= bias[c];
        }
        seen.n = n_seen;
        seen.biased = bits != 0;
        many = many || n_seen > few_cells;
        if (n_seen <= few_cells) {
            list_few(seen, bias, n_cells);
        }
    }
    return many;
}

void turn::put_key(float * column, int width, int64_t cell) {
    ggml_cpu_fp16_to_fp32(halves(keys, cell, key_head), own.key.data(), key_size);
    for (int d = 0; d < key_size; ++d) {
        column[d * width] = own.key[d];
    }
}

void turn::put_value(float * row, int64_t cell) { ggml_cpu_fp16_to_fp32(halves(values, cell, key_head), row, value_size); }

// Queries behind one another that see many cells of a tile are rows of one product.
template <typename use> void turn::each_run(int64_t tile, use product) {
    for (int query = 0; query < n;) {
        int end = query;
        while (end < n && view_of(tile, end).n > few_cells) {
            ++end;
        }
        if (end > query) {
            product(query, end - query);
        }
        query = end + 1;
    }
}

void turn::score(int64_t tile) {
    if (look(tile)) {
        const int n_cells = cells_in(tile);
        if (n_cells < tile_cells) {
            std::fill(own.tile.begin(), own.tile.end(), 0.0f);
        }
        for (int c = 0; c < n_cells; ++c) {
            put_key(&own.tile[c], tile_cells, tile * tile_cells + c);
        }
        each_run(tile, [&](int query, int n_queries) {
            float * scores = weights_of(tile, query);
            std::fill_n(scores, n_queries * heads * tile_cells, 0.0f);
            simd_gemm(scores, &own.queries[size_t(query) * heads * key_size], own.tile.data(), n_queries * heads, key_size, tile_cells);
            for (int row = 0; row < n_queries * heads; ++row, scores += tile_cells) {
                std::fill(scores + n_cells, scores + tile_cells, -INFINITY);
                if (view_of(tile, query + row / heads).biased) {
                    const ggml_fp16_t * bias = bias_of(tile, query + row / heads);
                    for (int c = 0; c < n_cells; ++c) {
                        scores[c] += GGML_CPU_FP16_TO_FP32(bias[c]);
                    }
                }
            }
        });
    }
    for (int query = 0; query < n; ++query) {
        const int n_seen = view_of(tile, query).n;
        if (n_seen > 0 && n_seen <= few_cells) {
            score_few(tile, query);
        }
    }
}

void turn::score_few(int64_t tile, int query) {
    const view & seen = view_of(tile, query);
    for (int i = 0; i < seen.n; ++i) {
        put_key(&own.few[i], few_cells, tile * tile_cells + seen.few[i]);
    }
    float * scores = weights_of(tile, query);
    std::fill_n(scores, heads * few_cells, 0.0f);
    simd_gemm(scores, &own.queries[size_t(query) * heads * key_size], own.few.data(), heads, key_size, few_cells);
    const ggml_fp16_t * bias = bias_of(tile, query);
    for (int head = 0; head < heads; ++head, scores += few_cells) {
        std::fill(scores + seen.n, scores + few_cells, -INFINITY);
        for (int i = 0; i < seen.n; ++i) {
            scores[i] += GGML_CPU_FP16_TO_FP32(bias[seen.few[i]]);
        }
    }
}

// From scores to weights that sum to 1.
void turn::weigh() {
    for (int query = 0; query < n; ++query) {
        for (int head = 0; head < heads; ++head) {
            const auto each_part = [&](auto use) {
                for (int64_t tile = 0; tile < n_tiles; ++tile) {
                    const int n_seen = view_of(tile, query).n;
                    const int width = n_seen > few_cells ? tile_cells : few_cells;
                    if (n_seen > 0) {
                        use(weights_of(tile, query) + head * width, width);
                    }
                }
            };
            float largest = -INFINITY;
            each_part([&](const float * part, int width) {
                float most;
                ggml_vec_max_f32(width, &most, part);
                largest = std::max(largest, most);
            });
            double sum = 0;
            each_part([&](float * part, int width) {
                ggml_vec_soft_max_f32(width, part, part, largest);
                sum += sum_of(part, width);
            });
            const float share = sum > 0 ? float(1 / sum) : 0;
            each_part([&](float * part, int width) { ggml_vec_scale_f32(width, part, share); });
        }
    }
}

void turn::mix(int64_t tile) {
    bool many = false;
    for (int query = 0; query < n; ++query) {
        const int n_seen = view_of(tile, query).n;
        many = many || n_seen > few_cells;
        if (n_seen > 0 && n_seen <= few_cells) {
            mix_few(tile, query);
        }
    }
    if (!many) {
        return;
    }
    const int n_cells = cells_in(tile);
    for (int c = 0; c < n_cells; ++c) {
        put_value(&own.tile[size_t(c) * value_size], tile * tile_cells + c);
    }
    std::fill(own.tile.begin() + ptrdiff_t(n_cells) * value_size, own.tile.end(), 0.0f);
    each_run(tile, [&](int query, int n_queries) {
        float * outputs = &own.outputs[size_t(query) * heads * value_size];
        simd_gemm(outputs, weights_of(tile, query), own.tile.data(), n_queries * heads, tile_cells, value_size);
    });
}

void turn::mix_few(int64_t tile, int query) {
    const view & seen = view_of(tile, query);
    for (int i = 0; i < seen.n; ++i) {
        put_value(&own.few[size_t(i) * value_size], tile * tile_cells + seen.few[i]);
    }
    const float * weights = weights_of(tile, query);
    float * output = &own.outputs[size_t(query) * heads * value_size];
    for (int head = 0; head < heads; ++head) {
        simd_gemm(output + head * value_size, weights + head * few_cells, own.few.data(), 1, seen.n, value_size);
    }
}

}

static bool is_shared_attention(const ggml_compute_params & params, const ggml_tensor & dst) {
    const ggml_tensor & queries = *dst.src[0];
    const ggml_tensor & keys = *dst.src[1];
    const ggml_tensor & values = *dst.src[2];
    const ggml_tensor * mask = dst.src[3];
    float options[3]; // scale, largest bias, soft cap
    std::memcpy(options, dst.op_params, sizeof(options));
    const bool plain = !params.use_ref && options[1] == 0 && options[2] == 0 && dst.src[4] == nullptr;
    const bool types = queries.type == GGML_TYPE_F32 && keys.type == GGML_TYPE_F16 && values.type == GGML_TYPE_F16;
    const bool one_mask = mask != nullptr && mask->ne[2] == 1 && mask->ne[3] == 1;
    const bool one_stream = queries.ne[3] == 1 && keys.ne[2] == values.ne[2] && queries.ne[2] / keys.ne[2] <= max_rows;
    const bool split = queries.ne[1] == 1 && keys.ne[1] >= split_cells && keys.ne[2] < params.nth;
    return fast_products && plain && types && one_mask && one_stream && !split;
}

extern "C" void ggml_compute_forward_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst) {
    if (!is_shared_attention(*params, *dst)) {
        ggml_compute_own_flash_attn_ext(params, dst);
        return;
    }
    const int64_t n_queries = dst->src[0]->ne[1];
    const int64_t key_heads = dst->src[1]->ne[2];
    const int64_t heads = dst->src[0]->ne[2] / key_heads;
    const int64_t fitting_rows = max_weights / dst->src[1]->ne[1];
    int64_t per_turn = std::min(n_queries, std::max<int64_t>(1, std::min<int64_t>(max_rows, fitting_rows) / heads));
    const auto turns = [&] { return key_heads * ((n_queries + per_turn - 1) / per_turn); };
    while (turns() < 2 * params->nth && per_turn > 1 && per_turn * heads > few_cells) {
        per_turn = (per_turn + 1) / 2;
    }
    if (params->ith == 0) {
        ggml_threadpool_chunk_set(params->threadpool, params->nth);
    }
    ggml_barrier(params->threadpool);
    static thread_local memory own;
    for (int64_t i = params->ith; i < turns(); i = ggml_threadpool_chunk_add(params->threadpool, 1)) {
        const int64_t first = i / key_heads * per_turn;
        turn(*dst, first, int(std::min(per_turn, n_queries - first)), i % key_heads, own).run();
    }
}
