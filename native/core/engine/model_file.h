// model_file.h owns what can be learned from a GGUF file without loading it, and the checks that keep llama.cpp from
// aborting the process on a bad one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ig {

struct file_entry {
    std::string key;
    std::string type;
    std::string value;  // arrays: their first elements
};

struct file_tensor {
    std::string          name;
    std::string          type;
    std::vector<int64_t> shape;
};

struct model_file {
    uint32_t                 version;
    uint64_t                 data_offset;  // where the tensor data begins
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

// Throws INVALID_MODEL or UNSUPPORTED_MODEL unless llama.cpp can be trusted with the file, for this purpose.
void check_model_file(const std::string & path, model_purpose purpose);

}  // namespace ig
