#include "support/numeric.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>

namespace ig {

namespace {

const size_t lanes = 16;
const size_t most_blocks = 4096;

// exp for x <= 0; everything below -87 counts as exp(-87), which is 0 for a probability in single precision. What is no number
// stays none.
inline float exp_nonpositive(float x) {
    const float number = x >= -87.0f ? x : -87.0f;
    x = x < -87.0f ? -87.0f : x;
    // x = n ln2 + r, |r| <= ln2 / 2
    const float shifted = number * 1.44269504f + 12582912.0f; // rounds to the nearest integer
    const float n = shifted - 12582912.0f;
    const float r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    float p = 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const int32_t exponent = (int32_t(n) + 127) << 23;
    float power;
    std::memcpy(&power, &exponent, sizeof(power));
    return p * power;
}

}

double sum_of(const float * x, size_t n) {
    float partial[lanes] = { 0 };
    size_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        for (size_t j = 0; j < lanes; ++j) {
            partial[j] += x[i + j];
        }
    }
    for (; i < n; ++i) {
        partial[0] += x[i];
    }
    return std::accumulate(partial, partial + lanes, 0.0);
}

float max_of(const float * x, size_t n) {
    float best[lanes];
    std::fill(best, best + lanes, -std::numeric_limits<float>::infinity());
    size_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        for (size_t j = 0; j < lanes; ++j) {
            best[j] = x[i + j] > best[j] ? x[i + j] : best[j];
        }
    }
    for (size_t half = lanes / 2; half > 0; half /= 2) {
        for (size_t j = 0; j < half; ++j) {
            best[j] = best[j + half] > best[j] ? best[j + half] : best[j];
        }
    }
    float result = best[0];
    for (; i < n; ++i) {
        result = std::max(result, x[i]);
    }
    return result;
}

double exp_and_sum(const float * x, size_t n, float scale, float shift, float * out) {
    double total = 0;
    const size_t chunk = 4096; // single-precision partial sums stay short
    for (size_t begin = 0; begin < n; begin += chunk) {
        const size_t end = std::min(n, begin + chunk);
        float partial[lanes] = { 0 };
        size_t i = begin;
        for (; i + lanes <= end; i += lanes) {
            for (size_t j = 0; j < lanes; ++j) {
                const float e = exp_nonpositive(x[i + j] * scale - shift);
                out[i + j] = e;
                partial[j] += e;
            }
        }
        for (; i < end; ++i) {
            out[i] = exp_nonpositive(x[i] * scale - shift);
            partial[0] += out[i];
        }
        total += std::accumulate(partial, partial + lanes, 0.0);
    }
    return total;
}

double log_sum_exp(const float * x, size_t n, float * scratch) {
    const float peak = max_of(x, n);
    return peak + std::log(exp_and_sum(x, n, 1.0f, peak, scratch));
}

size_t argmax(const float * x, size_t n) {
    return std::max_element(x, x + n) - x;
}

double exp_and_sums(const float * x, size_t n, float shift, float * out, std::vector<double> & chunks) {
    chunks.resize((n + sum_chunk - 1) / sum_chunk);
    double total = 0;
    for (size_t begin = 0, chunk = 0; begin < n; begin += sum_chunk, ++chunk) {
        chunks[chunk] = exp_and_sum(x + begin, std::min(sum_chunk, n - begin), 1.0f, shift, out + begin);
        total += chunks[chunk];
    }
    return total;
}

// The k-th largest of the blocks' maxima is no larger than the k-th largest value: only the blocks that reach it are looked into.
void top_k(const float * x, size_t n, size_t k, std::vector<int32_t> & best) {
    k = std::min(k, n);
    best.clear();
    if (k == 0) {
        return;
    }
    const size_t block = std::max({ n / (8 * k), n / most_blocks, size_t(1) }) / lanes * lanes + lanes;
    const size_t n_blocks = (n + block - 1) / block;
    float maxima[most_blocks];
    for (size_t b = 0; b < n_blocks; ++b) {
        maxima[b] = max_of(x + b * block, std::min(block, n - b * block));
    }
    float least = -std::numeric_limits<float>::infinity();
    if (n_blocks >= k) {
        float ordered[most_blocks];
        std::copy(maxima, maxima + n_blocks, ordered);
        std::nth_element(ordered, ordered + k - 1, ordered + n_blocks, std::greater<float>());
        least = ordered[k - 1];
    }
    best.reserve(2 * k);
    for (size_t b = 0; b < n_blocks; ++b) {
        if (maxima[b] < least) {
            continue;
        }
        for (size_t i = b * block; i < std::min(n, (b + 1) * block); ++i) {
            if (x[i] >= least) {
                best.push_back(int32_t(i));
            }
        }
    }
    const auto larger = [x](int32_t a, int32_t b) { return x[a] != x[b] ? x[a] > x[b] : a < b; };
    if (best.size() > k) {
        std::nth_element(best.begin(), best.begin() + std::ptrdiff_t(k) - 1, best.end(), larger);
        best.resize(k);
    }
    std::sort(best.begin(), best.end(), larger);
}

size_t draw(const float * weights, size_t n, double total, double u) {
    double left = u * total;
    for (size_t i = 0; i < n; ++i) {
        left -= weights[i];
        if (left < 0) {
            return i;
        }
    }
    return argmax(weights, n); // rounding left a sliver at the end
}

size_t draw_chunked(const float * weights, size_t n, const std::vector<double> & chunks, double mass) {
    for (size_t begin = 0, chunk = 0; begin < n; begin += sum_chunk, ++chunk) {
        if (mass >= chunks[chunk]) {
            mass -= chunks[chunk];
            continue;
        }
        for (size_t i = begin; i < std::min(n, begin + sum_chunk); ++i) {
            mass -= weights[i];
            if (mass < 0) {
                return i;
            }
        }
    }
    return argmax(weights, n);
}

}
