// Writes the logits of llama.cpp at every token of the lines on standard input: `logits model.gguf out.bin`; the token ids go
// to standard output, one line each.
#include "llama.h"

#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

static void ignore_log(ggml_log_level, const char *, void *) {}

int main(int argc, char ** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: logits model.gguf out.bin < lines\n");
        return 1;
    }
    llama_log_set(ignore_log, nullptr);
    llama_model * model = llama_model_load_from_file(argv[1], llama_model_default_params());
    std::FILE *   out   = std::fopen(argv[2], "wb");
    if (model == nullptr || out == nullptr) {
        std::fprintf(stderr, "cannot open the files\n");
        return 1;
    }
    const llama_vocab * vocab   = llama_model_get_vocab(model);
    const int32_t       n_vocab = llama_vocab_n_tokens(vocab);
    for (std::string line; std::getline(std::cin, line);) {
        std::vector<llama_token> tokens(llama_model_n_ctx_train(model));
        tokens.resize(llama_tokenize(vocab, line.data(), int32_t(line.size()), tokens.data(), int32_t(tokens.size()),
                                     true, false));
        llama_context_params params = llama_context_default_params();
        params.n_ctx = params.n_batch = params.n_ubatch = uint32_t(llama_model_n_ctx_train(model));
        params.n_threads = params.n_threads_batch = 1;
        params.flash_attn_type                    = LLAMA_FLASH_ATTN_TYPE_DISABLED;
        params.type_k = params.type_v = GGML_TYPE_F32;
        llama_context * context       = llama_init_from_model(model, params);
        llama_batch     batch         = llama_batch_init(int32_t(tokens.size()), 0, 1);
        batch.n_tokens                = int32_t(tokens.size());
        for (int32_t i = 0; i < batch.n_tokens; ++i) {
            batch.token[i]     = tokens[i];
            batch.pos[i]       = i;
            batch.n_seq_id[i]  = 1;
            batch.seq_id[i][0] = 0;
            batch.logits[i]    = true;
        }
        if (llama_decode(context, batch) != 0) {
            return 2;
        }
        for (int32_t i = 0; i < batch.n_tokens; ++i) {
            std::fwrite(llama_get_logits_ith(context, i), sizeof(float), size_t(n_vocab), out);
            std::printf("%d ", tokens[i]);
        }
        std::printf("\n");
        llama_batch_free(batch);
        llama_free(context);
    }
    std::fclose(out);
    llama_model_free(model);
}
