#include "engine/llama_model.h"

#include "engine/graph_check.h"
#include "engine/llama_backend.h"
#include "hooks/stoppable_reading.h"
#include "support/error.h"
#include "support/unicode.h"
#include "support/utf8.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

#ifdef __linux__
#    include <pthread.h>
#endif

namespace ig {

namespace {

const int64_t cell_padding = 256;

int64_t round_up(int64_t value, int64_t unit) {
    return (value + unit - 1) / unit * unit;
}

const uint32_t visible_space = 0x2581;  // SentencePiece's sign for a space

bool is_blank(uint32_t c) {
    return c == visible_space || is_white_space(c);
}

std::vector<uint32_t> characters_of(const std::string & text) {
    std::string well_formed;
    utf8_stream().push(text, well_formed);
    std::vector<uint32_t> characters;
    for (size_t at = 0; at < well_formed.size();) {
        characters.push_back(next_character(well_formed, at));
    }
    return characters;
}

// User-defined tokens also include letters, words and runs of spaces, which mark no turn.
bool can_mark_turns(const std::vector<uint32_t> & characters) {
    const auto is_sign = [](uint32_t c) {
        return !is_word_character(c) && !is_blank(c);
    };
    return characters.size() > 1 && std::any_of(characters.begin(), characters.end(), is_sign);
}

struct load_watch {
    const cancel_flag &                cancel;
    const std::function<void(float)> & progress;
};

error refusal(const std::string & what, const std::string & path, const std::string & why) {
    const auto says = [&](const char * words) {
        return why.find(words) != std::string::npos;
    };
    const bool unknown = says("unknown model architecture") || says("unsupported model architecture");
    return { tells_of_memory(why) ? "OUT_OF_MEMORY" :
             unknown              ? "UNSUPPORTED_MODEL" :
                                    "INVALID_MODEL",
             "llama.cpp could not " + what + " " + path + ": " + why };
}

llama_load_mode load_mode(const model_options & options) {
    if (options.use_mlock) {
        return options.use_mmap ? LLAMA_LOAD_MODE_MMAP_MLOCK : LLAMA_LOAD_MODE_MLOCK;
    }
    return options.use_mmap ? LLAMA_LOAD_MODE_AUTO : LLAMA_LOAD_MODE_NONE;
}

// Longest run of one kind of character, as tokenizers' regular expressions match them. libstdc++ recurses once per
// matched character, which takes up to half a kilobyte of stack.
size_t most_in_a_row() {
#ifdef __linux__
    const size_t   bytes_each = 2048;
    size_t         stack      = 0;
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        pthread_attr_getstacksize(&attributes, &stack);
        pthread_attr_destroy(&attributes);
    }
    return stack / bytes_each;
#else
    return 4096;
#endif
}

char kind_of(uint32_t c) {
    return c >= '0' && c <= '9' ? 'd' : is_white_space(c) ? 's' : is_word_character(c) ? 'w' : 'o';
}

void check_rows(const std::string & text) {
    const size_t most = most_in_a_row();
    size_t       n    = 0;
    char         last = 0;
    for (size_t at = 0; text.size() > most && at < text.size();) {
        const char kind = kind_of(next_character(text, at));
        n               = kind == last ? n + 1 : 1;
        last            = kind;
        if (n > most) {
            throw error(
                "INVALID_PROMPT",
                format("expected a text with at most %zu letters, digits, spaces or signs in a row, which this model's "
                       "tokenizer can split; shorten them or put spaces in between",
                       most));
        }
    }
}

bool on_progress(float share, void * data) {
    const load_watch & watch = *static_cast<load_watch *>(data);
    watch.progress(share);
    return !watch.cancel.requested;
}

}  // namespace

loaded_model::loaded_model(const model_options &              options,
                           const cancel_flag &                cancel,
                           const std::function<void(float)> & progress) :
    file_path(options.path),
    loaded_file(state_of_path(options.path)) {
    init_llama_backend();
    check_model_file(options.path, options.purpose);
    std::vector<ggml_backend_dev_t> devices = choose_gpus(options.device, options.n_gpu_layers);
    gpus                                    = devices;
    backend_name                            = devices.empty() ? "CPU" : "";
    for (ggml_backend_dev_t device : devices) {
        backend_name += (backend_name.empty() ? "" : ", ") + std::string(ggml_backend_dev_name(device));
    }
    devices.push_back(nullptr);

    load_watch         watch           = { cancel, progress };
    llama_model_params params          = llama_model_default_params();
    params.devices                     = devices.data();
    params.n_gpu_layers                = devices.size() == 1 ? 0 : options.n_gpu_layers;
    params.load_mode                   = load_mode(options);
    params.lazy_mode                   = options.use_mmap ? LLAMA_LAZY_MODE_AUTO : LLAMA_LAZY_MODE_OFF;
    params.progress_callback           = on_progress;
    params.progress_callback_user_data = &watch;
    clear_llama_errors();
    try {
        model.reset(llama_model_load_from_file(options.path.c_str(), params));
    } catch (const std::exception & e) {
        throw refusal("load", options.path, e.what());
    }
    cancel.check();
    if (!model) {
        throw refusal("load", options.path, llama_errors());
    }
    files                = std::make_unique<mapped_files>(model.get(), options.path);
    const bool generates = options.purpose == PURPOSE_GENERATE;
    if (generates && (!llama_model_has_decoder(model.get()) || llama_model_has_encoder(model.get()) ||
                      llama_model_is_diffusion(model.get()) || llama_model_n_cls_out(model.get()) > 1)) {
        throw error("UNSUPPORTED_MODEL", "expected a model that generates text left to right, but " + options.path +
                                             " is an encoder, embedding or diffusion model");
    }
    vocab = llama_model_get_vocab(model.get());
    check_vocabulary(options.path);
    const int32_t n = llama_vocab_n_tokens(vocab);
    for (token_id token = 0; token < n; ++token) {
        ends.push_back(llama_vocab_is_eog(vocab, token));
        longest_piece = std::max(longest_piece, std::strlen(llama_vocab_get_text(vocab, token)));
    }
    pieces.resize(n);
    piece_is_known = std::vector<std::once_flag>(n);
    markers        = std::make_unique<marker_table>(read_markers());
    rules          = std::make_unique<markup>(*markers);
    rules->use_source(chat_template());
    check_step(options);
}

// Finds here, instead of in the first generation, what llama.cpp asserts about a model while it builds a step, and what
// its kernels cannot compute.
void loaded_model::check_step(const model_options & options) const {
    llama_context_params params = llama_context_default_params();
    params.n_ctx                = cell_padding;
    params.n_batch              = cell_padding;
    params.n_ubatch             = cell_padding;
    params.kv_unified           = true;
    params.pooling_type = options.purpose == PURPOSE_CLASSIFY ? LLAMA_POOLING_TYPE_RANK : LLAMA_POOLING_TYPE_NONE;
    clear_llama_errors();
    try {
        const llama_context_ptr context(llama_init_from_model(model.get(), params));
        if (!context) {
            throw std::runtime_error(llama_errors());
        }
        check_graph(context.get(), options.path);
    } catch (const error &) {
        throw;
    } catch (const std::exception & e) {
        throw refusal("make a step of", options.path, e.what());
    }
}

std::vector<token_id> loaded_model::tokenize(const std::string & text,
                                             bool                with_ends,
                                             const cancel_flag * cancel) const {
    const llama_stoppable_reading scope(cancel != nullptr ? &cancel->requested : nullptr);
    if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_BPE) {
        check_rows(text);
    }
    const auto cut = [&](std::vector<token_id> & tokens) {
        return llama_tokenize(vocab, text.data(), int32_t(text.size()), tokens.data(), int32_t(tokens.size()),
                              with_ends,
                              /*parse_special =*/false);
    };
    std::vector<token_id> tokens(text.size() + 8);
    try {
        int32_t n = cut(tokens);
        if (n < 0) {
            tokens.resize(-n);
            n = cut(tokens);
        }
        tokens.resize(n);
    } catch (const std::exception & e) {
        if (cancel != nullptr) {
            cancel->check();
        }
        throw error("INVALID_PROMPT", std::string("the model's tokenizer rejected the prompt: ") + e.what());
    }
    return tokens;
}

void loaded_model::expect_loaded_file() const {
    if (state_of_path(file_path) != loaded_file) {
        throw error("INVALID_MODEL",
                    "expected " + file_path +
                        " to be the file that was loaded, since its output matrix is read once more for "
                        "gradient steps on the hidden state, but it was changed or replaced; load the model again");
    }
}

// A piece's spelling has at least as many bytes as the text that it stands for.
uint64_t loaded_model::most_bytes(int64_t n_tokens) const {
    const enum llama_vocab_type type = llama_vocab_type(vocab);
    const uint64_t              most = std::numeric_limits<uint64_t>::max();
    if (type == LLAMA_VOCAB_TYPE_WPM || type == LLAMA_VOCAB_TYPE_UGM ||
        uint64_t(n_tokens) > most / (longest_piece + 1)) {
        return most;
    }
    return uint64_t(n_tokens) * longest_piece;
}

token_id loaded_model::beginning() const {
    return llama_vocab_get_add_bos(vocab) ? llama_vocab_bos(vocab) : -1;
}

const std::string & loaded_model::piece(token_id token) {
    std::call_once(piece_is_known[token], [&] {
        std::string bytes(64, '\0');
        int32_t     n = llama_token_to_piece(vocab, token, &bytes[0], int32_t(bytes.size()), 0, false);
        if (n < 0) {
            bytes.resize(-n);
            n = llama_token_to_piece(vocab, token, &bytes[0], int32_t(bytes.size()), 0, false);
        }
        bytes.resize(n);
        pieces[token] = std::make_unique<std::string>(bytes);
    });
    return *pieces[token];
}

std::string loaded_model::token_text(token_id token) const {
    return token >= 0 && token < n_vocab() ? llama_vocab_get_text(vocab, token) : "";
}

std::vector<marker> loaded_model::read_markers() const {
    const std::string   unknown = metadata("tokenizer.ggml.unknown_token_id");
    std::vector<marker> found;
    for (token_id token = 0; token < n_vocab(); ++token) {
        const llama_token_attr attributes = llama_vocab_get_attr(vocab, token);
        const auto             has        = [&](int attribute) {
            return (attributes & attribute) != 0;
        };
        if (!has(LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED | LLAMA_TOKEN_ATTR_UNKNOWN)) {
            continue;
        }
        const std::vector<uint32_t> characters = characters_of(token_text(token));
        const bool                  is_control = has(LLAMA_TOKEN_ATTR_CONTROL) || is_end(token);
        const bool turns = is_end(token) || token == llama_vocab_bos(vocab);  // even if it is also the unknown token
        const bool is_unknown = has(LLAMA_TOKEN_ATTR_UNKNOWN) || (unknown == std::to_string(token) && !turns);
        if (std::all_of(characters.begin(), characters.end(), is_blank) ||
            !(is_unknown || is_control || can_mark_turns(characters))) {
            continue;
        }
        const marker_kind kind = is_unknown ? MARKER_UNKNOWN : is_control ? MARKER_CONTROL : MARKER_DEFINED;
        found.push_back({ token, token_text(token), kind, has(LLAMA_TOKEN_ATTR_LSTRIP), has(LLAMA_TOKEN_ATTR_RSTRIP) });
    }
    return found;
}

std::string loaded_model::chat_template() const {
    const char * text = llama_model_chat_template(model.get(), nullptr);
    return text != nullptr ? text : "";
}

std::string loaded_model::metadata(const std::string & key) const {
    char value[256];
    return llama_model_meta_val_str(model.get(), key.c_str(), value, sizeof(value)) >= 0 ? value : "";
}

int64_t loaded_model::hyperparameter(const char * name) const {
    return std::strtoll(metadata(metadata("general.architecture") + "." + name).c_str(), nullptr, 10);
}

// llama.cpp asserts that there is a tokenizer, and that the tokens exist that it adds at both ends of every text.
void loaded_model::check_vocabulary(const std::string & path) const {
    if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE || llama_vocab_n_tokens(vocab) == 0) {
        throw error("UNSUPPORTED_MODEL", "expected a model with a tokenizer, but " + path + " has none");
    }
    const auto exists = [&](token_id token) {
        return token >= 0 && token < llama_vocab_n_tokens(vocab);
    };
    const auto expect = [&](bool valid, const char * what) {
        if (!valid) {
            throw error("INVALID_MODEL", "expected a vocabulary with a token that " + std::string(what) +
                                             " every text, but " + path + " has none; convert the model again");
        }
    };
    const bool has_pieces = llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_WPM;
    expect(!(llama_vocab_get_add_bos(vocab) || has_pieces) || exists(llama_vocab_bos(vocab)), "begins");
    expect(!llama_vocab_get_add_eos(vocab) || exists(llama_vocab_eos(vocab)), "ends");
    expect(!has_pieces || exists(llama_vocab_sep(vocab)), "closes");
}

// Models with two sets of rotary factors choose between them by the context's size. The size stays on one side of that
// border, so that a search's size does not change what the model computes.
int64_t loaded_model::context_cells(int64_t cells, int64_t least) const {
    const int64_t padded       = std::max<int64_t>(round_up(cells, cell_padding), least);
    const int64_t border       = hyperparameter("rope.scaling.original_context_length");
    const bool    has_two_sets = metadata(metadata("general.architecture") + ".rope.scaling.type") == "longrope";
    return has_two_sets ? std::max(padded, round_up(border + 1, cell_padding)) : padded;
}

// keys and values in half precision
uint64_t loaded_model::bytes_per_cell() const {
    const llama_model * m         = model.get();
    const int64_t       head_size = llama_model_n_embd(m) / std::max(1, llama_model_n_head(m));
    const int64_t       key       = hyperparameter("attention.key_length");
    const int64_t       value     = hyperparameter("attention.value_length");
    const uint64_t      per_head  = (key > 0 ? key : head_size) + (value > 0 ? value : head_size);
    return sizeof(uint16_t) * uint64_t(llama_model_n_layer(m)) * llama_model_n_head_kv(m) * per_head;
}

memory_need loaded_model::memory_for(int64_t cells, uint64_t available_bytes) const {
    uint64_t free_on_gpus = 0;
    for (ggml_backend_dev_t device : gpus) {
        size_t free = 0, total = 0;
        ggml_backend_dev_memory(device, &free, &total);
        free_on_gpus += free;
    }
    return { uint64_t(cells) * bytes_per_cell(), free_on_gpus > 0 ? free_on_gpus : available_bytes };
}

}  // namespace ig
