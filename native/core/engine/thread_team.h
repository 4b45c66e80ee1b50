// thread_team.h owns work on many items by the threads that decode: they are awake right after a decode, and none are added
// to them.
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

    // Calls work(i, thread) once for every i below n. What the work throws is thrown here, once all threads have stopped.
    void run(size_t n, const std::function<void(size_t i, size_t thread)> & work);

  private:
    std::shared_ptr<ggml_threadpool> threads;
    int32_t                          n_threads;
    ggml_context_ptr                 ctx;
    ggml_cgraph *                    graph;

    // of the run at work
    const std::function<void(size_t, size_t)> * work    = nullptr;
    size_t                                      n_items = 0;
    std::atomic<size_t>                         next{ 0 };
    std::mutex                                  failing;
    std::exception_ptr                          failure;

    void take_items(size_t thread);
};

}  // namespace ig
