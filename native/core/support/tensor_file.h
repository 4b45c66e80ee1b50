// tensor_file.h owns the format of the files that this project writes: GGUF with a kind, a format version, numbers,
// texts and tensors under the prefix "inferenceguard.". Everything read is checked first. A truncated, damaged or
// hostile file is an error with the caller's error code, never a crash.
#pragma once

#include "ggml-cpp.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ig {

// in the file's own encoding
struct packed_tensor {
    ggml_type         type = GGML_TYPE_F32;
    std::vector<char> bytes;
};

class tensor_file {
  public:
    tensor_file(const std::string & path, const std::string & kind, const std::string & error_code);

    // A GGUF file of any origin, for its tensors.
    tensor_file(const std::string & path, const std::string & error_code);

    double              number(const char * key) const;
    double              integer(const char * key, double least, double most) const;
    std::vector<double> numbers(const char * key) const;
    std::string         text(const char * key) const;

    // Empty if there are none: GGUF's own writer omits empty lists.
    std::vector<std::string> texts(const char * key) const;

    bool has_numbers(const char * key) const;
    bool has_tensor(const std::string & name) const;

    // Fastest dimension first; missing dimensions are 1.
    std::vector<int64_t> shape(const std::string & name) const;

    // A tensor of this shape (fastest dimension first), in any type that ggml can unpack, with finite values.
    std::vector<float> tensor(const std::string & name, const std::vector<int64_t> & shape) const;
    packed_tensor      packed(const std::string & name, const std::vector<int64_t> & shape) const;

    // Throws this file's error; `what` says what is wrong with it.
    [[noreturn]] void fail(const std::string & what) const;

  private:
    std::string      path;
    std::string      error_code;
    gguf_context_ptr gguf;
    uint64_t         n_bytes = 0;

    int64_t            tensor_id(const std::string & name) const;
    packed_tensor      read(const std::string & name, const std::vector<int64_t> & shape) const;
    std::vector<float> unpacked(const std::string & name, const packed_tensor & packed) const;
};

struct named_text {
    std::string key, value;
};

struct named_numbers {
    std::string         key;
    std::vector<double> values;
    bool                is_list;
};

struct named_tensor {
    std::string          name;
    std::vector<int64_t> shape;  // fastest dimension first
    std::vector<float>   values;
    bool                 half;   // stored as f16
};

// Rounds the values as storing them as f16 does.
void round_to_half(std::vector<float> & values);

// Returns the file's size in bytes. Throws WRITE_FAILED.
uint64_t write_tensor_file(const std::string &                path,
                           const std::string &                kind,
                           const std::vector<named_text> &    texts,
                           const std::vector<named_numbers> & numbers,
                           const std::vector<named_tensor> &  tensors);

}  // namespace ig
