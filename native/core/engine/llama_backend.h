// llama_backend.h owns what llama.cpp keeps once per process: its initialisation, its log and its devices. The log is
// silent; the last error lines of the calling thread can be read to explain a failure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ig {

struct device_info {
    std::string name;
    std::string description;
    std::string type; // "cpu", "gpu", "igpu" or "accelerator"
    uint64_t    free_bytes;
    uint64_t    total_bytes;
};

const char * llama_cpp_version();

// Safe to call from any thread, any number of times.
void init_llama_backend();

std::vector<device_info> list_devices();

// Forgets or returns the error lines that llama.cpp logged on this thread.
void        clear_llama_errors();
std::string llama_errors();

}
