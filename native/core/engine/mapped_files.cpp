#include "engine/mapped_files.h"

#include "ggml-backend.h"
#include "support/error.h"

#include <map>

#ifndef _WIN32

#    include <fcntl.h>
#    include <sys/mman.h>
#    include <unistd.h>

#    include <atomic>
#    include <cerrno>
#    include <csignal>
#    include <mutex>

// llama.cpp's; declared in no public header
const std::vector<std::pair<std::string, ggml_tensor *>> & llama_internal_get_tensor_map(const llama_model * model);

namespace ig {

// A range of mapped memory; free while `end` is 0.
struct mapped_range {
    std::atomic<uintptr_t> begin{ 0 }, end{ 0 };
    std::atomic<bool>      lost{ false };  // pages were lost
};

namespace {

// Files beyond this number are not watched. A signal handler may not wait, so it needs a fixed place to find them.
mapped_range mapped_ranges[256];
std::mutex   changing_ranges;

struct sigaction handled_before;
uintptr_t        page_size = 0;

void hand_on(int signal, siginfo_t * info, void * context) {
    if (handled_before.sa_flags & SA_SIGINFO) {
        handled_before.sa_sigaction(signal, info, context);
    } else if (handled_before.sa_handler != SIG_DFL && handled_before.sa_handler != SIG_IGN) {
        handled_before.sa_handler(signal);
    } else {
        sigaction(SIGBUS, &handled_before, nullptr);  // the access faults again
        if (info->si_code <= 0) {                     // sent by a process
            raise(signal);
        }
    }
}

void on_bus_error(int signal, siginfo_t * info, void * context) {
    const uintptr_t at       = reinterpret_cast<uintptr_t>(info->si_addr);
    const bool      is_fault = info->si_code == BUS_ADRERR;
    for (mapped_range & range : mapped_ranges) {
        const uintptr_t end = range.end.load();
        if (!is_fault || at < range.begin.load() || at >= end) {
            continue;
        }
        const int       kept = errno;
        const uintptr_t page = at / page_size * page_size;
        void *          zeros =
            mmap(reinterpret_cast<void *>(page), end - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        errno = kept;
        if (zeros != MAP_FAILED) {
            range.lost.store(true);
            return;
        }
    }
    hand_on(signal, info, context);
}

void handle_bus_errors() {
    static std::once_flag once;
    std::call_once(once, [] {
        page_size               = uintptr_t(sysconf(_SC_PAGESIZE));
        struct sigaction action = {};
        action.sa_sigaction     = on_bus_error;
        action.sa_flags         = SA_SIGINFO | SA_ONSTACK;
        sigemptyset(&action.sa_mask);
        sigaction(SIGBUS, &action, &handled_before);
    });
}

std::vector<std::string> parts_of(const llama_model * model, const std::string & path) {
    char text[16] = { 0 };
    llama_model_meta_val_str(model, "split.count", text, sizeof(text));
    const int32_t     n = std::atoi(text);
    std::vector<char> before(path.size() + 1), part(path.size() + 32);
    if (n <= 1 || llama_split_prefix(before.data(), before.size(), path.c_str(), 0, n) <= 0) {
        return { path };
    }
    std::vector<std::string> parts;
    for (int32_t i = 0; i < n; ++i) {
        llama_split_path(part.data(), part.size(), before.data(), i, n);
        parts.push_back(part.data());
    }
    return parts;
}

}  // namespace

mapped_files::mapped_files(const llama_model * model, const std::string & path) {
    std::map<const void *, size_t> mapped;  // each buffer's size, by its address
    for (const auto & named : llama_internal_get_tensor_map(model)) {
        ggml_backend_buffer_t buffer = named.second->buffer;
        if (buffer != nullptr && std::string(ggml_backend_buffer_name(buffer)) == "CPU_Mapped") {
            mapped[ggml_backend_buffer_get_base(buffer)] = ggml_backend_buffer_get_size(buffer);
        }
    }
    if (mapped.empty()) {
        return;
    }
    for (const std::string & part : parts_of(model, path)) {
        const int fd = open(part.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            files.push_back({ part, fd, state_of_descriptor(fd) });
        }
    }
    handle_bus_errors();
    for (const auto & buffer : mapped) {
        watch_range(buffer.first, buffer.second);
    }
}

mapped_files::~mapped_files() {
    for (mapped_range * range : ranges) {
        range->end.store(0);
    }
    for (const watched_file & file : files) {
        close(file.fd);
    }
}

void mapped_files::watch_range(const void * begin, size_t n_bytes) {
    const std::lock_guard<std::mutex> lock(changing_ranges);
    for (mapped_range & range : mapped_ranges) {
        if (range.end.load() == 0) {
            range.lost.store(false);
            range.begin.store(reinterpret_cast<uintptr_t>(begin));
            range.end.store(reinterpret_cast<uintptr_t>(begin) + n_bytes);
            ranges.push_back(&range);
            return;
        }
    }
}

void mapped_files::check() const {
    bool lost = false;
    for (const mapped_range * range : ranges) {
        lost = lost || range->lost.load();
    }
    for (const watched_file & file : files) {
        if (lost || state_of_descriptor(file.fd) != file.state) {
            throw error("INVALID_MODEL",
                        "expected " + file.path +
                            " to stay as it was while it is mapped, but it was changed in place; load "
                            "it again, and replace files by renaming new ones over them (or load with useMmap: false)");
        }
    }
}

}  // namespace ig

#else

namespace ig {

mapped_files::mapped_files(const llama_model *, const std::string &) {}

mapped_files::~mapped_files() = default;

void mapped_files::check() const {}

}  // namespace ig

#endif
