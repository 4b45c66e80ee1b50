// llama_model.h owns one loaded model: its weights, its tokenizer and its devices' names. It outlives all of its
// decoders.
#pragma once

#include "engine/mapped_files.h"
#include "engine/markup.h"
#include "engine/model_file.h"
#include "llama-cpp.h"
#include "serving/decoder.h"
#include "support/file_state.h"

#include <functional>
#include <memory>
#include <mutex>

namespace ig {

struct model_options {
    std::string   path;
    std::string   device;                // "auto", "cpu" or a device's name
    int32_t       n_gpu_layers = -1;     // -1: as many as the device has room for
    bool          use_mmap     = true;   // if the device supports it; otherwise the file is read into memory
    bool          use_mlock    = false;  // keeps it in memory
    model_purpose purpose      = PURPOSE_GENERATE;
};

struct memory_need {
    uint64_t needed_bytes;
    uint64_t free_bytes;  // 0: unknown

    bool fits() const { return free_bytes == 0 || needed_bytes <= free_bytes; }

    double needed_gib() const { return double(needed_bytes) / (1 << 30); }

    double free_gib() const { return double(free_bytes) / (1 << 30); }
};

class loaded_model {
  public:
    // Throws MODEL_NOT_FOUND, INVALID_MODEL, UNSUPPORTED_MODEL, DEVICE_NOT_FOUND or ABORTED. `progress` gets 0..1.
    loaded_model(const model_options &              options,
                 const cancel_flag &                cancel,
                 const std::function<void(float)> & progress);

    // Tokenizes text without control tokens; user-defined tokens are recognised, see markup.h. with_ends adds the
    // tokens that begin and end every text of the model. Throws INVALID_PROMPT, or ABORTED soon after the flag (may be
    // null) is set.
    std::vector<token_id> tokenize(const std::string & text, bool with_ends, const cancel_flag * cancel) const;
    token_id              beginning() const;               // the token that begins every text; -1: none

    const markup & chat_markup() const { return *rules; }  // of the chat template

    // The size, in bytes, of the longest text that n_tokens tokens can hold. Unlimited for vocabularies that drop white
    // space or words.
    uint64_t most_bytes(int64_t n_tokens) const;

    bool is_end(token_id token) const { return ends[token]; }

    const std::string & piece(token_id token);  // from any thread
    std::string         token_text(token_id token) const;

    std::string chat_template() const;                    // empty: none
    std::string metadata(const std::string & key) const;  // empty: none

    llama_model * get() const { return model.get(); }

    std::string bos_text() const { return token_text(llama_vocab_bos(vocab)); }

    std::string eos_text() const { return token_text(llama_vocab_eos(vocab)); }

    int64_t trained_context() const { return llama_model_n_ctx_train(model.get()); }

    int32_t n_vocab() const { return int32_t(ends.size()); }

    const std::string & path() const { return file_path; }

    const std::string & backend() const { return backend_name; }

    ggml_backend_dev_t first_gpu() const { return gpus.empty() ? nullptr : gpus[0]; }  // null: the CPU

    // Memory for `cells` KV cells, and what is free on the model's GPUs or, on a CPU, in this process (0: unknown).
    memory_need memory_for(int64_t cells, uint64_t available_bytes) const;

    // The context's size for this many KV cells, at least `least`.
    int64_t context_cells(int64_t cells, int64_t least) const;

    // After every decode: throws INVALID_MODEL if a file that weights are mapped from was changed.
    void check_files() const { files->check(); }

    // Before and after the file is read again: throws INVALID_MODEL if its path leads to another file than was loaded.
    void expect_loaded_file() const;

    // A number from the metadata; the key follows the architecture's name. 0 if it is missing.
    int64_t hyperparameter(const char * name) const;

  private:
    void                check_vocabulary(const std::string & path) const;
    void                check_step(const model_options & options) const;
    std::vector<marker> read_markers() const;
    uint64_t            bytes_per_cell() const;

    llama_model_ptr                           model;
    std::unique_ptr<mapped_files>             files;
    const llama_vocab *                       vocab = nullptr;
    std::vector<bool>                         ends;
    size_t                                    longest_piece = 0;  // bytes
    std::unique_ptr<marker_table>             markers;
    std::unique_ptr<markup>                   rules;
    std::vector<std::unique_ptr<std::string>> pieces;  // filled on demand
    std::vector<std::once_flag>               piece_is_known;
    std::string                               file_path;
    file_state                                loaded_file;  // state of the file when it was loaded
    std::string                               backend_name;
    std::vector<ggml_backend_dev_t>           gpus;
};

}  // namespace ig
