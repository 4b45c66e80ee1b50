#include "marshal_training.h"

#include "js_values.h"
#include "marshal.h"

#include <iterator>

namespace ig {

namespace {

// without contexts
std::vector<labelled_text> labelled_texts_from(const Napi::Object & o) {
    const Napi::Array          texts  = o.Get("texts").As<Napi::Array>();
    const std::vector<float>   labels = numbers_of<float, Napi::Float32Array>(o, "labels");
    const std::vector<uint8_t> splits = numbers_of<uint8_t, Napi::Uint8Array>(o, "splits");
    const uint8_t              trains = 0, validates = 1;  // others are only scored
    std::vector<labelled_text> labelled;
    for (uint32_t i = 0; i < texts.Length(); ++i) {
        labelled.push_back({ "", texts.Get(i).As<Napi::String>().Utf8Value(), labels.at(i), splits.at(i) == trains,
                             splits.at(i) == validates });
    }
    return labelled;
}

}  // namespace

classifier_job classifier_job_from(const Napi::Object & o) {
    classifier_job job;
    job.texts                  = labelled_texts_from(o);
    const Napi::Array contexts = o.Get("contexts").As<Napi::Array>();
    job.with_context           = contexts.Length() > 0;
    for (uint32_t i = 0; i < contexts.Length(); ++i) {
        job.texts.at(i).context = contexts.Get(i).As<Napi::String>().Utf8Value();
    }
    job.with_characters = bool_of(o, "characters");
    job.seed            = uint64_t(int64_of(o, "seed"));
    return job;
}

probe_request probe_request_from(const Napi::Object & o) {
    probe_request request;
    request.texts             = labelled_texts_from(o);
    const Napi::Array prompts = o.Get("prompts").As<Napi::Array>();
    for (uint32_t i = 0; i < prompts.Length(); ++i) {
        request.prompts.push_back(prompt_from(prompts.Get(i).As<Napi::Object>()));
    }
    request.layers  = numbers_of<int32_t, Napi::Int32Array>(o, "layers");
    request.chooses = bool_of(o, "chooses");
    return request;
}

critic_job critic_job_from(const Napi::Object & o) {
    critic_job                job;
    critic_training_options & options = job.options;
    options.shape                     = rollout_shape_from(o.Get("shape").As<Napi::Object>());
    const Napi::Object inputs         = o.Get("inputs").As<Napi::Object>();
    options.inputs                    = { bool_of(inputs, "hidden"), bool_of(inputs, "logits"), bool_of(inputs, "z"),
                                          bool_of(inputs, "position"), bool_of(inputs, "mean") };
    options.n_stream                  = int_of(o, "streamWidth");
    const Napi::Array constraints     = o.Get("constraints").As<Napi::Array>();
    for (uint32_t i = 0; i < constraints.Length(); ++i) {
        const Napi::Object c = constraints.Get(i).As<Napi::Object>();
        budget_terms       terms;
        terms.budget    = number_of(c, "budget");
        terms.discount  = number_of(c, "discount");
        terms.per_token = bool_of(c, "perToken");
        terms.anytime   = bool_of(c, "anytime");
        options.terms.push_back(terms);
        if (c.Has("lowest")) {
            options.budgets.push_back({ number_of(c, "lowest"), number_of(c, "highest") });
        }
    }
    options.splits        = numbers_of<uint8_t, Napi::Uint8Array>(o, "splits");
    options.max_tokens    = int_of(o, "maxTokens");
    options.n_layers      = int_of(o, "layers");
    options.width         = int_of(o, "width");
    options.n_members     = int_of(o, "members");
    options.max_epochs    = int_of(o, "epochs");
    options.batch_size    = int_of(o, "batch");
    options.learning_rate = number_of(o, "learningRate");
    options.weight_decay  = number_of(o, "weightDecay");
    options.seed          = uint64_t(int64_of(o, "seed"));
    options.n_threads     = int_of(o, "threads");
    job.device            = string_of(o, "device");
    return job;
}

rollout_shape rollout_shape_from(const Napi::Object & o) {
    return { int_of(o, "hidden"), int_of(o, "summary"), int_of(o, "constraints"),
             o.Has("mean") ? int_of(o, "mean") : 0 };
}

std::vector<rollout> rollouts_from(const rollout_shape & shape, const Napi::Array & records) {
    std::vector<rollout> rollouts;
    for (uint32_t i = 0; i < records.Length(); ++i) {
        const Napi::Uint8Array record = records.Get(i).As<Napi::Uint8Array>();
        std::vector<rollout>   some   = read_record(shape, record.Data(), record.ByteLength());
        std::move(some.begin(), some.end(), std::back_inserter(rollouts));
    }
    return rollouts;
}

std::vector<named_text> named_texts_from(const Napi::Object & o) {
    std::vector<named_text> texts;
    for (const std::string & key : keys_of(o)) {
        texts.push_back({ key, string_of(o, key.c_str()) });
    }
    return texts;
}

std::vector<named_numbers> named_numbers_from(const Napi::Object & o) {
    std::vector<named_numbers> numbers;
    for (const std::string & key : keys_of(o)) {
        const bool                is_list = !o.Get(key).IsNumber();
        const std::vector<double> one     = { is_list ? 0 : number_of(o, key.c_str()) };
        numbers.push_back({ key, is_list ? numbers_of<double, Napi::Float64Array>(o, key.c_str()) : one, is_list });
    }
    return numbers;
}

std::vector<named_tensor> named_tensors_from(const Napi::Array & a) {
    std::vector<named_tensor> tensors;
    for (uint32_t i = 0; i < a.Length(); ++i) {
        const Napi::Object o = a.Get(i).As<Napi::Object>();
        named_tensor       tensor;
        tensor.name             = string_of(o, "name");
        const Napi::Array shape = o.Get("shape").As<Napi::Array>();
        for (uint32_t d = 0; d < shape.Length(); ++d) {
            tensor.shape.push_back(shape.Get(d).As<Napi::Number>().Int64Value());
        }
        tensor.values = numbers_of<float, Napi::Float32Array>(o, "values");
        tensor.half   = bool_of(o, "half");
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

Napi::Value to_js(Napi::Env env, const probe_training & result) {
    Napi::Object         o = Napi::Object::New(env);
    std::vector<int32_t> texts, tokens;
    std::vector<uint8_t> whole;
    for (const probe_row & row : result.rows) {
        texts.push_back(int32_t(row.response));
        tokens.push_back(int32_t(row.n_tokens));
        whole.push_back(row.whole ? 1 : 0);
    }
    o.Set("text", typed_array<Napi::Int32Array>(env, texts));
    o.Set("tokens", typed_array<Napi::Int32Array>(env, tokens));
    o.Set("whole", typed_array<Napi::Uint8Array>(env, whole));
    Napi::Array probes = Napi::Array::New(env, result.probes.size());
    for (size_t i = 0; i < result.probes.size(); ++i) {
        const trained_probe & trained = result.probes[i];
        Napi::Object          probe   = Napi::Object::New(env);
        probe.Set("layers", typed_array<Napi::Int32Array>(env, trained.layers));
        probe.Set("last", trained.last);
        probe.Set("weights", typed_array<Napi::Float32Array>(env, trained.head.weight));
        probe.Set("bias", trained.head.bias);
        probe.Set("prior", trained.prior);
        probe.Set("logOdds", typed_array<Napi::Float64Array>(env, trained.log_odds));
        probe.Set("validationLoss", trained.validation_loss);
        probe.Set("epochs", trained.n_epochs);
        probes.Set(uint32_t(i), probe);
    }
    o.Set("probes", probes);
    return o;
}

Napi::Value to_js(Napi::Env env, const critic_training & result) {
    const critic_weights & w = result.weights;
    Napi::Object           o = Napi::Object::New(env);
    o.Set("valueMean", w.value_mean);
    o.Set("valueScale", w.value_scale);
    o.Set("budgetScale", typed_array<Napi::Float64Array>(env, w.budget_scale));
    std::vector<double> lowest, highest;
    for (const budget_range & range : result.budgets) {
        lowest.push_back(range.lowest);
        highest.push_back(range.highest);
    }
    o.Set("budgetLowest", typed_array<Napi::Float64Array>(env, lowest));
    o.Set("budgetHighest", typed_array<Napi::Float64Array>(env, highest));
    o.Set("examples", double(result.n_examples));
    o.Set("epochs", result.n_epochs);
    o.Set("validationLoss", result.validation_loss);
    std::vector<named_tensor> tensors = network_tensors(w.net);
    for (size_t i = 0; i < tensors.size(); ++i) {
        tensors[i].values = w.tensors[i];
    }
    tensors.push_back({ "features.mean", { int64_t(w.mean.size()) }, w.mean, false });
    tensors.push_back({ "features.scale", { int64_t(w.scale.size()) }, w.scale, false });
    Napi::Array list = Napi::Array::New(env, tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
        Napi::Object tensor = Napi::Object::New(env);
        tensor.Set("name", tensors[i].name);
        tensor.Set("shape", shape_to_js(env, tensors[i].shape));
        tensor.Set("values", typed_array<Napi::Float32Array>(env, tensors[i].values));
        tensor.Set("half", tensors[i].half);
        list.Set(uint32_t(i), tensor);
    }
    o.Set("tensors", list);
    const auto column = [&](const char * name, auto value_of) {
        std::vector<float> values;
        for (const critic_prediction & p : result.predictions) {
            values.push_back(float(value_of(p)));
        }
        o.Set(name, typed_array<Napi::Float32Array>(env, values));
    };
    column("prompt", [](const critic_prediction & p) { return p.prompt; });
    column("response", [](const critic_prediction & p) { return p.response; });
    column("position", [](const critic_prediction & p) { return p.position; });
    column("feasible", [](const critic_prediction & p) { return p.feasible; });
    column("safe", [](const critic_prediction & p) { return p.safe; });
    column("pSafe", [](const critic_prediction & p) { return p.p_safe; });
    column("value", [](const critic_prediction & p) { return p.value; });
    column("trueValue", [](const critic_prediction & p) { return p.true_value; });
    column("costShare", [](const critic_prediction & p) { return p.cost_share; });
    column("partialCostShare", [](const critic_prediction & p) { return p.partial_cost_share; });
    return o;
}

Napi::Value to_js(Napi::Env env, const epoch_losses & losses) {
    Napi::Object o = Napi::Object::New(env);
    o.Set("epoch", losses.epoch);
    o.Set("epochs", losses.max_epochs);
    o.Set("trainingLoss", losses.training_loss);
    o.Set("validationLoss", losses.validation_loss);
    return o;
}

}  // namespace ig
