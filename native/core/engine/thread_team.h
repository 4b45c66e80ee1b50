// thread_team.h owns parallel work on the decoder's threads. They are awake right after a decode, so no others are
// needed.
#pragma once

#include "ggml-cpp.h"

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>

struct ggml_threadpool;

namespace ig {

class thread_team {
  public:
    thread_team(std::shared_ptr<ggml_threadpool> threads, int32_t n_threads);

    int32_t size() const { return n_threads; }

    // Calls work(i, thread) once for every i below n. Rethrows what the work throws, once all threads have stopped.
    void run(size_t n, const std::function<void(size_t i, size_t thread)> & work);

  private:
    std::shared_ptr<ggml_threadpool> threads;
    int32_t                          n_threads;
    ggml_context_ptr                 ctx;
    ggml_cgraph *                    graph;

    // of the current run
    const std::function<void(size_t, size_t)> * work    = nullptr;
    size_t                                      n_items = 0;
    std::atomic<size_t>                         next{ 0 };
    std::mutex                                  failing;
    std::exception_ptr                          failure;

    void take_items(size_t thread);
};

}  // namespace ig
