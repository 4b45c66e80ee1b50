#include "critic/rollout_record.h"

#include "ggml.h"
#include "support/error.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ig {

static_assert(sizeof(float) == 4 && sizeof(double) == 8, "records hold IEEE 754 numbers");

namespace {

class byte_writer {
  public:
    std::vector<uint8_t> bytes;

    template <typename T> void put(T value) { put_all(&value, 1); }

    template <typename T> void put_all(const T * values, size_t n) {
        const uint8_t * begin = reinterpret_cast<const uint8_t *>(values);
        bytes.insert(bytes.end(), begin, begin + n * sizeof(T));
    }

    template <typename T> void put_all(const std::vector<T> & values) { put_all(values.data(), values.size()); }
};

class byte_reader {
  public:
    byte_reader(const uint8_t * data, size_t n_bytes) : data(data), n_left(n_bytes) {}

    template <typename T> T get() { return get_all<T>(1)[0]; }

    template <typename T> std::vector<T> get_all(size_t n) {
        if (n > n_left / sizeof(T)) {
            throw error("INVALID_ROLLOUTS", "a record of rollouts is damaged: it ends too early");
        }
        std::vector<T> values(n);
        if (n > 0) {  // otherwise there is no address to copy to
            std::memcpy(values.data(), data, n * sizeof(T));
        }
        data += n * sizeof(T);
        n_left -= n * sizeof(T);
        return values;
    }

    // numbers that must be finite
    template <typename T> std::vector<T> get_numbers(size_t n) {
        std::vector<T> values = get_all<T>(n);
        if (!std::all_of(values.begin(), values.end(), [](T x) { return std::isfinite(x); })) {
            throw error("INVALID_ROLLOUTS", "a record of rollouts is damaged: a number in it is not finite");
        }
        return values;
    }

    // numbers of half precision that must be finite
    std::vector<uint16_t> get_halves(size_t n) {
        std::vector<uint16_t> values   = get_all<uint16_t>(n);
        const uint16_t        exponent = 0x7c00;  // all ones: infinity or NaN
        if (std::any_of(values.begin(), values.end(), [&](uint16_t h) { return (h & exponent) == exponent; })) {
            throw error("INVALID_ROLLOUTS", "a record of rollouts is damaged: a hidden state is not finite");
        }
        return values;
    }

    bool at_end() const { return n_left == 0; }

  private:
    const uint8_t * data;
    size_t          n_left;
};

}  // namespace

std::vector<uint16_t> to_half(const float * values, size_t n) {
    const float           largest = 65504;
    std::vector<uint16_t> halves;
    for (size_t i = 0; i < n; ++i) {
        halves.push_back(ggml_fp32_to_fp16(std::min(largest, std::max(-largest, values[i]))));
    }
    return halves;
}

std::vector<uint8_t> write_record(const std::vector<rollout> & rollouts) {
    byte_writer out;
    for (const rollout & r : rollouts) {
        out.put<int32_t>(r.prompt);
        out.put<int32_t>(r.response);
        out.put<uint32_t>(uint32_t(r.tokens.size()));
        out.put<uint32_t>(uint32_t(r.positions.size()));
        out.put<double>(r.reward);
        out.put_all(r.binding_cost);
        out.put_all(r.tokens);
        for (const rollout_position & p : r.positions) {
            out.put<int32_t>(p.n_tokens);
            out.put_all(p.summary);
            out.put_all(p.cost);
            out.put_all(p.highest_cost);
            out.put_all(p.partial_cost);
            out.put_all(p.hidden);
            out.put_all(p.mean);
        }
    }
    return std::move(out.bytes);
}

std::vector<rollout> read_record(const rollout_shape & shape, const uint8_t * data, size_t n_bytes) {
    byte_reader          in(data, n_bytes);
    std::vector<rollout> rollouts;
    while (!in.at_end()) {
        rollout r;
        r.prompt                   = in.get<int32_t>();
        r.response                 = in.get<int32_t>();
        const uint32_t n_tokens    = in.get<uint32_t>();
        const uint32_t n_positions = in.get<uint32_t>();
        r.reward                   = in.get_numbers<double>(1)[0];
        r.binding_cost             = in.get_numbers<double>(size_t(shape.n_constraints));
        r.tokens                   = in.get_all<token_id>(n_tokens);
        for (uint32_t i = 0; i < n_positions; ++i) {
            rollout_position p;
            p.n_tokens     = in.get<int32_t>();
            p.summary      = in.get_numbers<float>(size_t(shape.n_summary));
            p.cost         = in.get_numbers<double>(size_t(shape.n_constraints));
            p.highest_cost = in.get_numbers<double>(size_t(shape.n_constraints));
            p.partial_cost = in.get_numbers<double>(size_t(shape.n_constraints));
            p.hidden       = in.get_halves(size_t(shape.n_embd));
            p.mean         = in.get_halves(size_t(shape.n_mean));
            if (p.n_tokens < 0 || uint32_t(p.n_tokens) > n_tokens) {
                throw error("INVALID_ROLLOUTS",
                            "a record of rollouts is damaged: a position lies outside its response");
            }
            r.positions.push_back(std::move(p));
        }
        rollouts.push_back(std::move(r));
    }
    return rollouts;
}

}  // namespace ig
