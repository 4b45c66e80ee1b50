// mapped_files.h owns the files that the weights of a loaded model are mapped from: whether they are still as they were when it was loaded.
// Whoever replaces one in place changes the weights, and whoever cuts one off takes pages away, which ends a process that reads them
// (SIGBUS). Such a page is replaced by one of zeros, and the loss is noted; what was computed with it is an error before anything of it is
// used. A file that is replaced by renaming another one over it stays as it was for those that have mapped it. Where weights lie in memory
// of the process or on a GPU nothing is watched; on Windows neither, which lets nobody cut off a mapped file.
#pragma once

#include "llama-cpp.h"
#include "support/file_state.h"

#include <string>
#include <vector>

namespace ig {

struct mapped_range;

class mapped_files {
  public:
    // Of a model that was just loaded from `path`. It must be gone before the model is.
    mapped_files(const llama_model * model, const std::string & path);
    ~mapped_files();
    mapped_files(const mapped_files &)             = delete;
    mapped_files & operator=(const mapped_files &) = delete;

    // Throws INVALID_MODEL where a file was changed. To be called after everything that was computed with the weights.
    void check() const;

  private:
    struct watched_file {
        std::string path;
        int         fd;
        file_state  state;
    };

    std::vector<watched_file>   files;
    std::vector<mapped_range *> ranges;  // of memory, in the list that the signal's handler looks at

    void watch_range(const void * begin, size_t n_bytes);
};

}  // namespace ig
