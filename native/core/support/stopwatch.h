// stopwatch.h owns time measurement: a stopwatch adds its own lifetime, in milliseconds, to a sum.
#pragma once

#include <chrono>

namespace ig {

class stopwatch {
  public:
    explicit stopwatch(double & milliseconds) : milliseconds(milliseconds), start(std::chrono::steady_clock::now()) {}

    ~stopwatch() {
        milliseconds += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    }

    stopwatch(const stopwatch &)             = delete;
    stopwatch & operator=(const stopwatch &) = delete;

  private:
    double &                                    milliseconds;
    const std::chrono::steady_clock::time_point start;
};

}  // namespace ig
