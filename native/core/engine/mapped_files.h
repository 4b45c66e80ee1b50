// mapped_files.h owns the files that a loaded model's weights are mapped from, and checks that they have not changed
// since. Replacing a file in place changes the weights. Truncating it removes pages, and a process that reads them ends
// (SIGBUS). Here, such a page is replaced by zeros and the loss is noted; results computed with it become an error
// before they are used. Renaming another file over it is safe: existing mappings keep the old file. Weights in the
// process's memory or on a GPU are not watched; neither are files on Windows, which does not let anyone truncate a
// mapped file.
#pragma once

#include "llama-cpp.h"
#include "support/file_state.h"

#include <string>
#include <vector>

namespace ig {

struct mapped_range;

class mapped_files {
  public:
    // For a model that was just loaded from `path`. It must be destroyed before the model.
    mapped_files(const llama_model * model, const std::string & path);
    ~mapped_files();
    mapped_files(const mapped_files &)             = delete;
    mapped_files & operator=(const mapped_files &) = delete;

    // After every computation with the weights: throws INVALID_MODEL if a file was changed.
    void check() const;

  private:
    struct watched_file {
        std::string path;
        int         fd;
        file_state  state;
    };

    std::vector<watched_file>   files;
    std::vector<mapped_range *> ranges;  // in the list that the signal handler reads

    void watch_range(const void * begin, size_t n_bytes);
};

}  // namespace ig
