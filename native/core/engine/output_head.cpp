#include "engine/output_head.h"

#include "ggml-cpp.h"
#include "ggml-cpu.h"
#include "support/error.h"

#include <filesystem>
#include <fstream>

namespace ig {

struct output_head::parts {
    ggml_backend_ptr        backend;
    ggml_context_ptr        ctx;
    ggml_backend_buffer_ptr buffer;
    ggml_gallocr_ptr        allocator;
    ggml_tensor *           matrix = nullptr;  // [n_embd, n_vocab]
};

output_head::output_head(const std::string & model_path, int32_t n_embd, int32_t n_vocab, int32_t n_threads) :
    n_embd(n_embd),
    n_vocab(n_vocab),
    held(std::make_unique<parts>()) {
    ggml_context *         described = nullptr;
    const gguf_context_ptr gguf(gguf_init_from_file(model_path.c_str(), { /*no_alloc =*/true, &described }));
    held->ctx.reset(described);
    const auto fail = [&](const char * what) {
        throw error("UNSUPPORTED_MODEL",
                    format("expected an output matrix of %d x %d in %s for gradient steps on the hidden state: %s",
                           n_embd, n_vocab, model_path.c_str(), what));
    };
    if (!gguf || described == nullptr) {
        fail("the file could not be read again");
    }
    ggml_tensor * found = ggml_get_tensor(described, "output.weight");
    if (found == nullptr) {
        found = ggml_get_tensor(described, "token_embd.weight");  // tied to the embeddings
    }
    if (found == nullptr) {
        fail("it has none; a model in several files is not supported");
    }
    if (found->ne[0] != n_embd || found->ne[1] != n_vocab || ggml_n_dims(found) > 2) {
        fail("it has another shape");
    }
    const std::string name = found->name;
    const ggml_type   type = found->type;
    held->ctx.reset(ggml_init({ ggml_tensor_overhead(), nullptr, /*no_alloc =*/true }));
    held->matrix = ggml_new_tensor_2d(held->ctx.get(), type, n_embd, n_vocab);
    held->backend.reset(ggml_backend_cpu_init());
    ggml_backend_cpu_set_n_threads(held->backend.get(), n_threads);
    held->buffer.reset(ggml_backend_alloc_ctx_tensors(held->ctx.get(), held->backend.get()));
    held->allocator.reset(ggml_gallocr_new(ggml_backend_get_default_buffer_type(held->backend.get())));
    if (!held->buffer) {
        throw error("OUT_OF_MEMORY", "there is not enough memory for a copy of the output matrix");
    }
    std::vector<char> bytes(ggml_nbytes(held->matrix));
    std::ifstream     file(std::filesystem::u8path(model_path), std::ios::binary);
    file.seekg(std::streamoff(gguf_get_data_offset(gguf.get()) +
                              gguf_get_tensor_offset(gguf.get(), gguf_find_tensor(gguf.get(), name.c_str()))));
    if (!file.read(bytes.data(), std::streamsize(bytes.size()))) {
        fail("the file ends before it");
    }
    ggml_backend_tensor_set(held->matrix, bytes.data(), 0, bytes.size());
}

output_head::~output_head() = default;

std::vector<float> output_head::logits(const std::vector<float> & hidden) const {
    const int64_t          n     = int64_t(hidden.size()) / n_embd;
    const size_t           bytes = 4 * ggml_tensor_overhead() + ggml_graph_overhead();
    const ggml_context_ptr ctx(ggml_init({ bytes, nullptr, /*no_alloc =*/true }));
    ggml_tensor *          h = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, n_embd, n);
    ggml_set_input(h);
    ggml_tensor * out = ggml_mul_mat(ctx.get(), held->matrix, h);
    ggml_set_output(out);
    ggml_cgraph * graph = ggml_new_graph(ctx.get());
    ggml_build_forward_expand(graph, out);
    if (!ggml_gallocr_alloc_graph(held->allocator.get(), graph)) {
        throw error("OUT_OF_MEMORY", "there is not enough memory for the output matrix to be applied");
    }
    ggml_backend_tensor_set(h, hidden.data(), 0, ggml_nbytes(h));
    if (ggml_backend_graph_compute(held->backend.get(), graph) != GGML_STATUS_SUCCESS) {
        throw error("DECODE_FAILED", "the output matrix could not be applied");
    }
    std::vector<float> result(size_t(n) * size_t(n_vocab));
    ggml_backend_tensor_get(out, result.data(), 0, ggml_nbytes(out));
    return result;
}

}  // namespace ig
