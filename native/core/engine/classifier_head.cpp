#include "engine/classifier_head.h"

#include "support/error.h"
#include "support/tensor_file.h"

#include <cmath>
#include <cstdlib>
#include <map>

namespace ig {

namespace {

float gelu(float x) {
    return 0.5f * x * (1 + std::erf(x * float(M_SQRT1_2)));
}

float relu(float x) {
    return x > 0 ? x : 0;
}

float same(float x) {
    return x;
}

float hyperbolic_tangent(float x) {
    return std::tanh(x);
}

template <typename T>
T choice(const loaded_model &             model,
         const std::string &              key,
         const std::string &              otherwise,
         const std::map<std::string, T> & known) {
    const std::string given = model.metadata(key);
    const auto        found = known.find(given.empty() ? otherwise : given);
    if (found == known.end()) {
        throw error("INVALID_MODEL",
                    model.path() + " has an unknown " + key + " \"" + given + "\"; convert the model again");
    }
    return found->second;
}

float norm_epsilon(const loaded_model & model) {
    const std::string key = model.metadata("general.architecture") + ".attention.layer_norm_epsilon";
    for (const file_entry & entry : read_model_file(model.path()).entries) {
        if (entry.key == key) {
            return std::strtof(entry.value.c_str(), nullptr);
        }
    }
    return 0;
}

std::vector<float> optional_tensor(const tensor_file & file, const char * name, const std::vector<int64_t> & shape) {
    return file.has_tensor(name) ? file.tensor(name, shape) : std::vector<float>();
}

void multiply(const std::vector<float> & weight,
              const std::vector<float> & bias,
              const float *              in,
              size_t                     n_in,
              std::vector<float> &       out) {
    for (size_t o = 0; o < out.size(); ++o) {
        const float * row = weight.data() + o * n_in;
        double        sum = bias.empty() ? 0 : bias[o];
        for (size_t i = 0; i < n_in; ++i) {
            sum += double(row[i]) * in[i];
        }
        out[o] = float(sum);
    }
}

}  // namespace

classifier_head::classifier_head(const loaded_model & model) {
    const bool is_modern = model.metadata("general.architecture") == "modern-bert";
    activation           = choice<float (*)(float)>(
        model, "inferenceguard.classifier.activation", is_modern ? "gelu" : "tanh",
        {
            { "tanh", hyperbolic_tangent },
            { "relu", relu               },
            { "gelu", gelu               },
            { "none", same               }
    });
    pooled =
        choice<enum llama_pooling_type>(model, "inferenceguard.classifier.pooling", is_modern ? "mean" : "cls",
                                        {
                                            { "cls",  LLAMA_POOLING_TYPE_CLS  },
                                            { "mean", LLAMA_POOLING_TYPE_MEAN }
    });
    epsilon                     = norm_epsilon(model);
    const int64_t     n_embd    = llama_model_n_embd(model.get());
    const int64_t     n_classes = llama_model_n_cls_out(model.get());
    const tensor_file file(model.path(), "INVALID_MODEL");
    dense.weight  = optional_tensor(file, "cls.weight", { n_embd, n_embd });
    dense.bias    = optional_tensor(file, "cls.bias", { n_embd });
    norm          = optional_tensor(file, "cls.norm.weight", { n_embd });
    output.weight = file.tensor("cls.output.weight", { n_embd, n_classes });
    output.bias   = optional_tensor(file, "cls.output.bias", { n_classes });
    inner.resize(n_embd);
    classes.resize(n_classes);
}

void classifier_head::normalize(std::vector<float> & row) const {
    double mean = 0, variance = 0;
    for (float x : row) {
        mean += x / double(row.size());
    }
    for (float x : row) {
        variance += (x - mean) * (x - mean) / double(row.size());
    }
    const double scale = 1 / std::sqrt(variance + epsilon);
    for (size_t i = 0; i < row.size(); ++i) {
        row[i] = float((row[i] - mean) * scale * norm[i]);
    }
}

const std::vector<float> & classifier_head::logits(const float * hidden) {
    if (dense.weight.empty()) {
        inner.assign(hidden, hidden + inner.size());
    } else {
        multiply(dense.weight, dense.bias, hidden, inner.size(), inner);
    }
    for (float & x : inner) {
        x = activation(x);
    }
    if (!norm.empty()) {
        normalize(inner);
    }
    multiply(output.weight, output.bias, inner.data(), inner.size(), classes);
    return classes;
}

}  // namespace ig
