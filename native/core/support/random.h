// random.h owns the random numbers of a search. A stream depends only on (seed, stream, substream), so that a
// candidate's draws depend neither on other candidates nor on batching.
#pragma once

#include <cstdint>

namespace ig {

// SplitMix64 (Steele, Lea and Flood 2014)
class random_stream {
  public:
    random_stream(uint64_t seed, uint64_t stream, uint64_t substream) :
        state(mix(mix(mix(seed) + stream) + substream)) {}

    uint64_t next() { return mix(state += increment); }

    // A separate stream for each number. This one does not advance.
    random_stream branch(uint64_t number) const { return { state, number, 0 }; }

    // uniform in [0, 1)
    double uniform() { return double(next() >> 11) * 0x1.0p-53; }

  private:
    static constexpr uint64_t increment = 0x9e3779b97f4a7c15;
    uint64_t                  state;

    static uint64_t mix(uint64_t x) {
        x += increment;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
        x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
        return x ^ (x >> 31);
    }
};

}  // namespace ig
