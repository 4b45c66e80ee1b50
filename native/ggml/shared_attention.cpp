// shared_attention.cpp owns ggml's attention on the CPU for what a search decodes: many sequences at once, most of whose cells are those of
// one prompt. ggml's own, renamed by cmake/attention.cmake, goes through the cells of one query after another below 64 sequences, and from
// there on computes every cell of a tile for all. Here the queries that see many cells of a tile are the rows of a product of matrices,
// with all heads that share keys, and the others have small products of their own. What a query gets depends on the cells it sees and on
// their order alone, not on the queries beside it, nor on where tiles begin: every product adds in the order of the cells, and sums of
// weights are exact. What this does not know (ALiBi, soft caps, sinks, several masks or streams, keys that are not half precision), what
// has too few queries for the threads, and values that are no whole vectors go to ggml's own.
#include "ggml-cpu-impl.h"
#include "ops.h"
#include "simd-gemm.h"
#include "vec.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <vector>

extern "C" void ggml_compute_own_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst);

namespace {

#if defined(GGML_SIMD) && defined(GGML_F32_EPR) && !defined(__ARM_FEATURE_SVE)
const int         vector_size = GGML_F32_EPR; // of ggml's products of small matrices
#else
const int         vector_size = 0;            // they go number by number
#endif
const int         max_rows = 64;         // query heads of one turn
const int64_t     max_weights = 1 << 20; // of one turn, where one query does not have more
const int         tile_cells = 64;
const int         min_shared_rows = 16;  // of a turn, below which more turns than threads do not pay
const int         few_cells = 16;        // of a tile, up to which a query has a product of its own
const int64_t     split_cells = 512;     // from which ggml splits the cells of a single sequence
const ggml_fp16_t hidden_cell = 0xFC00;  // minus infinity as half precision
const uint64_t    four_hidden_cells = 0xFC00FC00FC00FC00;

const char * bytes(const ggml_tensor & t, int64_t i1, int64_t i2) {
    return static_cast<const char *>(t.data) + i1 * t.nb[1] + i2 * t.nb[2];
}

const ggml_fp16_t * halves(const ggml_tensor & t, int64_t i1, int64_t i2) {
    return reinterpret_cast<const ggml_fp16_t *>(bytes(t, i1, i2));
}

// What a query sees of a tile of cells; a few of them are listed.
struct view {
    int     n;
    bool    plain; // it sees all of them, without a bias
    uint8_t few[few_cells];
};

// Floats that begin at a cache line.
struct line_buffer {
    std::vector<float> memory;
    float *            data = nullptr;

    void reserve(size_t n) {
        const size_t per_line = CACHE_LINE_SIZE / sizeof(float);
        if (memory.size() < n + per_line) {
            memory.resize(n + per_line);
            const size_t past = reinterpret_cast<uintptr_t>(memory.data()) / sizeof(float) % per_line;
            data = memory.data() + (per_line - past) % per_line;
        }
    }
};

// What a thread keeps between turns.
struct memory {
    line_buffer          queries; // [rows, key size], scaled
    line_buffer          outputs; // [rows, value size]
    line_buffer          weights; // [seen tiles, rows, tile_cells]; of a few cells [heads, few_cells] where the query's rows begin
    line_buffer          tile;    // [key size, tile_cells] or [tile_cells, value size]
    line_buffer          few;     // [key size, few_cells] or [few_cells, value size]
    line_buffer          key;
    std::vector<view>    views; // [seen tiles, queries]
    std::vector<int64_t> tiles; // that a query sees any of

    // Room for turns of at most `n` queries.
    void reserve(size_t n, size_t heads, size_t n_tiles, size_t key_size, size_t value_size) {
        queries.reserve(n * heads * key_size);
        outputs.reserve(n * heads * value_size);
        weights.reserve(n_tiles * n * heads * tile_cells);
        tile.reserve(tile_cells * std::max(key_size, value_size));
        few.reserve(few_cells * std::max(key_size, value_size));
        key.reserve(key_size);
        views.resize(std::max(views.size(), n_tiles * n));
        tiles.resize(std::max(tiles.size(), n_tiles));
    }
};

bool is_finite(const ggml_fp16_t * row, int n) {
    int wrong = 0;
    for (int i = 0; i < n; ++i) {
        wrong |= (row[i] & 0x7C00) == 0x7C00;
    }
    return wrong == 0;
}

// Of weights up to 1, each rounded to a multiple of 2^-30, so that the sum is exact in any order.
double sum_of(const float * values, int n) {
    const double unit = 1.5 * (1 << 22);
    double sums[8] = {};
    for (int i = 0; i < n; i += 8) {
        for (int j = 0; j < 8; ++j) {
            sums[j] += (double(values[i + j]) + unit) - unit;
        }
    }
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// The queries [first, first + n) with the heads that share a key head; row = query * heads + head. `at` counts the tiles that any of the
// queries sees a cell of.
struct turn {
    const ggml_tensor & queries;
    const ggml_tensor & keys;
    const ggml_tensor & values;
    const ggml_tensor & mask;
    ggml_tensor &       dst;
    const int           key_size;
    const int           value_size;
    const int           heads;
    const int64_t       first;
    const int           n;
    const int64_t       key_head;
    memory &            own;
    int64_t             n_tiles = 0;

    turn(ggml_tensor & dst, int64_t first, int n, int64_t key_head, memory & own)
        : queries(*dst.src[0]), keys(*dst.src[1]), values(*dst.src[2]), mask(*dst.src[3]), dst(dst), key_size(int(keys.ne[0])),
          value_size(int(values.ne[0])), heads(int(queries.ne[2] / keys.ne[2])), first(first), n(n), key_head(key_head), own(own) {}

    int64_t cell_of(int64_t at) const { return own.tiles[size_t(at)] * tile_cells; }
    int cells_in(int64_t at) const { return int(std::min<int64_t>(tile_cells, keys.ne[1] - cell_of(at))); }
    const ggml_fp16_t * mask_of(int64_t at, int query) const { return halves(mask, first + query, 0) + cell_of(at); }
    view & view_of(int64_t at, int query) { return own.views[size_t(at * n + query)]; }
    float * queries_of(int query) { return own.queries.data + int64_t(query) * heads * key_size; }
    float * outputs_of(int query) { return own.outputs.data + int64_t(query) * heads * value_size; }
    float * weights_of(int64_t at, int query) { return own.weights.data + (at * n + query) * heads * tile_cells; }

    void run();
    void look();
    bool look_at(int64_t at);
    void list_few(view & seen, const ggml_fp16_t * visible, int n_cells);
    void score_many(int64_t at);
    void score_few(int64_t at, int query);
    void weigh();
    void mix_many(int64_t at);
    void mix_few(int64_t at, int query);
    void spread_overflow(int64_t at, int cell);
    void put_key(float * column, int width, int64_t cell);
    void put_value(float * row, int64_t cell);
    void each_query(int64_t at, void (turn::*few)(int64_t at, int query), void (turn::*many)(int64_t at));
    template <typename use> void each_run(int64_t at, use product);
};

// Begins to read what the next tile needs: rows of one head lie too far apart for the processor to see what comes next. A macro, since gcc
// drops calls of a function that does nothing else.
#if defined(__GNUC__)
#define FETCH_TILE(rows, at)                                                                             \
    for (int c = 0; (at) < n_tiles && c < cells_in(at); ++c) {                                            \
        for (int64_t d = 0; d < (rows).ne[0]; d += int64_t(CACHE_LINE_SIZE / sizeof(ggml_fp16_t))) {      \
            __builtin_prefetch(halves(rows, cell_of(at) + c, key_head) + d);                              \
        }                                                                                                 \
    }
#else
#define FETCH_TILE(rows, at)
#endif

void turn::run() {
    const int rows = n * heads;
    std::fill_n(own.outputs.data, rows * value_size, 0.0f);
    float scale;
    std::memcpy(&scale, dst.op_params, sizeof(scale));
    for (int row = 0; row < rows; ++row) {
        const char * query = bytes(queries, first + row / heads, key_head * heads + row % heads);
        std::memcpy(own.queries.data + row * key_size, query, size_t(key_size) * sizeof(float));
    }
    ggml_vec_scale_f32(rows * key_size, own.queries.data, scale);
    look();
    for (int64_t at = 0; at < n_tiles; ++at) {
        FETCH_TILE(keys, at + 1);
        each_query(at, &turn::score_few, &turn::score_many);
    }
    weigh();
    for (int64_t at = 0; at < n_tiles; ++at) {
        FETCH_TILE(values, at + 1);
        each_query(at, &turn::mix_few, &turn::mix_many);
    }
    for (int row = 0; row < rows; ++row) {
        char * output = static_cast<char *>(dst.data) + (key_head * heads + row % heads) * dst.nb[1] + (first + row / heads) * dst.nb[2];
        std::memcpy(output, own.outputs.data + row * value_size, size_t(value_size) * sizeof(float));
    }
}

void turn::look() {
    for (int64_t tile = 0; tile * tile_cells < keys.ne[1]; ++tile) {
        own.tiles[size_t(n_tiles)] = tile;
        n_tiles += look_at(n_tiles);
    }
}

// Fills the views of a tile; false where no query sees any of it.
bool turn::look_at(int64_t at) {
    const int n_cells = cells_in(at);
    bool any = false;
    for (int query = 0; query < n; ++query) {
        view & seen = view_of(at, query);
        const ggml_fp16_t * visible = mask_of(at, query);
        int n_seen = 0;
        int bits = 0;
        for (int c = 0; c < n_cells; ++c) {
            n_seen += visible[c] != hidden_cell;
            bits |= visible[c];
        }
        seen.n = n_seen;
        seen.plain = bits == 0;
        any = any || n_seen > 0;
        if (n_seen > 0 && n_seen <= few_cells) {
            list_few(seen, visible, n_cells);
        }
    }
    return any;
}

void turn::list_few(view & seen, const ggml_fp16_t * visible, int n_cells) {
    int n_listed = 0;
    for (int c = 0; c < n_cells && n_listed < seen.n; ++c) {
        uint64_t four = 0;
        if (c % 4 == 0 && c + 4 <= n_cells) {
            std::memcpy(&four, visible + c, sizeof(four));
        }
        if (four == four_hidden_cells) {
            c += 3;
        } else if (visible[c] != hidden_cell) {
            seen.few[n_listed++] = uint8_t(c);
        }
    }
}

void turn::put_key(float * column, int width, int64_t cell) {
    ggml_cpu_fp16_to_fp32(halves(keys, cell, key_head), own.key.data, key_size);
    for (int d = 0; d < key_size; ++d) {
        column[d * width] = own.key.data[d];
    }
}

void turn::put_value(float * row, int64_t cell) { ggml_cpu_fp16_to_fp32(halves(values, cell, key_head), row, value_size); }

// Queries behind one another that see many cells of a tile are rows of one product.
template <typename use> void turn::each_run(int64_t at, use product) {
    for (int query = 0; query < n;) {
        int end = query;
        while (end < n && view_of(at, end).n > few_cells) {
            ++end;
        }
        if (end > query) {
            product(query, end - query);
        }
        query = end + 1;
    }
}

// Those that see a few cells of a tile one by one, then the others together.
void turn::each_query(int64_t at, void (turn::*few)(int64_t at, int query), void (turn::*many)(int64_t at)) {
    bool any_many = false;
    for (int query = 0; query < n; ++query) {
        const int n_seen = view_of(at, query).n;
        any_many = any_many || n_seen > few_cells;
        if (n_seen > 0 && n_seen <= few_cells) {
            (this->*few)(at, query);
        }
    }
    if (any_many) {
        (this->*many)(at);
    }
}

void turn::score_many(int64_t at) {
    const int n_cells = cells_in(at);
    if (n_cells < tile_cells) {
        std::fill_n(own.tile.data, key_size * tile_cells, 0.0f);
    }
    for (int c = 0; c < n_cells; ++c) {
        put_key(own.tile.data + c, tile_cells, cell_of(at) + c);
    }
    each_run(at, [&](int query, int n_queries) {
        float * scores = weights_of(at, query);
        std::fill_n(scores, n_queries * heads * tile_cells, 0.0f);
        simd_gemm(scores, queries_of(query), own.tile.data, n_queries * heads, key_size, tile_cells);
        for (int row = 0; row < n_queries * heads; ++row, scores += tile_cells) {
            if (n_cells == tile_cells && view_of(at, query + row / heads).plain) {
                continue;
            }
            const ggml_fp16_t * visible = mask_of(at, query + row / heads);
            for (int c = 0; c < n_cells; ++c) { // what is hidden may be what a model that overflowed has left
                scores[c] = visible[c] == hidden_cell ? -INFINITY : scores[c] + GGML_CPU_FP16_TO_FP32(visible[c]);
            }
            std::fill(scores + n_cells, scores + tile_cells, -INFINITY);
        }
    });
}

void turn::score_few(int64_t at, int query) {
    const view & seen = view_of(at, query);
    for (int i = 0; i < seen.n; ++i) {
        put_key(own.few.data + i, few_cells, cell_of(at) + seen.few[i]);
    }
    float * scores = weights_of(at, query);
    std::fill_n(scores, heads * few_cells, 0.0f);
    simd_gemm(scores, queries_of(query), own.few.data, heads, key_size, few_cells);
    const ggml_fp16_t * visible = mask_of(at, query);
    for (int head = 0; head < heads; ++head, scores += few_cells) {
        std::fill(scores + seen.n, scores + few_cells, -INFINITY);
        for (int i = 0; i < seen.n; ++i) {
            scores[i] += GGML_CPU_FP16_TO_FP32(visible[seen.few[i]]);
        }
    }
}

// From scores to weights that sum to 1.
void turn::weigh() {
    for (int query = 0; query < n; ++query) {
        for (int head = 0; head < heads; ++head) {
            const auto each_part = [&](auto use) {
                for (int64_t at = 0; at < n_tiles; ++at) {
                    const int n_seen = view_of(at, query).n;
                    const int width = n_seen > few_cells ? tile_cells : few_cells;
                    if (n_seen > 0) {
                        use(weights_of(at, query) + head * width, width);
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
            const float share = sum == 0 ? 0 : float(1 / sum);
            each_part([&](float * part, int width) { ggml_vec_scale_f32(width, part, share); });
        }
    }
}

void turn::mix_many(int64_t at) {
    const int n_cells = cells_in(at);
    int overflowed[tile_cells];
    int n_overflowed = 0;
    for (int c = 0; c < n_cells; ++c) {
        float * row = own.tile.data + c * value_size;
        put_value(row, cell_of(at) + c);
        if (!is_finite(halves(values, cell_of(at) + c, key_head), value_size)) {
            std::fill_n(row, value_size, 0.0f);
            overflowed[n_overflowed++] = c;
        }
    }
    std::fill_n(own.tile.data + n_cells * value_size, (tile_cells - n_cells) * value_size, 0.0f);
    each_run(at, [&](int query, int n_queries) {
        simd_gemm(outputs_of(query), weights_of(at, query), own.tile.data, n_queries * heads, tile_cells, value_size);
    });
    for (int i = 0; i < n_overflowed; ++i) {
        spread_overflow(at, overflowed[i]);
    }
}

// Only queries that see a value that is no number get none.
void turn::spread_overflow(int64_t at, int cell) {
    for (int query = 0; query < n; ++query) {
        if (view_of(at, query).n > few_cells && mask_of(at, query)[cell] != hidden_cell) {
            std::fill_n(outputs_of(query), heads * value_size, NAN);
        }
    }
}

void turn::mix_few(int64_t at, int query) {
    const view & seen = view_of(at, query);
    for (int i = 0; i < seen.n; ++i) {
        put_value(own.few.data + i * value_size, cell_of(at) + seen.few[i]);
    }
    const float * weights = weights_of(at, query);
    float * output = outputs_of(query);
    for (int head = 0; head < heads; ++head) {
        simd_gemm(output + head * value_size, weights + head * few_cells, own.few.data, 1, seen.n, value_size);
    }
}

bool is_shared_attention(const ggml_compute_params & params, const ggml_tensor & dst) {
    const ggml_tensor & queries = *dst.src[0];
    const ggml_tensor & keys = *dst.src[1];
    const ggml_tensor & values = *dst.src[2];
    const ggml_tensor * mask = dst.src[3];
    float options[3]; // scale, largest bias, soft cap
    std::memcpy(options, dst.op_params, sizeof(options));
    const bool plain = !params.use_ref && options[1] == 0 && options[2] == 0 && dst.src[4] == nullptr;
    const bool types = queries.type == GGML_TYPE_F32 && keys.type == GGML_TYPE_F16 && values.type == GGML_TYPE_F16;
    const bool rows = queries.nb[0] == sizeof(float) && keys.nb[0] == sizeof(ggml_fp16_t) && values.nb[0] == sizeof(ggml_fp16_t);
    const bool one_mask = mask != nullptr && mask->ne[2] == 1 && mask->ne[3] == 1;
    const bool one_stream = queries.ne[3] == 1 && keys.ne[2] == values.ne[2] && queries.ne[2] / keys.ne[2] <= max_rows;
    const bool split = keys.ne[1] >= split_cells && queries.ne[1] * keys.ne[2] < params.nth;
    const bool whole_vectors = vector_size > 0 && values.ne[0] % std::max(vector_size, 1) == 0;
    return whole_vectors && plain && types && rows && one_mask && one_stream && !split;
}

// How many queries one turn takes.
int64_t queries_per_turn(const ggml_tensor & dst, int n_threads) {
    const int64_t n_queries = dst.src[0]->ne[1];
    const int64_t key_heads = dst.src[1]->ne[2];
    const int64_t heads = dst.src[0]->ne[2] / key_heads;
    const int64_t fitting_rows = std::min<int64_t>(max_rows, max_weights / dst.src[1]->ne[1]);
    int64_t n = std::min(n_queries, std::max<int64_t>(1, fitting_rows / heads));
    while (n > 1) {
        const int64_t turns = key_heads * ((n_queries + n - 1) / n);
        if (turns >= 2 * n_threads || (turns >= n_threads && n * heads <= min_shared_rows)) {
            break;
        }
        n = (n + 1) / 2;
    }
    return n;
}

}

extern "C" void ggml_compute_forward_flash_attn_ext(const ggml_compute_params * params, ggml_tensor * dst) {
    if (!is_shared_attention(*params, *dst)) {
        ggml_compute_own_flash_attn_ext(params, dst);
        return;
    }
    const ggml_tensor & keys = *dst->src[1];
    const int64_t n_queries = dst->src[0]->ne[1];
    const int64_t per_turn = queries_per_turn(*dst, params->nth);
    const int64_t turns = keys.ne[2] * ((n_queries + per_turn - 1) / per_turn);
    const int64_t n_tiles = (keys.ne[1] + tile_cells - 1) / tile_cells;

    static thread_local memory own;
    char * has_room = static_cast<char *>(params->wdata); // of each thread
    try {
        const int64_t heads = dst->src[0]->ne[2] / keys.ne[2];
        own.reserve(size_t(per_turn), size_t(heads), size_t(n_tiles), size_t(keys.ne[0]), size_t(dst->src[2]->ne[0]));
        has_room[params->ith] = 1;
    } catch (const std::bad_alloc &) {
        has_room[params->ith] = 0;
    }
    if (params->ith == 0) {
        ggml_threadpool_chunk_set(params->threadpool, params->nth);
    }
    ggml_barrier(params->threadpool);
    if (!std::all_of(has_room, has_room + params->nth, [](char has) { return has == 1; })) {
        ggml_barrier(params->threadpool); // before wdata is written to
        ggml_compute_own_flash_attn_ext(params, dst);
        return;
    }
    for (int64_t i = params->ith; i < turns; i = ggml_threadpool_chunk_add(params->threadpool, 1)) {
        const int64_t first = i / keys.ne[2] * per_turn;
        turn(*dst, first, int(std::min(per_turn, n_queries - first)), i % keys.ne[2], own).run();
    }
}
