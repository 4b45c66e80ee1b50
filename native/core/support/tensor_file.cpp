#include "support/tensor_file.h"

#include "ggml.h"
#include "support/error.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace ig {

namespace {

const std::string prefix = "inferenceguard.";

// Applies to kinds that name a model: in version 1, its fingerprint covered only parts of its file.
int32_t version_of(const std::string & kind) {
    return kind == "critic" || kind == "probe" || kind == "control-vector" ? 2 : 1;
}

}  // namespace

void tensor_file::fail(const std::string & what) const {
    throw error(error_code, path + " " + what + "; make the file again");
}

tensor_file::tensor_file(const std::string & path, const std::string & error_code) :
    path(path),
    error_code(error_code) {
    namespace fs         = std::filesystem;
    const fs::path  file = fs::u8path(path);
    std::error_code failure;
    if (!fs::is_regular_file(file, failure)) {
        throw error(error_code, "expected a file of tensors, but there is no file at " + path + "; check the path");
    }
    n_bytes       = fs::file_size(file, failure);
    char magic[4] = { 0 };
    std::ifstream(file, std::ios::binary).read(magic, sizeof(magic));
    if (failure || std::string(magic, sizeof(magic)) != GGUF_MAGIC) {
        fail("does not start with the GGUF magic");
    }
    gguf.reset(gguf_init_from_file(path.c_str(), { /*no_alloc =*/true, /*ctx =*/nullptr }));
    if (!gguf) {
        fail("has a damaged header");
    }
}

tensor_file::tensor_file(const std::string & path, const std::string & kind, const std::string & error_code) :
    tensor_file(path, error_code) {
    if (text("kind") != kind) {
        throw error(error_code,
                    "expected a " + kind + " file, but " + path + " is a " + text("kind") + " file; check the path");
    }
    const double version = number("format_version");
    if (version != version_of(kind)) {
        throw error(error_code,
                    format("expected format version %d of a %s file, but %s has version %g; make the file again with "
                           "this version of inferenceguard",
                           version_of(kind), kind.c_str(), path.c_str(), version));
    }
}

std::vector<double> tensor_file::numbers(const char * key) const {
    const int64_t       id = gguf_find_key(gguf.get(), (prefix + key).c_str());
    std::vector<double> values;
    if (id >= 0 && gguf_get_kv_type(gguf.get(), id) == GGUF_TYPE_FLOAT64) {
        values.push_back(gguf_get_val_f64(gguf.get(), id));
    } else if (id >= 0 && gguf_get_kv_type(gguf.get(), id) == GGUF_TYPE_ARRAY &&
               gguf_get_arr_type(gguf.get(), id) == GGUF_TYPE_FLOAT64) {
        const double * data = static_cast<const double *>(gguf_get_arr_data(gguf.get(), id));
        values.assign(data, data + gguf_get_arr_n(gguf.get(), id));
    } else {
        fail("has no numbers " + prefix + key);
    }
    if (!std::all_of(values.begin(), values.end(), [](double x) { return std::isfinite(x); })) {
        fail("has numbers that are not finite under " + prefix + key);
    }
    return values;
}

double tensor_file::number(const char * key) const {
    const std::vector<double> values = numbers(key);
    if (values.size() != 1) {
        fail("has no single number " + prefix + key);
    }
    return values[0];
}

double tensor_file::integer(const char * key, double least, double most) const {
    const double value = number(key);
    if (!(value >= least && value <= most && value == std::floor(value))) {
        fail(format("has no valid %s%s: %g", prefix.c_str(), key, value));
    }
    return value;
}

std::string tensor_file::text(const char * key) const {
    const int64_t id = gguf_find_key(gguf.get(), (prefix + key).c_str());
    if (id < 0 || gguf_get_kv_type(gguf.get(), id) != GGUF_TYPE_STRING) {
        fail("has no text " + prefix + key);
    }
    return gguf_get_val_str(gguf.get(), id);
}

std::vector<std::string> tensor_file::texts(const char * key) const {
    const int64_t            id = gguf_find_key(gguf.get(), (prefix + key).c_str());
    std::vector<std::string> list;
    if (id < 0) {
        return list;
    }
    if (gguf_get_kv_type(gguf.get(), id) != GGUF_TYPE_ARRAY || gguf_get_arr_type(gguf.get(), id) != GGUF_TYPE_STRING) {
        fail("has something other than a list of texts under " + prefix + key);
    }
    for (size_t i = 0; i < gguf_get_arr_n(gguf.get(), id); ++i) {
        list.push_back(gguf_get_arr_str(gguf.get(), id, i));
    }
    return list;
}

bool tensor_file::has_numbers(const char * key) const {
    return gguf_find_key(gguf.get(), (prefix + key).c_str()) >= 0;
}

bool tensor_file::has_tensor(const std::string & name) const {
    return gguf_find_tensor(gguf.get(), name.c_str()) >= 0;
}

int64_t tensor_file::tensor_id(const std::string & name) const {
    const int64_t id = gguf_find_tensor(gguf.get(), name.c_str());
    if (id < 0) {
        fail("has no tensor " + name);
    }
    return id;
}

std::vector<int64_t> tensor_file::shape(const std::string & name) const {
    const int64_t * ne = gguf_get_tensor_ne(gguf.get(), tensor_id(name));
    return { ne, ne + GGML_MAX_DIMS };
}

packed_tensor tensor_file::read(const std::string & name, const std::vector<int64_t> & wanted) const {
    const int64_t   id   = tensor_id(name);
    const ggml_type type = gguf_get_tensor_type(gguf.get(), id);
    if (type != GGML_TYPE_F32 && ggml_get_type_traits(type)->to_float == nullptr) {
        fail("has a tensor " + name + " of a type that is no number or cannot be unpacked");
    }
    const std::vector<int64_t> ne = shape(name);
    for (size_t d = 0; d < ne.size(); ++d) {
        const int64_t size = d < wanted.size() ? wanted[d] : 1;
        if (ne[d] != size) {
            fail(format("has a tensor %s of the wrong shape: expected %lld values along dimension %zu, got %lld",
                        name.c_str(), (long long) size, d, (long long) ne[d]));
        }
    }
    const uint64_t begin = gguf_get_data_offset(gguf.get()) + gguf_get_tensor_offset(gguf.get(), id);
    const uint64_t size  = gguf_get_tensor_size(gguf.get(), id);
    if (begin > n_bytes || size > n_bytes - begin) {
        fail("is truncated");
    }
    packed_tensor packed = { type, std::vector<char>(size) };
    std::ifstream in(std::filesystem::u8path(path), std::ios::binary);
    in.seekg(std::streamoff(begin));
    in.read(packed.bytes.data(), std::streamsize(size));
    if (!in) {
        fail("cannot be read");
    }
    return packed;
}

std::vector<float> tensor_file::unpacked(const std::string & name, const packed_tensor & packed) const {
    const size_t       n = packed.bytes.size() / ggml_type_size(packed.type) * size_t(ggml_blck_size(packed.type));
    std::vector<float> values(n);
    if (packed.type == GGML_TYPE_F32) {
        std::copy_n(reinterpret_cast<const float *>(packed.bytes.data()), n, values.data());
    } else {
        ggml_get_type_traits(packed.type)->to_float(packed.bytes.data(), values.data(), int64_t(n));
    }
    if (!std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); })) {
        fail("has values that are not finite in the tensor " + name);
    }
    return values;
}

std::vector<float> tensor_file::tensor(const std::string & name, const std::vector<int64_t> & wanted) const {
    return unpacked(name, read(name, wanted));
}

packed_tensor tensor_file::packed(const std::string & name, const std::vector<int64_t> & wanted) const {
    packed_tensor packed = read(name, wanted);
    unpacked(name, packed);  // checks that all values are finite
    return packed;
}

void round_to_half(std::vector<float> & values) {
    for (float & x : values) {
        x = ggml_fp16_to_fp32(ggml_fp32_to_fp16(x));
    }
}

uint64_t write_tensor_file(const std::string &                path,
                           const std::string &                kind,
                           const std::vector<named_text> &    texts,
                           const std::vector<named_numbers> & numbers,
                           const std::vector<named_tensor> &  tensors) {
    const ggml_init_params params = { ggml_tensor_overhead() * (tensors.size() + 1), nullptr, /*no_alloc =*/true };
    const ggml_context_ptr ctx(ggml_init(params));
    const gguf_context_ptr gguf(gguf_init_empty());
    gguf_set_val_str(gguf.get(), (prefix + "kind").c_str(), kind.c_str());
    gguf_set_val_f64(gguf.get(), (prefix + "format_version").c_str(), version_of(kind));
    for (const named_text & t : texts) {
        gguf_set_val_str(gguf.get(), (prefix + t.key).c_str(), t.value.c_str());
    }
    for (const named_numbers & n : numbers) {
        if (n.is_list) {
            gguf_set_arr_data(gguf.get(), (prefix + n.key).c_str(), GGUF_TYPE_FLOAT64, n.values.data(),
                              n.values.size());
        } else {
            gguf_set_val_f64(gguf.get(), (prefix + n.key).c_str(), n.values.at(0));
        }
    }
    std::vector<std::vector<ggml_fp16_t>> halves(tensors.size());
    uint64_t                              n_bytes = 0;
    for (size_t i = 0; i < tensors.size(); ++i) {
        const named_tensor & t = tensors[i];
        ggml_tensor *        made =
            ggml_new_tensor(ctx.get(), t.half ? GGML_TYPE_F16 : GGML_TYPE_F32, int(t.shape.size()), t.shape.data());
        ggml_set_name(made, t.name.c_str());
        made->data = const_cast<float *>(t.values.data());
        if (t.half) {
            halves[i].resize(t.values.size());
            ggml_fp32_to_fp16_row(t.values.data(), halves[i].data(), int64_t(t.values.size()));
            made->data = halves[i].data();
        }
        gguf_add_tensor(gguf.get(), made);
        n_bytes += GGML_PAD(ggml_nbytes(made), gguf_get_alignment(gguf.get()));
    }
    n_bytes += gguf_get_meta_size(gguf.get());
    // gguf_write_to_file ignores errors when the file is closed: the unwritten rest of a short file on a full disk
    std::unique_ptr<FILE, int (*)(FILE *)> file(ggml_fopen(path.c_str(), "wb"), std::fclose);
    const bool is_written = file && gguf_write_to_file_ptr(gguf.get(), file.get(), /*only_meta =*/false);
    if (!is_written || std::fclose(file.release()) != 0) {
        throw error("WRITE_FAILED", "expected to write " + path +
                                        ", but the disk or the folder does not allow it; make room, or choose "
                                        "another place");
    }
    return n_bytes;
}

}  // namespace ig
