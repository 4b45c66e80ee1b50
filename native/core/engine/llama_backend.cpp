#include "engine/llama_backend.h"

#include "ggml-cpu.h"
#include "hooks/assertions.h"
#include "kernels/kernels.h"
#include "llama.h"
#include "support/error.h"

#include <mutex>

namespace ig {

namespace {

const size_t max_kept = 2000;  // characters

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
        case GGML_BACKEND_DEVICE_TYPE_CPU:
            return "cpu";
        case GGML_BACKEND_DEVICE_TYPE_GPU:
            return "gpu";
        case GGML_BACKEND_DEVICE_TYPE_IGPU:
            return "igpu";
        case GGML_BACKEND_DEVICE_TYPE_ACCEL:
            return "accelerator";
        default:
            return "other";
    }
}

std::vector<ggml_backend_dev_t> gpu_devices() {
    std::vector<ggml_backend_dev_t> found;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t               device = ggml_backend_dev_get(i);
        const enum ggml_backend_dev_type type   = ggml_backend_dev_type(device);
        if (type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU) {
            found.push_back(device);
        }
    }
    return found;
}

}  // namespace

const char * llama_cpp_version() {
    return LLAMA_CPP_VERSION;
}

void init_llama_backend() {
    static std::once_flag once;
    std::call_once(once, [] {
        llama_log_set(on_log, nullptr);
        ggml_watch_assertions();
        register_kernels();
        llama_backend_init();
    });
}

std::vector<device_info> list_devices() {
    init_llama_backend();
    std::vector<device_info> devices;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        size_t             free = 0, total = 0;
        ggml_backend_dev_memory(device, &free, &total);
        devices.push_back({ ggml_backend_dev_name(device), ggml_backend_dev_description(device),
                            type_name(ggml_backend_dev_type(device)), free, total });
    }
    return devices;
}

std::vector<ggml_backend_dev_t> choose_gpus(const std::string & device, int32_t n_gpu_layers) {
    if (device == "cpu" || n_gpu_layers == 0) {
        return {};
    }
    const std::vector<ggml_backend_dev_t> gpus = gpu_devices();
    if (device == "auto") {
        if (gpus.empty() && n_gpu_layers > 0) {
            throw error("DEVICE_NOT_FOUND",
                        format("expected a GPU for gpuLayers: %d, but this build and machine have none; "
                               "leave gpuLayers out or use a build with a GPU backend",
                               n_gpu_layers));
        }
        return gpus;
    }
    std::string known = "cpu";
    for (ggml_backend_dev_t gpu : gpus) {
        if (device == ggml_backend_dev_name(gpu)) {
            return { gpu };
        }
        known += std::string(", ") + ggml_backend_dev_name(gpu);
    }
    throw error("DEVICE_NOT_FOUND", "expected one of the devices auto, " + known + ", got \"" + device + "\"");
}

std::shared_ptr<ggml_threadpool> make_threads(int32_t n_threads) {
    ggml_threadpool_params params = ggml_threadpool_params_default(n_threads);
    params.poll                   = 1;  // a few milliseconds: longer than the time between two steps
    try {
        return std::shared_ptr<ggml_threadpool>(ggml_threadpool_new(&params), ggml_threadpool_free);
    } catch (const std::exception &) {
        throw error(
            "OUT_OF_MEMORY",
            format("the system allows no %d further threads; lower threads or dispose other guards first", n_threads));
    }
}

// llama.cpp's list of outputs, 4 bytes each, precedes a graph's tensors in the same buffer. If it does not fill its
// last cache line, no tensor begins on one, and AVX-512 and AMX take up to half as long again.
const uint32_t outputs_per_line = 16;

llama_context_ptr make_llama_context(llama_model *        model,
                                     llama_context_params params,
                                     ggml_threadpool *    threads,
                                     const cancel_flag ** cancel) {
    params.abort_callback = [](void * data) {
        const cancel_flag * flag = *static_cast<const cancel_flag **>(data);
        return flag != nullptr && flag->requested.load(std::memory_order_relaxed);
    };
    params.abort_callback_data = cancel;
    params.n_outputs_max       = (params.n_outputs_max + outputs_per_line - 1) / outputs_per_line * outputs_per_line;
    clear_llama_errors();
    llama_context_ptr context;
    try {
        context.reset(llama_init_from_model(model, params));
    } catch (const std::exception &) {
        return nullptr;
    }
    if (context) {
        llama_attach_threadpool(context.get(), threads, threads);
    }
    return context;
}

int32_t decode_batch(llama_context * context, const llama_batch & batch) {
    clear_llama_errors();
    try {
        const int32_t status = llama_decode(context, batch);
        llama_synchronize(context);
        return status;
    } catch (const std::exception & e) {
        kept_errors = e.what();
        return tells_of_memory(kept_errors) ? -2 : -3;
    }
}

bool tells_of_memory(const std::string & why) {
    const auto says = [&](const char * words) {
        return why.find(words) != std::string::npos;
    };
    return says("bad_alloc") || says("to allocate") || says("Cannot allocate memory") || says("mem_buffer != NULL");
}

void clear_llama_errors() {
    kept_errors.clear();
}

std::string llama_errors() {
    std::string text = kept_errors;
    while (!text.empty() && text.back() == '\n') {
        text.pop_back();
    }
    return text;
}

}  // namespace ig
