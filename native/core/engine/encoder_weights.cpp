#include "engine/encoder_weights.h"

#include "ggml-cpu.h"
#include "support/error.h"
#include "support/numeric.h"

#include <cmath>
#include <set>

namespace ig {

namespace {

const double  most_heads = 1024, most_layers = 256, most_members = 64;
const int64_t most_width      = 1 << 14;
const int64_t most_positions  = 1 << 16;
const double  largest_epsilon = 0.1;

const std::set<ggml_type> matrix_types = { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0 };
const std::set<ggml_type> word_types = { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_Q5_0, GGML_TYPE_Q4_0 };

// memory layouts of matrices that only the CPU's own products read
std::vector<ggml_backend_buffer_type_t> packed_forms(ggml_backend_dev_t cpu) {
    const auto list = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
        ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), "ggml_backend_dev_get_extra_bufts"));
    std::vector<ggml_backend_buffer_type_t> forms;
    for (ggml_backend_buffer_type_t * form = list != nullptr ? list(cpu) : nullptr; form != nullptr && *form != nullptr;
         ++form) {
        forms.push_back(*form);
    }
    return forms;
}

bool can_multiply(ggml_backend_dev_t         cpu,
                  ggml_backend_buffer_type_t form,
                  ggml_type                  type,
                  int64_t                    n_in,
                  int64_t                    n_out) {
    const ggml_backend_buffer_ptr nothing(ggml_backend_buft_alloc_buffer(form, 0));
    const ggml_context_ptr        ctx(ggml_init({ 4 * ggml_tensor_overhead(), nullptr, /*no_alloc =*/true }));
    ggml_tensor *                 weight = ggml_new_tensor_2d(ctx.get(), type, n_in, n_out);
    weight->buffer                       = nothing.get();
    return ggml_backend_dev_supports_op(
        cpu, ggml_mul_mat(ctx.get(), weight, ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, n_in, 512)));
}

}  // namespace

std::vector<float> dense_layer::operator()(const std::vector<float> & in) const {
    std::vector<float> out;
    for (size_t j = 0; j < bias.size(); ++j) {
        out.push_back(bias[j] + dot(&weight[j * in.size()], in.data(), in.size()));
    }
    return out;
}

// Describes all tensors first, in a context for each memory layout, and then fills them.
class encoder_weights::loader {
  public:
    loader(const tensor_file & file, size_t n_tensors) :
        file(file),
        cpu(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU)),
        forms(packed_forms(cpu)) {
        forms.push_back(ggml_backend_dev_buffer_type(cpu));
        for (size_t i = 0; i < forms.size(); ++i) {
            contexts.emplace_back(ggml_init({ ggml_tensor_overhead() * n_tensors, nullptr, /*no_alloc =*/true }));
        }
    }

    ggml_tensor * tensor(const std::string &          name,
                         const std::vector<int64_t> & shape,
                         const std::set<ggml_type> &  types) {
        return add(read(name, shape, types), shape, false);
    }

    // Joins matrices with the same input into one, with their outputs in a row.
    affine linear(const std::string & at, const std::vector<std::string> & names, int64_t n_in, int64_t n_out) {
        packed_tensor weights, biases;
        for (const std::string & name : names) {
            append(read(at + name + ".weight", { n_in, n_out }, matrix_types), at + name, weights);
            append(read(at + name + ".bias", { n_out }, { GGML_TYPE_F32 }), at + name, biases);
        }
        n_out *= int64_t(names.size());
        return { add(std::move(weights), { n_in, n_out }, true), add(std::move(biases), { n_out }, false) };
    }

    affine norm(const std::string & name, int64_t width) {
        return { tensor(name + ".weight", { width }, { GGML_TYPE_F32 }),
                 tensor(name + ".bias", { width }, { GGML_TYPE_F32 }) };
    }

    dense_layer dense(const std::string & name, int64_t n_in, int64_t n_out) const {
        return { file.tensor(name + ".weight", { n_in, n_out }), file.tensor(name + ".bias", { n_out }) };
    }

    std::vector<encoder_layer> layers(const std::string & name, size_t n, int64_t d, int64_t n_inner) {
        std::vector<encoder_layer> made;
        for (size_t i = 0; i < n; ++i) {
            const std::string at = name + "." + std::to_string(i) + ".";
            made.push_back({ linear(at, { "q", "k", "v" }, d, d), linear(at, { "o" }, d, d), norm(at + "norm1", d),
                             linear(at, { "up" }, d, n_inner), linear(at, { "down" }, n_inner, d),
                             norm(at + "norm2", d) });
        }
        return made;
    }

    void fill(encoder_weights & weights) {
        for (size_t i = 0; i < forms.size(); ++i) {
            if (ggml_get_first_tensor(contexts[i].get()) == nullptr) {
                continue;
            }
            weights.buffers.emplace_back(ggml_backend_alloc_ctx_tensors_from_buft(contexts[i].get(), forms[i]));
            if (!weights.buffers.back()) {
                throw error("OUT_OF_MEMORY", "there is not enough memory for the encoder that judges texts");
            }
            ggml_backend_buffer_set_usage(weights.buffers.back().get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
        }
        for (const auto & [made, bytes] : pending) {
            ggml_backend_tensor_set(made, bytes.data(), 0, bytes.size());
        }
        weights.contexts = std::move(contexts);
    }

  private:
    const tensor_file &                                      file;
    ggml_backend_dev_t                                       cpu;
    std::vector<ggml_backend_buffer_type_t>                  forms;     // memory layouts, the plain one last
    std::vector<ggml_context_ptr>                            contexts;  // [forms]
    std::vector<std::pair<ggml_tensor *, std::vector<char>>> pending;

    packed_tensor read(const std::string &          name,
                       const std::vector<int64_t> & shape,
                       const std::set<ggml_type> &  types) const {
        packed_tensor packed = file.packed(name, shape);
        if (types.count(packed.type) == 0) {
            file.fail("has a tensor " + name + " of the type " + ggml_type_name(packed.type) +
                      ", which is none for it");
        }
        return packed;
    }

    void append(packed_tensor more, const std::string & name, packed_tensor & all) const {
        if (!all.bytes.empty() && all.type != more.type) {
            file.fail("has a matrix " + name + " of another type than those beside it");
        }
        all.type = more.type;
        all.bytes.insert(all.bytes.end(), more.bytes.begin(), more.bytes.end());
    }

    ggml_tensor * add(packed_tensor packed, const std::vector<int64_t> & shape, bool is_multiplied) {
        size_t form = forms.size() - 1;
        for (size_t i = 0; is_multiplied && i < form; ++i) {
            form = can_multiply(cpu, forms[i], packed.type, shape[0], shape[1]) ? i : form;
        }
        ggml_tensor * made = ggml_new_tensor(contexts[form].get(), packed.type, int(shape.size()), shape.data());
        pending.push_back({ made, std::move(packed.bytes) });
        return made;
    }
};

encoder_weights::encoder_weights(const tensor_file & file) {
    const auto size_along = [&](const std::string & name, size_t d, int64_t most) {
        const int64_t size = file.shape(name)[d];
        if (size < 1 || size > most) {
            file.fail(format("has a tensor %s of %lld values along dimension %zu", name.c_str(), (long long) size, d));
        }
        return size;
    };
    const size_t n_shared  = size_t(file.integer("shared_layers", 0, most_layers));
    const size_t n_own     = size_t(file.integer("member_layers", 0, most_layers));
    const size_t n_members = size_t(file.integer("members", 1, most_members));
    n_heads                = int32_t(file.integer("heads", 1, most_heads));
    epsilon                = file.number("epsilon");
    vocabulary             = file.texts("tokens");
    n_outputs              = 1 + file.texts("categories").size();
    width                  = int32_t(size_along("word.weight", 0, most_width));
    n_positions            = int32_t(size_along("position.weight", 1, most_positions));
    if (n_shared + n_own == 0 || !(epsilon > 0 && epsilon <= largest_epsilon) || width % n_heads != 0) {
        file.fail("describes no encoder");
    }
    const int64_t d         = width;
    const int64_t n_inner   = size_along(n_shared > 0 ? "shared.0.up.weight" : "member.0.0.up.weight", 1, most_width);
    const int64_t n_hidden  = size_along("member.0.dense.weight", 1, most_width);
    const size_t  n_tensors = 16 * (n_shared + n_members * n_own) + 8;

    loader load(file, n_tensors);
    word     = load.tensor("word.weight", { d, int64_t(vocabulary.size()) }, word_types);
    position = load.tensor("position.weight", { d, n_positions }, { GGML_TYPE_F32 });
    norm     = load.norm("norm", d);
    trunk    = load.layers("shared", n_shared, d, n_inner);
    for (size_t m = 0; m < n_members; ++m) {
        const std::string name = "member." + std::to_string(m);
        members.push_back({ load.layers(name, n_own, d, n_inner), load.dense(name + ".dense", 2 * d, n_hidden),
                            load.dense(name + ".output", n_hidden, int64_t(n_outputs)),
                            load.dense(name + ".prompt", d, 1) });
    }
    load.fill(*this);
}

}  // namespace ig
