#include "engine/llama_backend.h"

#include "llama.h"

#include <mutex>

namespace ig {

namespace {

const size_t max_kept = 2000; // characters

thread_local std::string kept_errors;
thread_local bool        continues_error = false;

void on_log(ggml_log_level level, const char * text, void *) {
    const bool keep = level == GGML_LOG_LEVEL_ERROR || (level == GGML_LOG_LEVEL_CONT && continues_error);
    continues_error = keep;
    if (keep && kept_errors.size() < max_kept) {
        kept_errors += text;
    }
}

const char * type_name(enum ggml_backend_dev_type type) {
    switch (type) {
        case GGML_BACKEND_DEVICE_TYPE_CPU:   return "cpu";
        case GGML_BACKEND_DEVICE_TYPE_GPU:   return "gpu";
        case GGML_BACKEND_DEVICE_TYPE_IGPU:  return "igpu";
        case GGML_BACKEND_DEVICE_TYPE_ACCEL: return "accelerator";
        default:                             return "other";
    }
}

}

const char * llama_cpp_version() { return LLAMA_CPP_VERSION; }

void init_llama_backend() {
    static std::once_flag once;
    std::call_once(once, [] {
        llama_log_set(on_log, nullptr);
        llama_backend_init();
    });
}

std::vector<device_info> list_devices() {
    init_llama_backend();
    std::vector<device_info> devices;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        size_t free = 0, total = 0;
        ggml_backend_dev_memory(device, &free, &total);
        devices.push_back({ ggml_backend_dev_name(device), ggml_backend_dev_description(device),
                            type_name(ggml_backend_dev_type(device)), free, total });
    }
    return devices;
}

void clear_llama_errors() { kept_errors.clear(); }

std::string llama_errors() {
    std::string text = kept_errors;
    while (!text.empty() && text.back() == '\n') {
        text.pop_back();
    }
    return text;
}

}
