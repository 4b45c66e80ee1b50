// output_head.h owns a copy of a model's output matrix, read from its file, to compute logits from hidden states
// outside of a decode. It does not know how an architecture changes logits afterwards; the caller compares.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

struct ggml_context;
struct ggml_tensor;
struct ggml_backend;
struct ggml_backend_buffer;

namespace ig {

class output_head {
  public:
    // Throws UNSUPPORTED_MODEL if the file has no output matrix of this shape.
    output_head(const std::string & model_path, int32_t n_embd, int32_t n_vocab, int32_t n_threads);
    ~output_head();

    std::vector<float> logits(const std::vector<float> & hidden) const;  // [n, n_embd] -> [n, n_vocab]

  private:
    struct parts;

    int32_t                n_embd;
    int32_t                n_vocab;
    std::unique_ptr<parts> held;
};

}  // namespace ig
