#include "support/numeric.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

namespace ig {

namespace {

const size_t lanes = 16;

// exp for x <= 0; everything below -87 counts as exp(-87), which is 0 for a probability in single precision
inline float exp_nonpositive(float x) {
    x = x < -87.0f ? -87.0f : x;
    // x = n ln2 + r, |r| <= ln2 / 2
    const float shifted = x * 1.44269504f + 12582912.0f; // rounds to the nearest integer
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
    float result = *std::max_element(best, best + lanes);
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

std::vector<int32_t> top_k(const float * x, size_t n, size_t k) {
    std::vector<int32_t> index(n);
    std::iota(index.begin(), index.end(), 0);
    k = std::min(k, n);
    const auto larger = [x](int32_t a, int32_t b) { return x[a] != x[b] ? x[a] > x[b] : a < b; };
    std::partial_sort(index.begin(), index.begin() + k, index.end(), larger);
    index.resize(k);
    return index;
}

size_t draw(const float * weights, size_t n, double total, double u) {
    double left = u * total;
    const size_t chunk = 256;
    for (size_t begin = 0; begin < n; begin += chunk) {
        const size_t end = std::min(n, begin + chunk);
        const double mass = sum_of(weights + begin, end - begin);
        if (left >= mass) {
            left -= mass;
            continue;
        }
        for (size_t i = begin; i < end; ++i) {
            left -= weights[i];
            if (left < 0) {
                return i;
            }
        }
    }
    return argmax(weights, n); // rounding left a sliver at the end
}

}
