#include "marshal_training.h"

#include "js_values.h"

namespace ig {

classifier_job classifier_job_from(const Napi::Object & o) {
    classifier_job job;
    const Napi::Array texts = o.Get("texts").As<Napi::Array>();
    const Napi::Array contexts = o.Get("contexts").As<Napi::Array>();
    const std::vector<float> labels = numbers_of<float, Napi::Float32Array>(o, "labels");
    const std::vector<uint8_t> splits = numbers_of<uint8_t, Napi::Uint8Array>(o, "splits");
    const uint8_t trains = 0, validates = 1; // others are only scored
    job.with_context = contexts.Length() > 0;
    for (uint32_t i = 0; i < texts.Length(); ++i) {
        const std::string context = job.with_context ? contexts.Get(i).As<Napi::String>().Utf8Value() : "";
        job.texts.push_back({ context, texts.Get(i).As<Napi::String>().Utf8Value(), labels.at(i), 
                              splits.at(i) == trains, splits.at(i) == validates });
    }
    job.seed = uint64_t(int64_of(o, "seed"));
    return job;
}

std::vector<named_text> named_texts_from(const Napi::Object & o) {
    std::vector<named_text> texts;
    const Napi::Array keys = o.GetPropertyNames();
    for (uint32_t i = 0; i < keys.Length(); ++i) {
        const std::string key = keys.Get(i).As<Napi::String>().Utf8Value();
        texts.push_back({ key, string_of(o, key.c_str()) });
    }
    return texts;
}

std::vector<named_numbers> named_numbers_from(const Napi::Object & o) {
    std::vector<named_numbers> numbers;
    const Napi::Array keys = o.GetPropertyNames();
    for (uint32_t i = 0; i < keys.Length(); ++i) {
        const std::string key = keys.Get(i).As<Napi::String>().Utf8Value();
        const bool is_list = !o.Get(key).IsNumber();
        const std::vector<double> one = { is_list ? 0 : number_of(o, key.c_str()) };
        numbers.push_back({ key, is_list ? numbers_of<double, Napi::Float64Array>(o, key.c_str()) : one, is_list });
    }
    return numbers;
}

std::vector<named_tensor> named_tensors_from(const Napi::Array & a) {
    std::vector<named_tensor> tensors;
    for (uint32_t i = 0; i < a.Length(); ++i) {
        const Napi::Object o = a.Get(i).As<Napi::Object>();
        named_tensor tensor;
        tensor.name = string_of(o, "name");
        const Napi::Array shape = o.Get("shape").As<Napi::Array>();
        for (uint32_t d = 0; d < shape.Length(); ++d) {
            tensor.shape.push_back(shape.Get(d).As<Napi::Number>().Int64Value());
        }
        tensor.values = numbers_of<float, Napi::Float32Array>(o, "values");
        tensor.half = bool_of(o, "half");
        tensors.push_back(std::move(tensor));
    }
    return tensors;
}

Napi::Value to_js(Napi::Env env, const classifier_training & result) {
    Napi::Object o = Napi::Object::New(env);
    o.Set("buckets", typed_array<Napi::Float32Array>(env, result.weights.buckets));
    o.Set("bias", result.weights.bias);
    o.Set("logOdds", typed_array<Napi::Float64Array>(env, result.log_odds));
    o.Set("epochs", result.n_epochs);
    return o;
}

Napi::Value epoch_to_js(Napi::Env env, int32_t epoch, double training_loss, double validation_loss) {
    Napi::Object o = Napi::Object::New(env);
    o.Set("epoch", epoch);
    o.Set("trainingLoss", training_loss);
    o.Set("validationLoss", validation_loss);
    return o;
}

}
