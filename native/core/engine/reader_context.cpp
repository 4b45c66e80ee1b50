#include "engine/reader_context.h"

#include "engine/llama_backend.h"
#include "support/canonical_form.h"
#include "support/unicode.h"
#include "support/utf8.h"

#include <algorithm>

namespace ig {

namespace {

// XLM-R splits at all white space, llama.cpp at the characters that the model's character table maps to a space.
// Control characters are left to that table.
std::string with_plain_spaces(const std::string & text) {
    std::string plain;
    for (size_t at = 0; at < text.size();) {
        const uint32_t c = next_character(text, at);
        append_utf8(plain, c > ' ' && is_white_space(c) ? ' ' : c);
    }
    return plain;
}

}  // namespace

reader_context::reader_context(std::shared_ptr<loaded_model>    given,
                               std::shared_ptr<ggml_threadpool> threads,
                               int32_t                          n_threads,
                               text_output                      output) :
    model(std::move(given)),
    threads(std::move(threads)),
    n_threads(n_threads),
    output(output),
    pooling(output == OUTPUT_CLASSES ? LLAMA_POOLING_TYPE_RANK : LLAMA_POOLING_TYPE_NONE) {
    const enum llama_vocab_type vocabulary = llama_vocab_type(llama_model_get_vocab(model->get()));
    if (vocabulary == LLAMA_VOCAB_TYPE_WPM) {
        pieces = std::make_unique<word_pieces>(*model);
    } else if (vocabulary == LLAMA_VOCAB_TYPE_UGM) {
        prepare = with_plain_spaces;
    } else if (model->metadata("tokenizer.ggml.pre") == "modern-bert") {
        prepare = composed_form;
    }
}

reader_context::~reader_context() {
    if (batch.token != nullptr) {
        llama_batch_free(batch);
    }
}

int32_t reader_context::width() const {
    switch (output) {
        case OUTPUT_LOGITS:
            return model->n_vocab();
        case OUTPUT_HIDDEN:
            return llama_model_n_embd_out(model->get());
        case OUTPUT_CLASSES:
            return int32_t(llama_model_n_cls_out(model->get()));
    }
    return 0;
}

text_classes reader_context::classes() const {
    text_classes found;
    for (uint32_t i = 0; i < llama_model_n_cls_out(model->get()); ++i) {
        const char * name = llama_model_cls_label(model->get(), i);
        found.names.push_back(name != nullptr ? name : "LABEL_" + std::to_string(i));
    }
    found.independent       = model->metadata("inferenceguard.classifier.multi_label") == "true";
    found.are_probabilities = pooling == LLAMA_POOLING_TYPE_RANK;
    return found;
}

token_id reader_context::beginning() const {
    return model->beginning();
}

std::vector<token_id> reader_context::tokenize(const std::string & text,
                                               bool                with_ends,
                                               const cancel_flag * cancel) const {
    if (cancel != nullptr) {
        cancel->check();
    }
    if (pieces) {
        return pieces->tokenize(text, with_ends);
    }
    const std::string read = prepare != nullptr ? prepare(text) : text;
    if (read.size() > model->most_bytes(model->trained_context())) {
        throw error(
            "TEXT_TOO_LONG",
            format("expected prompt and response within the %lld tokens that the model which judges them was trained "
                   "with, got %zu bytes of text; shorten the prompt, lower maxTokens or choose another model",
                   (long long) model->trained_context(), read.size()));
    }
    return model->tokenize(read, with_ends, cancel);
}

void reader_context::make_context(const batch_shape & wanted) {
    context.reset();
    if (batch.token != nullptr) {
        llama_batch_free(batch);
        batch = {};
    }
    shape                  = { 0, 0, 0, 0 };
    const memory_need need = model->memory_for(wanted.n_cells, available_bytes);
    if (!need.fits()) {
        throw error(
            "KV_CAPACITY",
            format("a model that judges texts needs %.1f GiB of KV cache, but %.1f GiB of memory are free; lower "
                   "candidates, maxTokens or the length of the prompt",
                   need.needed_gib(), need.free_gib()));
    }
    llama_context_params params = llama_context_default_params();
    params.n_ctx                = uint32_t(wanted.n_cells);
    params.n_batch              = uint32_t(wanted.n_tokens);
    params.n_ubatch             = uint32_t(wanted.n_tokens);
    params.n_seq_max            = uint32_t(wanted.n_sequences);
    params.n_outputs_max        = uint32_t(wanted.n_outputs);
    params.n_threads            = n_threads;
    params.n_threads_batch      = n_threads;
    params.kv_unified           = true;
    params.pooling_type         = pooling;
    params.embeddings           = false;
    context                     = make_llama_context(model->get(), params, threads.get(), &cancel);
    if (!context) {
        throw error("KV_CAPACITY",
                    format("llama.cpp could not create a context of %lld KV cells for a model that judges texts: %s",
                           (long long) wanted.n_cells, llama_errors().c_str()));
    }
    batch = llama_batch_init(wanted.n_tokens, 0, wanted.n_sequences);
    shape = wanted;
}

void reader_context::add_to_batch(token_id                    token,
                                  int32_t                     position,
                                  const std::vector<seq_id> & sequences,
                                  bool                        with_output) {
    const int32_t i   = batch.n_tokens++;
    batch.token[i]    = token;
    batch.pos[i]      = position;
    batch.n_seq_id[i] = int32_t(sequences.size());
    std::copy(sequences.begin(), sequences.end(), batch.seq_id[i]);
    batch.logits[i] = with_output;
}

bool reader_context::compute() {
    if (cancel != nullptr) {
        cancel->check();
    }
    const int32_t status = decode_batch(context.get(), batch);
    model->check_files();
    if (status == 0) {
        return true;
    }
    if (status == 1) {
        return false;
    }
    if (cancel != nullptr) {
        cancel->check();
    }
    switch (status) {
        case -1:
            throw error("INTERNAL", "llama.cpp rejected a batch of texts: " + llama_errors());
        case -2:
            throw error("OUT_OF_MEMORY", "llama.cpp could not allocate memory for judging texts; lower candidates");
        default:
            throw error("DECODE_FAILED",
                        format("llama.cpp failed to judge texts (%d): %s", status, llama_errors().c_str()));
    }
}

void reader_context::check(const std::vector<token_sequence> & sequences) const {
    for (const token_sequence & s : sequences) {
        if (s.tokens.empty() || s.n_outputs == 0 || s.n_outputs > s.tokens.size() || s.n_kept > s.tokens.size()) {
            throw error("INTERNAL", "a text without tokens was to be judged");
        }
        for (token_id token : s.tokens) {
            if (token < 0 || token >= model->n_vocab()) {
                throw error("INVALID_MODEL",
                            "expected a vocabulary with a token for every part of a text, but the model that judges "
                            "texts has none for a part of one; convert the model again");
            }
        }
        if (int64_t(s.tokens.size()) > model->trained_context()) {
            throw error(
                "TEXT_TOO_LONG",
                format(
                    "expected prompt and response within the %lld tokens that the model which judges them was trained "
                    "with, got %zu; shorten the prompt, lower maxTokens or choose another model",
                    (long long) model->trained_context(), s.tokens.size()));
        }
    }
}

const float * reader_context::pooled_row(seq_id sequence) const {
    const float * row = llama_get_embeddings_seq(context.get(), sequence);
    if (row == nullptr) {
        throw error("INTERNAL", "llama.cpp gave no classes of a text");
    }
    return row;
}

}  // namespace ig
