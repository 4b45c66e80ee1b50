#include "support/file_state.h"

#ifdef _WIN32

#    include <chrono>
#    include <filesystem>
#    include <system_error>

namespace ig {

file_state state_of_path(const std::string & path) {
    const std::filesystem::path file = std::filesystem::u8path(path);
    std::error_code             failure;
    file_state                  state;
    const auto                  size = std::filesystem::file_size(file, failure);
    const auto changed = failure ? std::filesystem::file_time_type() : std::filesystem::last_write_time(file, failure);
    if (!failure) {
        state.size        = int64_t(size);
        state.nanoseconds = std::chrono::nanoseconds(changed.time_since_epoch()).count();
    }
    return state;
}

}  // namespace ig

#else

#    include <sys/stat.h>

namespace ig {

namespace {

file_state state_from(const struct stat & s) {
#    ifdef __APPLE__
    const timespec & changed = s.st_mtimespec;
#    else
    const timespec & changed = s.st_mtim;
#    endif
    return { uint64_t(s.st_dev), uint64_t(s.st_ino), int64_t(s.st_size), int64_t(changed.tv_sec),
             int64_t(changed.tv_nsec) };
}

}  // namespace

file_state state_of_path(const std::string & path) {
    struct stat s;
    return stat(path.c_str(), &s) == 0 ? state_from(s) : file_state();
}

file_state state_of_descriptor(int fd) {
    struct stat s;
    return fstat(fd, &s) == 0 ? state_from(s) : file_state();
}

}  // namespace ig

#endif
