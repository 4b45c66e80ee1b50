#include "engine/thread_team.h"

#include "ggml-cpu.h"

namespace ig {

thread_team::thread_team(std::shared_ptr<ggml_threadpool> threads, int32_t n_threads) :
    threads(std::move(threads)),
    n_threads(n_threads) {
    ctx.reset(ggml_init(
        { 2 * ggml_tensor_overhead() + ggml_graph_overhead_custom(2, false) + 64, nullptr, /*no_alloc =*/false }));
    const auto take = [](ggml_tensor *, int thread, int, void * team) {
        static_cast<thread_team *>(team)->take_items(size_t(thread));
    };
    ggml_tensor * node = ggml_custom_4d(ctx.get(), GGML_TYPE_I32, 1, 1, 1, 1, nullptr, 0, take, GGML_N_TASKS_MAX, this);
    graph              = ggml_new_graph_custom(ctx.get(), 2, false);
    ggml_build_forward_expand(graph, node);
}

void thread_team::take_items(size_t thread) {
    try {
        for (size_t i = next++; i < n_items; i = next++) {
            (*work)(i, thread);
        }
    } catch (...) {
        const std::lock_guard<std::mutex> guard(failing);
        failure = std::current_exception();
        next    = n_items;
    }
}

void thread_team::run(size_t n, const std::function<void(size_t, size_t)> & given) {
    work    = &given;
    n_items = n;
    next    = 0;
    failure = nullptr;
    if (n_threads == 1 || n == 1) {
        take_items(0);
    } else {
        ggml_cplan plan = ggml_graph_plan(graph, n_threads, threads.get());
        ggml_graph_compute(graph, &plan);
    }
    if (failure) {
        std::rethrow_exception(failure);
    }
}

}  // namespace ig
