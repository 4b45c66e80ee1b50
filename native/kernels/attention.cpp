// attention.cpp owns attention on the CPU for a search's decodes: many sequences at once that share most of their
// cells, the prompt's. Below 64 sequences, ggml's kernel visits the cells of one query at a time; from 64 on, it
// computes every cell of a tile for all. Here, the queries that see many cells of a tile form the rows of a matrix
// product, together with all heads that share keys. The scattered cells that a query sees in other tiles are gathered
// for products of their own. A query's result depends only on the cells that it sees and on their order, not on the
// other queries or on where tiles begin: every product adds in the order of the cells, and weights are rounded so that
// their sum is the same in any order. ggml's kernel handles the rest: ALiBi, soft caps, sinks, several masks or
// streams, keys other than half precision, too few queries for the threads, too many cells for the memory, and value
// sizes that are not whole vectors.
#include "ggml-backend-impl.h"
#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "kernels.h"
#include "ops.h"
#include "simd-gemm.h"
#include "traits.h"
#include "vec.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <numeric>
#include <vector>

namespace {

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
const int vector_size = 0;  // words of four halves are read as little-endian numbers
#elif defined(GGML_SIMD) && defined(GGML_F32_EPR) && !defined(__ARM_FEATURE_SVE)
const int vector_size = GGML_F32_EPR;  // of ggml's products of small matrices
#else
const int vector_size = 0;  // they are computed one number at a time
#endif
const int         max_rows          = 64;       // query heads per turn
const int64_t     max_weights       = 1 << 20;  // per turn of several queries
const int64_t     most_weights      = 1 << 22;  // per turn of one query
const int         tile_cells        = 64;
const int         min_shared_rows   = 16;       // per turn; with fewer, having more turns than threads does not pay
const int         few_cells         = 16;       // per tile; up to this number they count as scattered
const int         cells_unit        = 16;       // gathered cells are padded to whole vectors
const int64_t     long_cells        = 512;     // from here on, ggml splits the cells of a single sequence among threads
const ggml_fp16_t hidden_cell       = 0xFC00;  // minus infinity as half precision
const uint64_t    four_hidden_cells = 0xFC00FC00FC00FC00;

static_assert(tile_cells % cells_unit == 0 && few_cells % cells_unit == 0, "gatherings have room for whole vectors");
static_assert(vector_size == 0 || cells_unit % vector_size == 0, "a remainder would be added up in another way");

const char * bytes(const ggml_tensor & t, int64_t i1, int64_t i2) {
    return static_cast<const char *>(t.data) + i1 * t.nb[1] + i2 * t.nb[2];
}

const ggml_fp16_t * halves(const ggml_tensor & t, int64_t i1, int64_t i2) {
    return reinterpret_cast<const ggml_fp16_t *>(bytes(t, i1, i2));
}

// The cells of a tile that a query sees.
struct view {
    bool many;   // more than few_cells
    bool plain;  // all of them, without a bias
};

// Floats aligned to a cache line.
struct line_buffer {
    std::vector<float> memory;
    float *            data = nullptr;

    void reserve(size_t n) {
        const size_t per_line = CACHE_LINE_SIZE / sizeof(float);
        if (memory.size() < n + per_line) {
            memory.resize(n + per_line);
            const size_t past = reinterpret_cast<uintptr_t>(memory.data()) / sizeof(float) % per_line;
            data              = memory.data() + (per_line - past) % per_line;
        }
    }
};

// The number of cells, padded to whole vectors.
int padded(int n_cells) {
    return (n_cells + cells_unit - 1) / cells_unit * cells_unit;
}

// A thread's buffers, kept between turns.
struct memory {
    line_buffer              queries;            // [rows, key size], scaled
    line_buffer              outputs;            // [rows, value size]
    line_buffer              weights;            // [tiles, rows, tile_cells]
    line_buffer              scattered_weights;  // for each query [gatherings, heads, width]
    line_buffer              tile;               // [key size, width] or [width, value size]
    std::vector<uint64_t>    quads;              // of four cells' keys, four halves each: [4, key size / 4]
    std::vector<ggml_fp16_t> half_tile;          // [key size, width]
    std::vector<int>         n_mixed;            // [queries]: scattered cells that the outputs already include

    // What the queries from `looked_from` on see, for all key heads.
    int64_t              looked_from = -1;
    int64_t              n_tiles     = 0;
    std::vector<int64_t> tiles;        // first cells of the tiles of which some query sees many cells
    std::vector<view>    views;        // [tiles, queries]
    std::vector<int>     n_scattered;  // [queries]
    std::vector<int64_t> scattered;    // cells, for each query

    // Reserves memory for turns of at most `n` queries.
    void reserve(size_t n, size_t heads, size_t most_tiles, size_t key_size, size_t value_size) {
        queries.reserve(n * heads * key_size);
        outputs.reserve(n * heads * value_size);
        weights.reserve(most_tiles * n * heads * tile_cells);
        scattered_weights.reserve(most_tiles * n * heads * few_cells);
        tile.reserve(tile_cells * std::max(key_size, value_size));
        quads.resize(std::max(quads.size(), key_size));
        half_tile.resize(std::max(half_tile.size(), key_size * tile_cells));
        n_mixed.resize(std::max(n_mixed.size(), n));
        tiles.resize(std::max(tiles.size(), most_tiles));
        views.resize(std::max(views.size(), most_tiles * n));
        n_scattered.resize(std::max(n_scattered.size(), n));
        scattered.resize(std::max(scattered.size(), most_tiles * n * few_cells));
    }
};

bool is_finite(const ggml_fp16_t * row, int n) {
    int wrong = 0;
    for (int i = 0; i < n; ++i) {
        wrong |= (row[i] & 0x7C00) == 0x7C00;
    }
    return wrong == 0;
}

// n is a multiple of 8.
float largest_of(const float * values, int n) {
    float largest[8];
    std::copy_n(values, 8, largest);
    for (int i = 8; i < n; i += 8) {
        for (int j = 0; j < 8; ++j) {
            largest[j] = values[i + j] > largest[j] ? values[i + j] : largest[j];
        }
    }
    return *std::max_element(largest, largest + 8);
}

// For weights up to 1. Each is rounded to a multiple of 2^-30, so that the sum is exact in any order.
double sum_of(const float * values, int n) {
    const double unit    = 1.5 * (1 << 22);
    double       sums[8] = {};
    for (int i = 0; i < n; i += 8) {
        for (int j = 0; j < 8; ++j) {
            sums[j] += (double(values[i + j]) + unit) - unit;
        }
    }
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// For four rows of halves, in groups of four: out[i, group] holds the i-th half of each row's group. It works
// elementwise on words of four halves, so that the compiler vectorises it.
void transpose_quads(const ggml_fp16_t *      a,
                     const ggml_fp16_t *      b,
                     const ggml_fp16_t *      c,
                     const ggml_fp16_t *      d,
                     uint64_t * GGML_RESTRICT out,
                     int                      n_groups) {
    const uint64_t low_pair   = 0x00000000FFFFFFFF;
    const uint64_t low_halves = 0x0000FFFF0000FFFF;
    for (int group = 0; group < n_groups; ++group) {
        uint64_t rows[4];
        std::memcpy(&rows[0], a + 4 * group, sizeof(uint64_t));
        std::memcpy(&rows[1], b + 4 * group, sizeof(uint64_t));
        std::memcpy(&rows[2], c + 4 * group, sizeof(uint64_t));
        std::memcpy(&rows[3], d + 4 * group, sizeof(uint64_t));
        const uint64_t even_front = (rows[0] & low_pair) | (rows[2] << 32);
        const uint64_t odd_front  = (rows[1] & low_pair) | (rows[3] << 32);
        const uint64_t even_back  = (rows[0] >> 32) | (rows[2] & ~low_pair);
        const uint64_t odd_back   = (rows[1] >> 32) | (rows[3] & ~low_pair);
        out[group]                = (even_front & low_halves) | ((odd_front & low_halves) << 16);
        out[n_groups + group]     = ((even_front >> 16) & low_halves) | (odd_front & ~low_halves);
        out[2 * n_groups + group] = (even_back & low_halves) | ((odd_back & low_halves) << 16);
        out[3 * n_groups + group] = ((even_back >> 16) & low_halves) | (odd_back & ~low_halves);
    }
}

// The queries [first, first + n) with the heads that share a key head; row = query * heads + head. `at` counts the
// tiles of which some query sees many cells.
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

    turn(ggml_tensor & dst, int64_t first, int n, int64_t key_head, memory & own) :
        queries(*dst.src[0]),
        keys(*dst.src[1]),
        values(*dst.src[2]),
        mask(*dst.src[3]),
        dst(dst),
        key_size(int(keys.ne[0])),
        value_size(int(values.ne[0])),
        heads(int(queries.ne[2] / keys.ne[2])),
        first(first),
        n(n),
        key_head(key_head),
        own(own) {}

    int64_t cell_of(int64_t at) const { return own.tiles[size_t(at)]; }

    int cells_in(int64_t at) const { return int(std::min<int64_t>(tile_cells, keys.ne[1] - cell_of(at))); }

    const ggml_fp16_t * mask_of(int query) const { return halves(mask, first + query, 0); }

    view & view_of(int64_t at, int query) { return own.views[size_t(at * n + query)]; }

    float * queries_of(int query) { return own.queries.data + int64_t(query) * heads * key_size; }

    float * outputs_of(int query) { return own.outputs.data + int64_t(query) * heads * value_size; }

    float * weights_of(int64_t at, int query) { return own.weights.data + (at * n + query) * heads * tile_cells; }

    int64_t scattered_room() const { return (keys.ne[1] + tile_cells - 1) / tile_cells * few_cells; }  // per query

    int64_t * scattered_of(int query) { return own.scattered.data() + query * scattered_room(); }

    float * scattered_weights_of(int query, int from) {
        return own.scattered_weights.data + (query * scattered_room() + from) * heads;
    }

    int gathered_from(int query, int from) const { return std::min(tile_cells, own.n_scattered[size_t(query)] - from); }

    void                         run();
    void                         look();
    bool                         look_at(int64_t at, int query);
    void                         list_scattered(int64_t at, int query, int n_seen);
    void                         score_many(int64_t at);
    void                         score_scattered(int query);
    void                         weigh();
    void                         mix_many(int64_t at);
    void                         mix_scattered(int query, int64_t before);
    void                         spread_overflow(int64_t at, int cell);
    void                         put_keys(const int64_t * cells, int n_cells, int width);
    bool                         put_value(float * row, int64_t cell, float instead);
    template <typename use> void each_run(int64_t at, use product);
};

// Prefetches for the next tile: the rows of one head are too far apart for the hardware prefetcher. A macro, since gcc
// drops calls of a function that does nothing else.
#if defined(__GNUC__)
#    define FETCH_CELL(rows, cell)                                                                   \
        for (int64_t d = 0; d < (rows).ne[0]; d += int64_t(CACHE_LINE_SIZE / sizeof(ggml_fp16_t))) { \
            __builtin_prefetch(halves(rows, cell, key_head) + d);                                    \
        }
#    define FETCH_TILE(rows, at)                                       \
        for (int c = 0; (at) < own.n_tiles && c < cells_in(at); ++c) { \
            FETCH_CELL(rows, cell_of(at) + c)                          \
        }
#else
#    define FETCH_CELL(rows, cell)
#    define FETCH_TILE(rows, at)
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
    if (own.looked_from != first) {  // all key heads see the same cells
        look();
        own.looked_from = first;
    }
    for (int64_t at = 0; at < own.n_tiles; ++at) {
        FETCH_TILE(keys, at + 1);
        score_many(at);
    }
    for (int query = 0; query < n; ++query) {
        score_scattered(query);
    }
    weigh();
    std::fill_n(own.n_mixed.begin(), n, 0);
    for (int64_t at = 0; at < own.n_tiles; ++at) {
        FETCH_TILE(values, at + 1);
        mix_many(at);
    }
    for (int query = 0; query < n; ++query) {
        mix_scattered(query, keys.ne[1]);
    }
    for (int row = 0; row < rows; ++row) {
        char * output = static_cast<char *>(dst.data) + (key_head * heads + row % heads) * dst.nb[1] +
                        (first + row / heads) * dst.nb[2];
        std::memcpy(output, own.outputs.data + row * value_size, size_t(value_size) * sizeof(float));
    }
}

void turn::look() {
    own.n_tiles = 0;
    std::fill_n(own.n_scattered.begin(), n, 0);
    for (int64_t cell = 0; cell < keys.ne[1]; cell += tile_cells) {
        own.tiles[size_t(own.n_tiles)] = cell;
        bool any_many                  = false;
        for (int query = 0; query < n; ++query) {
            any_many = look_at(own.n_tiles, query) || any_many;
        }
        own.n_tiles += any_many;
    }
}

// Finds the cells of a tile that a query sees; returns whether they are many.
bool turn::look_at(int64_t at, int query) {
    const int           n_cells = cells_in(at);
    const ggml_fp16_t * visible = mask_of(query) + cell_of(at);
    uint16_t            n_seen  = 0;  // as wide as its input, so that the compiler vectorises it
    uint16_t            bits    = 0;
    for (int c = 0; c < n_cells; ++c) {
        n_seen += visible[c] != hidden_cell;
        bits |= visible[c];
    }
    const bool many    = n_seen > few_cells;
    view_of(at, query) = { many, bits == 0 };
    if (n_seen > 0 && !many) {
        list_scattered(at, query, n_seen);
    }
    return many;
}

void turn::list_scattered(int64_t at, int query, int n_seen) {
    const int           n_cells  = cells_in(at);
    const ggml_fp16_t * visible  = mask_of(query) + cell_of(at);
    int &               n_listed = own.n_scattered[size_t(query)];
    const int           n_all    = n_listed + n_seen;
    for (int c = 0; c < n_cells && n_listed < n_all; ++c) {
        uint64_t four = 0;
        if (c % 4 == 0 && c + 4 <= n_cells) {
            std::memcpy(&four, visible + c, sizeof(four));
        }
        if (four == four_hidden_cells) {
            c += 3;
        } else if (visible[c] != hidden_cell) {
            scattered_of(query)[n_listed++] = cell_of(at) + c;
        }
    }
}

// The keys become the columns of own.tile. Columns after them keep their old content.
void turn::put_keys(const int64_t * cells, int n_cells, int width) {
    const int           n_quads = key_size / 4;
    uint64_t * const    quads   = own.quads.data();
    ggml_fp16_t * const tile    = own.half_tile.data();
    for (int c = 0; c < n_cells; c += 4) {
        const auto row = [&](int i) {
            return halves(keys, cells[std::min(c + i, n_cells - 1)], key_head);
        };
        transpose_quads(row(0), row(1), row(2), row(3), quads, n_quads);
        for (int quad = 0; quad < n_quads; ++quad) {
            for (int i = 0; i < 4; ++i) {
                std::memcpy(tile + (quad * 4 + i) * width + c, &quads[i * n_quads + quad], sizeof(uint64_t));
            }
        }
    }
    ggml_cpu_fp16_to_fp32(tile, own.tile.data, key_size * width);
}

// If the value has overflowed, returns false and stores `instead`.
bool turn::put_value(float * row, int64_t cell, float instead) {
    const ggml_fp16_t * value  = halves(values, cell, key_head);
    const bool          finite = is_finite(value, value_size);
    if (finite) {
        ggml_cpu_fp16_to_fp32(value, row, value_size);
    } else {
        std::fill_n(row, value_size, instead);
    }
    return finite;
}

// Adjacent queries that see many cells of a tile are the rows of one product.
template <typename use> void turn::each_run(int64_t at, use product) {
    for (int query = 0; query < n;) {
        int end = query;
        while (end < n && view_of(at, end).many) {
            ++end;
        }
        if (end > query) {
            product(query, end - query);
        }
        query = end + 1;
    }
}

void turn::score_many(int64_t at) {
    const int n_cells = cells_in(at);
    int64_t   cells[tile_cells];
    std::iota(cells, cells + n_cells, cell_of(at));
    put_keys(cells, n_cells, tile_cells);
    each_run(at, [&](int query, int n_queries) {
        float * scores = weights_of(at, query);
        std::fill_n(scores, n_queries * heads * tile_cells, 0.0f);
        simd_gemm(scores, queries_of(query), own.tile.data, n_queries * heads, key_size, tile_cells);
        for (int row = 0; row < n_queries * heads; ++row, scores += tile_cells) {
            if (n_cells == tile_cells && view_of(at, query + row / heads).plain) {
                continue;
            }
            const ggml_fp16_t * visible = mask_of(query + row / heads) + cell_of(at);
            for (int c = 0; c < n_cells; ++c) {  // hidden cells may hold values of a model that overflowed
                scores[c] = visible[c] == hidden_cell ? -INFINITY : scores[c] + GGML_CPU_FP16_TO_FP32(visible[c]);
            }
            std::fill(scores + n_cells, scores + tile_cells, -INFINITY);
        }
    });
}

void turn::score_scattered(int query) {
    const int64_t *     cells   = scattered_of(query);
    const ggml_fp16_t * visible = mask_of(query);
    for (int from = 0; from < own.n_scattered[size_t(query)]; from += tile_cells) {
        const int n_cells = gathered_from(query, from);
        const int width   = padded(n_cells);
        for (int i = 0; i < n_cells; ++i) {
            FETCH_CELL(keys, cells[from + i]);
        }
        put_keys(cells + from, n_cells, width);
        float * scores = scattered_weights_of(query, from);
        std::fill_n(scores, heads * width, 0.0f);
        simd_gemm(scores, queries_of(query), own.tile.data, heads, key_size, width);
        for (int head = 0; head < heads; ++head, scores += width) {
            std::fill(scores + n_cells, scores + width, -INFINITY);
            for (int i = 0; i < n_cells; ++i) {
                scores[i] += GGML_CPU_FP16_TO_FP32(visible[cells[from + i]]);
            }
        }
    }
}

// Turns scores into weights with sum 1.
void turn::weigh() {
    for (int query = 0; query < n; ++query) {
        for (int head = 0; head < heads; ++head) {
            const auto each_part = [&](auto use) {
                for (int64_t at = 0; at < own.n_tiles; ++at) {
                    if (view_of(at, query).many) {
                        use(weights_of(at, query) + head * tile_cells, tile_cells);
                    }
                }
                for (int from = 0; from < own.n_scattered[size_t(query)]; from += tile_cells) {
                    const int width = padded(gathered_from(query, from));
                    use(scattered_weights_of(query, from) + head * width, width);
                }
            };
            float largest = -INFINITY;
            each_part([&](const float * part, int width) { largest = std::max(largest, largest_of(part, width)); });
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
    for (int query = 0; query < n; ++query) {
        if (view_of(at, query).many) {
            mix_scattered(query, cell_of(at));
        }
    }
    int overflowed[tile_cells];
    int n_overflowed = 0;
    for (int c = 0; c < n_cells; ++c) {
        if (!put_value(own.tile.data + c * value_size, cell_of(at) + c, 0.0f)) {
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

// Only queries that see a NaN get NaN.
void turn::spread_overflow(int64_t at, int cell) {
    for (int query = 0; query < n; ++query) {
        if (view_of(at, query).many && mask_of(query)[cell_of(at) + cell] != hidden_cell) {
            std::fill_n(outputs_of(query), heads * value_size, NAN);
        }
    }
}

// Adds the scattered cells before `before` that are not in the query's outputs yet.
void turn::mix_scattered(int query, int64_t before) {
    const int64_t * cells   = scattered_of(query);
    const int       n_all   = own.n_scattered[size_t(query)];
    int &           n_mixed = own.n_mixed[size_t(query)];
    while (n_mixed < n_all && cells[n_mixed] < before) {
        const int from    = n_mixed - n_mixed % tile_cells;
        const int n_cells = gathered_from(query, from);
        const int width   = padded(n_cells);
        const int begin   = n_mixed - from;
        int       end     = begin;
        while (end < n_cells && cells[from + end] < before) {
            FETCH_CELL(values, cells[from + end]);
            ++end;
        }
        for (int i = begin; i < end; ++i) {
            put_value(own.tile.data + (i - begin) * value_size, cells[from + i], NAN);
        }
        const float * weights = scattered_weights_of(query, from) + begin;
        for (int head = 0; head < heads; ++head) {
            simd_gemm(outputs_of(query) + head * value_size, weights + head * width, own.tile.data, 1, end - begin,
                      value_size);
        }
        n_mixed = from + end;
    }
}

bool is_shared_attention(const ggml_compute_params & params, const ggml_tensor & dst) {
    const ggml_tensor & queries = *dst.src[0];
    const ggml_tensor & keys    = *dst.src[1];
    const ggml_tensor & values  = *dst.src[2];
    const ggml_tensor * mask    = dst.src[3];
    float               options[3];  // scale, largest bias, soft cap
    std::memcpy(options, dst.op_params, sizeof(options));
    const bool plain = !params.use_ref && options[1] == 0 && options[2] == 0 && dst.src[4] == nullptr;
    const bool types = queries.type == GGML_TYPE_F32 && keys.type == GGML_TYPE_F16 && values.type == GGML_TYPE_F16;
    const bool rows =
        queries.nb[0] == sizeof(float) && keys.nb[0] == sizeof(ggml_fp16_t) && values.nb[0] == sizeof(ggml_fp16_t);
    const bool one_mask   = mask != nullptr && mask->ne[2] == 1 && mask->ne[3] == 1;
    const bool one_stream = queries.ne[3] == 1 && keys.ne[2] == values.ne[2] && queries.ne[2] / keys.ne[2] <= max_rows;
    const bool starves_threads = keys.ne[1] >= long_cells && queries.ne[1] * keys.ne[2] < params.nth;
    const bool fits            = keys.ne[1] > 0 && queries.ne[2] / keys.ne[2] * keys.ne[1] <= most_weights;
    const bool whole_vectors   = vector_size > 0 && values.ne[0] % std::max(vector_size, 1) == 0 && keys.ne[0] % 4 == 0;
    return whole_vectors && plain && types && rows && one_mask && one_stream && fits && !starves_threads;
}

// The number of queries per turn.
int64_t queries_per_turn(const ggml_tensor & dst, int n_threads) {
    const int64_t n_queries    = dst.src[0]->ne[1];
    const int64_t key_heads    = dst.src[1]->ne[2];
    const int64_t heads        = dst.src[0]->ne[2] / key_heads;
    const int64_t fitting_rows = std::min<int64_t>(max_rows, max_weights / dst.src[1]->ne[1]);
    int64_t       n            = std::min(n_queries, std::max<int64_t>(1, fitting_rows / heads));
    while (n > 1) {
        const int64_t turns = key_heads * ((n_queries + n - 1) / n);
        if (turns >= 2 * n_threads || (turns >= n_threads && n * heads <= min_shared_rows)) {
            break;
        }
        n = (n + 1) / 2;
    }
    return n;
}

// Returns false if ggml should compute it.
bool attend(const ggml_compute_params & params, ggml_tensor & dst) {
    if (!is_shared_attention(params, dst)) {
        return false;
    }
    const ggml_tensor & keys      = *dst.src[1];
    const int64_t       n_queries = dst.src[0]->ne[1];
    const int64_t       per_turn  = queries_per_turn(dst, params.nth);
    const int64_t       turns     = keys.ne[2] * ((n_queries + per_turn - 1) / per_turn);
    const int64_t       n_tiles   = (keys.ne[1] + tile_cells - 1) / tile_cells;

    static thread_local memory own;
    char *                     has_room = static_cast<char *>(params.wdata);  // per thread
    try {
        const int64_t heads = dst.src[0]->ne[2] / keys.ne[2];
        own.reserve(size_t(per_turn), size_t(heads), size_t(n_tiles), size_t(keys.ne[0]), size_t(dst.src[2]->ne[0]));
        own.looked_from      = -1;
        has_room[params.ith] = 1;
    } catch (const std::bad_alloc &) {
        has_room[params.ith] = 0;
    }
    if (params.ith == 0) {
        ggml_threadpool_chunk_set(params.threadpool, params.nth);
    }
    ggml_barrier(params.threadpool);
    if (!std::all_of(has_room, has_room + params.nth, [](char has) { return has == 1; })) {
        ggml_barrier(params.threadpool);  // before wdata is written to
        return false;
    }
    for (int64_t i = params.ith; i < turns; i = ggml_threadpool_chunk_add(params.threadpool, 1)) {
        const int64_t first = i / keys.ne[2] * per_turn;
        turn(dst, first, int(std::min(per_turn, n_queries - first)), i % keys.ne[2], own).run();
    }
    return true;
}

struct attention_traits : ggml::cpu::tensor_traits {
    bool work_size(int, const ggml_tensor *, size_t &) override { return false; }  // ggml's kernel needs more

    bool compute_forward(ggml_compute_params * params, ggml_tensor * op) override { return attend(*params, *op); }
};

struct attention_entry : ggml::cpu::extra_buffer_type {
    bool supports_op(ggml_backend_dev_t, const ggml_tensor *) override { return false; }  // it stores no weights

    ggml::cpu::tensor_traits * get_tensor_traits(const ggml_tensor * op) override {
        static attention_traits traits;
        return op->op == GGML_OP_FLASH_ATTN_EXT ? &traits : nullptr;
    }
};

const char * name_of(ggml_backend_buffer_type_t) {
    return "CPU_SHARED_ATTENTION";
}

ggml_backend_buffer_t allocate(ggml_backend_buffer_type_t, size_t) {
    return nullptr;
}

}  // namespace

ggml_backend_buffer_type_t shared_attention() {
    static attention_entry          entry;
    static ggml_backend_buffer_type type = {
        /* .iface   = */ { name_of, allocate, /* .get_alignment = */ nullptr, /* .get_max_size = */ nullptr,
                          /* .get_alloc_size = */ nullptr, /* .is_host = */ nullptr },
        /* .device  = */
        ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0),
        /* .context = */ &entry,
    };
    return &type;
}
