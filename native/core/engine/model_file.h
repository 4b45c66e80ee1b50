// model_file.h owns the information in a GGUF file that is available without loading it, and the checks that keep
// llama.cpp from aborting the process on a bad file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ig {

struct file_entry {
    std::string key;
    std::string type;
    std::string value;  // of an array, the first elements
};

struct file_tensor {
    std::string          name;
    std::string          type;
    std::vector<int64_t> shape;
};

struct model_file {
    uint32_t                 version;
    uint64_t                 data_offset;  // start of the tensor data
    uint64_t                 n_bytes;
    std::vector<file_entry>  entries;
    std::vector<file_tensor> tensors;
};

// Throws MODEL_NOT_FOUND or INVALID_MODEL.
model_file read_model_file(const std::string & path);

enum model_purpose {
    PURPOSE_GENERATE,  // generates text left to right
    PURPOSE_CLASSIFY,  // has a classification head
};

// Throws INVALID_MODEL or UNSUPPORTED_MODEL unless llama.cpp can safely load the file for this purpose.
void check_model_file(const std::string & path, model_purpose purpose);

}  // namespace ig
