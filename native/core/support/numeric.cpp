#include "support/numeric.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>

namespace ig {

namespace {

const size_t lanes     = 32;  // with 16, compilers unroll the loops over lanes and do not vectorise them
const size_t most_sets = 4096;

// exp for x <= 0. Below -87 it returns exp(-87), which is 0 for a probability in single precision. NaN stays NaN.
inline float exp_nonpositive(float x) {
    x                   = x < -87.0f ? -87.0f : x;
    // x = n ln2 + r, |r| <= ln2 / 2
    const float shifted = x * 1.44269504f + 12582912.0f;  // the nearest integer n in its last bits
    const float n       = shifted - 12582912.0f;
    const float r       = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    float       p       = 1.0f / 720.0f;
    p                   = p * r + 1.0f / 120.0f;
    p                   = p * r + 1.0f / 24.0f;
    p                   = p * r + 1.0f / 6.0f;
    p                   = p * r + 0.5f;
    p                   = p * r + 1.0f;
    p                   = p * r + 1.0f;
    uint32_t exponent;
    std::memcpy(&exponent, &shifted, sizeof(exponent));
    exponent = (exponent + 127) << 23;
    float power;
    std::memcpy(&power, &exponent, sizeof(power));
    return p * power;
}

// erf for x >= 0, by Abramowitz and Stegun 7.1.26: the absolute error is below 2e-7
inline float erf_nonnegative(float x) {
    const float t = 1 / (1 + 0.3275911f * x);
    const float p =
        ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t;
    return 1 - p * exp_nonpositive(-x * x);
}

}  // namespace

void gelu(float * x, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        const float magnitude = erf_nonnegative(std::fabs(x[i]) * 0.707106781f);
        x[i] *= 0.5f + 0.5f * (x[i] < 0 ? -magnitude : magnitude);
    }
}

double sum_of(const float * x, size_t n) {
    float  partial[lanes] = { 0 };
    size_t i              = 0;
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

float dot(const float * x, const float * y, size_t n) {
    float  partial[lanes] = { 0 };
    size_t i              = 0;
    for (; i + lanes <= n; i += lanes) {
        for (size_t j = 0; j < lanes; ++j) {
            partial[j] += x[i + j] * y[i + j];
        }
    }
    for (; i < n; ++i) {
        partial[0] += x[i] * y[i];
    }
    return float(std::accumulate(partial, partial + lanes, 0.0));
}

void add_scaled(float * __restrict to, const float * x, size_t n, float factor) {
    for (size_t i = 0; i < n; ++i) {
        to[i] += factor * x[i];
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

double exp_and_sum(const float * x, size_t n, float shift, float * __restrict out) {
    float  partial[lanes] = { 0 };
    size_t i              = 0;
    for (; i + lanes <= n; i += lanes) {
        for (size_t j = 0; j < lanes; ++j) {
            const float e = exp_nonpositive(x[i + j] - shift);
            out[i + j]    = e;
            partial[j] += e;
        }
    }
    for (; i < n; ++i) {
        out[i] = exp_nonpositive(x[i] - shift);
        partial[0] += out[i];
    }
    return std::accumulate(partial, partial + lanes, 0.0);
}

double weighted_sum(const float * weights, const float * x, size_t n, float shift, float least) {
    float      partial[lanes] = { 0 };
    const auto term           = [&](size_t i) {
        const float below = x[i] - shift;
        return weights[i] * (below < least ? least : below);
    };
    size_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        for (size_t j = 0; j < lanes; ++j) {
            partial[j] += term(i + j);
        }
    }
    for (; i < n; ++i) {
        partial[0] += term(i);
    }
    return std::accumulate(partial, partial + lanes, 0.0);
}

// Each chunk is read twice while it is in cache. If a chunk has a new peak, the earlier sums are rescaled to it.
void weigh(const float * x, size_t n, row_mass & mass) {
    const float nothing = -std::numeric_limits<float>::infinity();
    mass.peak           = nothing;
    mass.chunks.clear();
    float weights[mass_chunk];
    for (size_t begin = 0; begin < n; begin += mass_chunk) {
        const size_t size = std::min(mass_chunk, n - begin);
        const float  peak = max_of(x + begin, size);
        if (peak > mass.peak) {
            const double unit = std::exp(double(mass.peak) - peak);
            for (double & chunk : mass.chunks) {
                chunk *= unit;
            }
            mass.peak = peak;
        }
        mass.chunks.push_back(exp_and_sum(x + begin, size, mass.peak > nothing ? mass.peak : 0, weights));
    }
    mass.sum = std::accumulate(mass.chunks.begin(), mass.chunks.end(), 0.0);
}

double log_sum_exp(const float * x, size_t n) {
    row_mass mass;
    weigh(x, n, mass);
    return mass.peak + std::log(mass.sum);
}

size_t argmax(const float * x, size_t n) {
    return std::max_element(x, x + n) - x;
}

namespace {

// of `lanes` values
bool any_reaches(const float * x, float least) {
    int reaching = 0;
    for (size_t j = 0; j < lanes; ++j) {
        reaching |= x[j] >= least;
    }
    return reaching != 0;
}

}  // namespace

// The k-th largest of the maxima of some sets is at most the k-th largest value. The sets are the lanes of stretches of
// the row.
void top_k(const float * x, size_t n, size_t k, std::vector<int32_t> & best) {
    k = std::min(k, n);
    best.clear();
    if (k == 0) {
        return;
    }
    const float  nothing = -std::numeric_limits<float>::infinity();
    const size_t stretch = lanes * std::max(n / (4 * k), n / most_sets + 1);  // more sets than most_sets are not needed
    float        maxima[most_sets];
    size_t       n_sets = 0;
    for (size_t begin = 0; begin < n; begin += stretch, n_sets += lanes) {
        const size_t end = std::min(n, begin + stretch);
        float        largest[lanes];
        std::fill(largest, largest + lanes, nothing);
        size_t i = begin;
        for (; i + lanes <= end; i += lanes) {
            for (size_t j = 0; j < lanes; ++j) {
                largest[j] = x[i + j] > largest[j] ? x[i + j] : largest[j];
            }
        }
        for (size_t j = 0; i + j < end; ++j) {
            largest[j] = std::max(largest[j], x[i + j]);
        }
        std::copy(largest, largest + lanes, maxima + n_sets);
    }
    float least = nothing;
    if (n_sets >= k) {
        std::nth_element(maxima, maxima + k - 1, maxima + n_sets, std::greater<float>());
        least = maxima[k - 1];
    }
    best.reserve(2 * k);
    const auto take = [&](size_t begin, size_t end) {
        for (size_t i = begin; i < end; ++i) {
            if (x[i] >= least) {
                best.push_back(int32_t(i));
            }
        }
    };
    size_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        if (any_reaches(x + i, least)) {
            take(i, i + lanes);
        }
    }
    take(i, n);
    const auto larger = [x](int32_t a, int32_t b) {
        return x[a] != x[b] ? x[a] > x[b] : a < b;
    };
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
    return argmax(weights, n);  // reached through rounding errors at the end
}

}  // namespace ig
