// llama_backend.h owns llama.cpp's per-process state (initialisation, log, devices) and the creation and calls of a
// context, through which no exception of llama.cpp passes. The log is silent. The last error lines of the calling
// thread can be read to explain a failure.
#pragma once

#include "ggml-backend.h"
#include "llama-cpp.h"
#include "support/cancel.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ig {

const int32_t tokens_per_decode = 512;  // per llama_decode

struct device_info {
    std::string name;
    std::string description;
    std::string type;  // "cpu", "gpu", "igpu" or "accelerator"
    uint64_t    free_bytes;
    uint64_t    total_bytes;
};

const char * llama_cpp_version();

// Safe to call from any thread, any number of times.
void init_llama_backend();

std::vector<device_info> list_devices();

// The GPUs for "auto" or a device's name; none for the CPU. Throws DEVICE_NOT_FOUND.
std::vector<ggml_backend_dev_t> choose_gpus(const std::string & device, int32_t n_gpu_layers);

// The threads that compute for all contexts of one native thread. Throws OUT_OF_MEMORY.
std::shared_ptr<struct ggml_threadpool> make_threads(int32_t n_threads);

// A context that computes on these threads and stops once *cancel (may be null) is requested. Null if llama.cpp cannot
// make one; llama_errors() say why.
llama_context_ptr make_llama_context(llama_model *            model,
                                     llama_context_params     params,
                                     struct ggml_threadpool * threads,
                                     const cancel_flag **     cancel);

// Calls llama_decode and waits for it. Returns 0 or its status; if it throws, -2 for lack of memory and -3 otherwise.
// llama_errors() say why.
int32_t decode_batch(llama_context * context, const llama_batch & batch);

// Whether a message of llama.cpp is about lack of memory. It gives reasons only in words.
bool tells_of_memory(const std::string & why);

// Clears or returns the error lines that llama.cpp logged on this thread.
void        clear_llama_errors();
std::string llama_errors();

}  // namespace ig
