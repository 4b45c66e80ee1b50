#include "engine/model_file.h"

#include "ggml-cpp.h"
#include "support/error.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <unordered_set>

namespace ig {

namespace {

const size_t   shown_elements  = 8;
// llama.cpp asserts on these (LLAMA_MAX_LAYERS, LLAMA_MAX_EXPERTS)
const uint32_t max_layers      = 512;
const uint32_t max_experts     = 1024;
// bounds the search for duplicates, which compares all pairs
const uint64_t max_entries     = 1 << 14;
const uint64_t max_tensors     = 1 << 15;
const size_t   least_alignment = 32;  // for what llama.cpp computes on the file's mapped memory

struct opened_file {
    gguf_context_ptr gguf;
    uint64_t         n_bytes = 0;
};

[[noreturn]] void invalid(const std::string & path, const std::string & what) {
    throw error("INVALID_MODEL", "expected a GGUF model, but " + path + " " + what +
                                     "; download the file again or choose another model");
}

opened_file open_file(const std::string & path) {
    namespace fs = std::filesystem;
    std::error_code       failure;
    const fs::path        file   = fs::u8path(path);
    const fs::file_status status = fs::status(file, failure);
    if (failure || !fs::exists(status)) {
        throw error("MODEL_NOT_FOUND", "expected a model file, but there is no file at " + path + "; check the path");
    }
    if (!fs::is_regular_file(status)) {
        throw error("MODEL_NOT_FOUND", "expected a model file, but " + path + " is not a file; check the path");
    }
    opened_file opened;
    opened.n_bytes = fs::file_size(file, failure);

    struct {
        char     magic[4]  = { 0 };
        uint32_t version   = 0;
        uint64_t n_tensors = 0;
        uint64_t n_entries = 0;
    } head;

    std::ifstream(file, std::ios::binary).read(reinterpret_cast<char *>(&head), sizeof(head));
    if (failure || std::string(head.magic, sizeof(head.magic)) != GGUF_MAGIC) {
        invalid(path, opened.n_bytes == 0 ? "is empty" : "does not start with the GGUF magic");
    }
    if (head.n_entries > max_entries || head.n_tensors > max_tensors) {
        invalid(path, format("has more than %llu metadata entries or %llu tensors", (unsigned long long) max_entries,
                             (unsigned long long) max_tensors));
    }
    opened.gguf.reset(gguf_init_from_file(path.c_str(), { /*no_alloc =*/true, /*ctx =*/nullptr }));
    if (!opened.gguf) {
        invalid(path, "has a damaged header");
    }
    return opened;
}

template <typename T> std::string number(T value) {
    return std::to_string(value);
}

std::string element(gguf_type type, const void * data, size_t i) {
    switch (type) {
        case GGUF_TYPE_UINT8:
            return number(static_cast<const uint8_t *>(data)[i]);
        case GGUF_TYPE_INT8:
            return number(static_cast<const int8_t *>(data)[i]);
        case GGUF_TYPE_UINT16:
            return number(static_cast<const uint16_t *>(data)[i]);
        case GGUF_TYPE_INT16:
            return number(static_cast<const int16_t *>(data)[i]);
        case GGUF_TYPE_UINT32:
            return number(static_cast<const uint32_t *>(data)[i]);
        case GGUF_TYPE_INT32:
            return number(static_cast<const int32_t *>(data)[i]);
        case GGUF_TYPE_UINT64:
            return number(static_cast<const uint64_t *>(data)[i]);
        case GGUF_TYPE_INT64:
            return number(static_cast<const int64_t *>(data)[i]);
        case GGUF_TYPE_FLOAT32:
            return format("%g", double(static_cast<const float *>(data)[i]));
        case GGUF_TYPE_FLOAT64:
            return format("%g", static_cast<const double *>(data)[i]);
        case GGUF_TYPE_BOOL:
            return static_cast<const int8_t *>(data)[i] ? "true" : "false";
        default:
            return "";
    }
}

file_entry entry_at(const gguf_context * gguf, int64_t i) {
    file_entry entry;
    entry.key            = gguf_get_key(gguf, i);
    const gguf_type type = gguf_get_kv_type(gguf, i);
    entry.type           = gguf_type_name(type);
    if (type == GGUF_TYPE_STRING) {
        entry.value = gguf_get_val_str(gguf, i);
        return entry;
    }
    if (type != GGUF_TYPE_ARRAY) {
        entry.value = element(type, gguf_get_val_data(gguf, i), 0);
        return entry;
    }
    const gguf_type of = gguf_get_arr_type(gguf, i);
    const size_t    n  = gguf_get_arr_n(gguf, i);
    entry.type         = format("%s[%zu]", gguf_type_name(of), n);
    for (size_t k = 0; k < n && k < shown_elements; ++k) {
        entry.value += k == 0 ? "" : ", ";
        entry.value +=
            of == GGUF_TYPE_STRING ? gguf_get_arr_str(gguf, i, k) : element(of, gguf_get_arr_data(gguf, i), k);
    }
    entry.value += n > shown_elements ? ", …" : "";
    return entry;
}

std::string string_value(const gguf_context * gguf, const std::string & key) {
    const int64_t id = gguf_find_key(gguf, key.c_str());
    return id >= 0 && gguf_get_kv_type(gguf, id) == GGUF_TYPE_STRING ? gguf_get_val_str(gguf, id) : "";
}

// the values of a 32-bit key, a single number or an array; empty if it is missing
std::vector<uint32_t> count_values(const gguf_context * gguf, const std::string & path, const std::string & key) {
    const int64_t id = gguf_find_key(gguf, key.c_str());
    if (id < 0) {
        return {};
    }
    const bool      array = gguf_get_kv_type(gguf, id) == GGUF_TYPE_ARRAY;
    const gguf_type type  = array ? gguf_get_arr_type(gguf, id) : gguf_get_kv_type(gguf, id);
    if (type != GGUF_TYPE_UINT32 && type != GGUF_TYPE_INT32) {
        invalid(path, "has no valid " + key);
    }
    const uint32_t * values =
        static_cast<const uint32_t *>(array ? gguf_get_arr_data(gguf, id) : gguf_get_val_data(gguf, id));
    return { values, values + (array ? gguf_get_arr_n(gguf, id) : 1) };
}

// the largest of the values; 0 if there are none
uint32_t count_value(const gguf_context * gguf, const std::string & path, const std::string & key) {
    const std::vector<uint32_t> values = count_values(gguf, path, key);
    return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

void expect(bool valid, const std::string & path, const std::string & key) {
    if (!valid) {
        invalid(path, "has no valid " + key);
    }
}

// the value of a single-precision key, or `otherwise`
float real_value(const gguf_context * gguf, const std::string & key, float otherwise) {
    const int64_t id = gguf_find_key(gguf, key.c_str());
    return id >= 0 && gguf_get_kv_type(gguf, id) == GGUF_TYPE_FLOAT32 ? gguf_get_val_f32(gguf, id) : otherwise;
}

// llama.cpp computes with counts as signed 32-bit numbers
void check_counts(const gguf_context * gguf, const std::string & path, const std::string & arch) {
    for (int64_t i = 0; i < gguf_get_n_kv(gguf); ++i) {
        const std::string key = gguf_get_key(gguf, i);
        const bool        is_count =
            key.compare(0, arch.size() + 1, arch + ".") == 0 && gguf_get_kv_type(gguf, i) == GGUF_TYPE_UINT32;
        expect(!is_count || gguf_get_val_u32(gguf, i) <= uint32_t(INT32_MAX), path, key);
    }
}

// Layers without attention have no heads; those with linear attention have none for keys and values.
void check_heads(const gguf_context * gguf, const std::string & path, const std::string & arch) {
    const std::vector<uint32_t> heads    = count_values(gguf, path, arch + ".attention.head_count");
    const std::vector<uint32_t> kv_heads = count_values(gguf, path, arch + ".attention.head_count_kv");
    for (size_t i = 0; i < std::max(heads.size(), kv_heads.size()) && !heads.empty() && !kv_heads.empty(); ++i) {
        const uint32_t n    = heads[std::min(i, heads.size() - 1)];
        const uint32_t n_kv = kv_heads[std::min(i, kv_heads.size() - 1)];
        if (n_kv > 0 && n % n_kv != 0) {
            invalid(path, format("has %u heads of attention on %u of keys and values, which do not share them evenly",
                                 n, n_kv));
        }
    }
}

// llama.cpp's assertions while it reads the hyperparameters, or computes with them
void check_hyperparameters(const gguf_context * gguf, const std::string & path, const std::string & arch) {
    const auto count = [&](const char * name) {
        return count_value(gguf, path, arch + name);
    };
    const uint32_t n_layer       = count(".block_count");
    const uint32_t n_expert      = count(".expert_count");
    const uint32_t n_used        = count(".expert_used_count");
    const uint32_t n_groups      = count(".expert_group_count");
    const uint32_t n_groups_used = count(".expert_group_used_count");
    expect(n_layer > 0 && n_layer <= max_layers, path, arch + ".block_count");
    expect(count(".nextn_predict_layers") <= n_layer, path, arch + ".nextn_predict_layers");
    expect(n_expert <= max_experts, path, arch + ".expert_count");
    expect(n_expert == 0 ? n_used == 0 : n_used > 0 && n_used <= n_expert, path, arch + ".expert_used_count");
    expect(n_groups == 0 || n_groups < n_expert, path, arch + ".expert_group_count");
    for (const char * name : { ".attention.layer_norm_epsilon", ".attention.layer_norm_rms_epsilon" }) {
        expect(real_value(gguf, arch + name, 0) >= 0, path, arch + name);
    }
    const std::string           rope_scaling   = string_value(gguf, arch + ".rope.scaling.type");
    const std::set<std::string> known_scalings = { "", "none", "linear", "yarn", "longrope" };
    expect(known_scalings.count(rope_scaling) == 1, path, arch + ".rope.scaling.type");
    const bool grouped = n_groups > 1;
    expect(!grouped || (n_expert % n_groups == 0 && n_groups_used > 0 && n_groups_used < n_groups), path,
           arch + ".expert_group_used_count");
}

}  // namespace

namespace {

const std::string converting = "; convert its Hugging Face folder with `inferenceguard convert FOLDER --out x.gguf`";

// Checks the dense layer before the classes. llama.cpp's converter drops that of BertForSequenceClassification, and
// llama.cpp applies tanh where DistilBERT has ReLU. A file that names the activation was made with both in mind.
void check_head(const gguf_context * gguf, const std::string & path, const std::string & arch) {
    const std::string activation = string_value(gguf, "inferenceguard.classifier.activation");
    const std::string before     = "expected a sequence classifier with its whole head, but " + path;
    const auto        lacks      = [&](const char * name) {
        return gguf_find_tensor(gguf, name) < 0;
    };
    if (lacks("cls.weight") && activation != "none") {
        throw error("UNSUPPORTED_MODEL",
                    before +
                        " has no dense layer before its classes (cls.weight), so that it was converted "
                        "without and would give wrong classes" +
                        converting);
    }
    if (lacks("cls.norm.weight") && arch == "modern-bert" && activation != "none") {
        throw error("UNSUPPORTED_MODEL", before + " has no norm before its classes (cls.norm.weight)" + converting);
    }
    const bool is_distilled =
        arch == "bert" && lacks("token_types.weight") && string_value(gguf, "tokenizer.ggml.model") == "bert";
    if (is_distilled && activation.empty()) {
        throw error("UNSUPPORTED_MODEL",
                    before +
                        " is a DistilBERT (no token_types.weight) that does not name the activation of its "
                        "head" +
                        converting);
    }
}

// Without a head, llama.cpp returns hidden values instead of classes.
void check_classes(const gguf_context * gguf, const std::string & path, const std::string & arch) {
    static const std::set<std::string> with_heads = { "bert", "neo-bert", "modern-bert", "qwen3" };
    if (with_heads.count(arch) == 0) {
        throw error("UNSUPPORTED_MODEL",
                    "expected a sequence classifier of the architecture bert, modern-bert, neo-bert or qwen3, "
                    "but " +
                        path + " is a " + arch + " model; use scoreModel or guardModel for it");
    }
    const std::vector<uint32_t> heads = count_values(gguf, path, arch + ".attention.head_count");
    expect(!heads.empty() && *std::min_element(heads.begin(), heads.end()) > 0, path, arch + ".attention.head_count");
    if (gguf_find_tensor(gguf, "cls.output.weight") < 0) {
        throw error("UNSUPPORTED_MODEL", "expected a sequence classifier, but " + path +
                                             " has no classification head (cls.output.weight)" + converting);
    }
    if (arch != "qwen3") {
        check_head(gguf, path, arch);
    }
    const int64_t labels = gguf_find_key(gguf, (arch + ".classifier.output_labels").c_str());
    const bool    valid  = labels < 0 || (gguf_get_kv_type(gguf, labels) == GGUF_TYPE_ARRAY &&
                                          gguf_get_arr_type(gguf, labels) == GGUF_TYPE_STRING);
    expect(valid, path, arch + ".classifier.output_labels");
    if (arch == "qwen3" && (labels < 0 || gguf_get_arr_n(gguf, labels) < 2)) {
        throw error("UNSUPPORTED_MODEL",
                    "expected two labels or more of a qwen3 classifier, but " + path +
                        " has one, and a softmax over one label is always 1; convert the model with two labels");
    }
}

// llama.cpp asserts that all tokens differ
void check_tokens(const gguf_context * gguf, const std::string & path) {
    const int64_t tokens = gguf_find_key(gguf, "tokenizer.ggml.tokens");
    if (tokens < 0) {
        return;  // llama.cpp reports that itself
    }
    const bool valid =
        gguf_get_kv_type(gguf, tokens) == GGUF_TYPE_ARRAY && gguf_get_arr_type(gguf, tokens) == GGUF_TYPE_STRING;
    expect(valid, path, "tokenizer.ggml.tokens");
    const size_t                    n = gguf_get_arr_n(gguf, tokens);
    std::unordered_set<std::string> known;
    known.reserve(n);
    for (size_t i = 0; i < n; ++i) {
        const std::string text = gguf_get_arr_str(gguf, tokens, i);
        if (!text.empty() && !known.insert(text).second) {
            invalid(path, "has the token \"" + text + "\" twice in its vocabulary");
        }
    }
}

// where the tensors lie in the file
void check_extents(const opened_file & opened, const std::string & path) {
    const gguf_context * gguf = opened.gguf.get();
    if (gguf_get_alignment(gguf) < least_alignment) {
        invalid(path, format("aligns its tensors to %zu bytes, not to %zu or more", gguf_get_alignment(gguf),
                             least_alignment));
    }
    for (int64_t i = 0; i < gguf_get_n_tensors(gguf); ++i) {
        const uint64_t size = gguf_get_tensor_size(gguf, i);
        if (size == 0) {
            invalid(path, std::string("has an empty tensor ") + gguf_get_tensor_name(gguf, i));
        }
        const uint64_t begin = gguf_get_data_offset(gguf) + gguf_get_tensor_offset(gguf, i);
        if (begin > opened.n_bytes || size > opened.n_bytes - begin) {
            invalid(path, format("is truncated: it should hold %llu bytes of %s from byte %llu on, but has %llu bytes",
                                 (unsigned long long) size, gguf_get_tensor_name(gguf, i), (unsigned long long) begin,
                                 (unsigned long long) opened.n_bytes));
        }
    }
}

}  // namespace

model_file read_model_file(const std::string & path) {
    const opened_file    opened = open_file(path);
    const gguf_context * gguf   = opened.gguf.get();
    model_file           file;
    file.version     = gguf_get_version(gguf);
    file.data_offset = gguf_get_data_offset(gguf);
    file.n_bytes     = opened.n_bytes;
    for (int64_t i = 0; i < gguf_get_n_kv(gguf); ++i) {
        file.entries.push_back(entry_at(gguf, i));
    }
    for (int64_t i = 0; i < gguf_get_n_tensors(gguf); ++i) {
        file_tensor tensor;
        tensor.name        = gguf_get_tensor_name(gguf, i);
        tensor.type        = ggml_type_name(gguf_get_tensor_type(gguf, i));
        const int64_t * ne = gguf_get_tensor_ne(gguf, i);
        tensor.shape.assign(ne, ne + GGML_MAX_DIMS);
        while (tensor.shape.size() > 1 && tensor.shape.back() == 1) {
            tensor.shape.pop_back();
        }
        file.tensors.push_back(tensor);
    }
    return file;
}

void check_model_file(const std::string & path, model_purpose purpose) {
    const opened_file    opened = open_file(path);
    const gguf_context * gguf   = opened.gguf.get();
    const std::string    arch   = string_value(gguf, "general.architecture");
    if (arch.empty()) {
        invalid(path, "names no general.architecture");
    }
    if (arch == "clip" || arch == "mmproj") {
        throw error("UNSUPPORTED_MODEL", "expected a language model, but " + path + " has the architecture " + arch);
    }
    if (gguf_get_n_tensors(gguf) == 0) {
        throw error("UNSUPPORTED_MODEL", "expected a model with weights, but " + path +
                                             " holds a vocabulary only; choose the full model file");
    }
    check_counts(gguf, path, arch);
    check_heads(gguf, path, arch);
    check_hyperparameters(gguf, path, arch);
    check_tokens(gguf, path);
    check_extents(opened, path);
    const int64_t causal = gguf_find_key(gguf, (arch + ".attention.causal").c_str());
    const bool    bidirectional =
        causal >= 0 && gguf_get_kv_type(gguf, causal) == GGUF_TYPE_BOOL && !gguf_get_val_bool(gguf, causal);
    if (purpose == PURPOSE_GENERATE && (bidirectional || count_value(gguf, path, arch + ".pooling_type") > 0)) {
        throw error("UNSUPPORTED_MODEL",
                    "expected a model that generates text, but " + path + " is an embedding model");
    }
    if (purpose == PURPOSE_CLASSIFY) {
        check_classes(gguf, path, arch);
    }
}

}  // namespace ig
