// file_state.h owns the check whether a path or a descriptor still refers to the same file with the same content.
#pragma once

#include <cstdint>
#include <string>

namespace ig {

struct file_state {
    uint64_t device = 0, inode = 0;         // 0 on Windows
    int64_t  size    = -1;                  // bytes; -1: there is no file
    int64_t  seconds = 0, nanoseconds = 0;  // of the last change of its content

    bool operator==(const file_state & other) const {
        return device == other.device && inode == other.inode && size == other.size && seconds == other.seconds &&
               nanoseconds == other.nanoseconds;
    }

    bool operator!=(const file_state & other) const { return !(*this == other); }
};

file_state state_of_path(const std::string & path);
#ifndef _WIN32
file_state state_of_descriptor(int fd);
#endif

}  // namespace ig
