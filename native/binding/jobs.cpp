#include "jobs.h"

#include "engine/llama_backend.h"
#include "protocol.h"

#include <iterator>
#include <tuple>

namespace ig {

namespace {

// Jobs, on the worker's thread.

using prompts = std::vector<prompt_source>;

epoch_function epochs_of(worker & w, job & j) {
    return [&w, &j](const epoch_losses & losses) {
        w.report(j, "epoch", losses);
    };
}

guard_info open(worker & w, job & j, guard_spec & spec) {
    int        last_percent = -1;
    const auto progress     = [&](float share) {
        const int percent = int(share * 100);
        if (percent != last_percent) {
            last_percent = percent;
            w.report(j, "progress", share);
        }
    };
    w.open(std::move(spec), j.cancel, progress);
    return w.guard().info();
}

std::monostate close(worker & w, job &, std::monostate &) {
    w.close();
    return {};
}

generation_result generate(worker & w, job & j, generation_request & request) {
    const auto on_commit = [&](const std::string & text) {
        w.report(j, "piece", text);
    };
    return w.guard().generate(request, std::move(j.slot_ahead), w.asker(j), j.cancel, on_commit);
}

std::vector<std::vector<token_id>> tokenize(worker & w, job & j, prompts & given) {
    return w.guard().tokenize(given, j.cancel);
}

std::vector<double> score(worker & w, job & j, score_request & request) {
    return w.guard().score(request, w.asker(j), j.cancel);
}

rollout_result rollouts(worker & w, job & j, rollout_request & request) {
    return w.guard().rollouts(request, w.asker(j), j.cancel);
}

std::vector<float> layer_states(worker & w, job & j, prompts & given) {
    return w.guard().layer_states(given, j.cancel);
}

std::vector<double> log_likelihoods(worker & w, job & j, likelihood_request & request) {
    return w.guard().log_likelihoods(request.prompt, request.tokens, j.cancel);
}

double bare_decode(worker & w, job & j, bare_decode_request & request) {
    return w.guard().bare_decode(request.n_prompt, request.n_sequences, request.n_tokens, j.cancel);
}

probe_training train_probes(worker & w, job & j, probe_request & request) {
    return w.guard().train_probes(request, j.cancel, epochs_of(w, j));
}

classifier_training train_classifier(worker & w, job & j, classifier_request & request) {
    return ig::train_classifier(request.texts, request.with_context, request.with_characters, request.seed, j.cancel,
                                epochs_of(w, j));
}

// Separate from the training, so that a whole folder is not in memory twice.
std::monostate add_rollouts(worker & w, job &, rollout_records & given) {
    for (const std::vector<uint8_t> & record : given.records) {
        std::vector<rollout> some = read_record(given.shape, record.data(), record.size());
        std::move(some.begin(), some.end(), std::back_inserter(w.rollouts_to_learn));
    }
    return {};
}

critic_training train_critic(worker & w, job & j, critic_request & request) {
    const std::vector<rollout>            rollouts = std::exchange(w.rollouts_to_learn, {});
    const std::vector<ggml_backend_dev_t> gpus     = w.gpus(request.device);
    request.options.device                         = gpus.empty() ? nullptr : gpus[0];
    return ig::train_critic(rollouts, request.options, j.cancel, epochs_of(w, j));
}

// Calls.

tensor_header read_tensors(const std::string &                             path,
                           const std::string &                             kind,
                           const std::string &                             error_code,
                           const std::vector<std::string> &                texts,
                           const std::vector<std::string> &                numbers,
                           const std::optional<std::vector<std::string>> & lists) {
    const tensor_file file(path, kind, error_code);
    tensor_header     header;
    for (const std::string & key : texts) {
        header.texts.emplace_back(key, file.text(key.c_str()));
    }
    for (const std::string & key : numbers) {
        header.numbers.emplace_back(key, file.numbers(key.c_str()));
    }
    for (const std::string & key : lists.value_or(std::vector<std::string>())) {
        header.lists.emplace_back(key, file.texts(key.c_str()));
    }
    return header;
}

// Returns the file's size in bytes.
uint64_t write_tensors(const std::string &               path,
                       const std::string &               kind,
                       const record<std::string> &       texts,
                       const record<number_or_array> &   numbers,
                       const std::vector<named_tensor> & tensors) {
    std::vector<named_text>    named_texts;
    std::vector<named_numbers> named;
    for (const auto & [key, text] : texts) {
        named_texts.push_back({ key, text });
    }
    for (const auto & [key, value] : numbers) {
        const double * one = std::get_if<double>(&value);
        named.push_back(
            { key, one ? std::vector<double>{ *one } : std::get<std::vector<double>>(value), one == nullptr });
    }
    return write_tensor_file(path, kind, named_texts, named, tensors);
}

template <typename Request, typename Result>
job_kind job_of(Result (*run)(worker &, job &, Request &), bool is_generation = false) {
    const auto read = [run](const Napi::Value & given) -> job_work {
        auto request = std::make_shared<Request>(from_js<Request>(given, "the request"));
        return [run, request](worker & w, job & j) -> payload {
            return payload_of(run(w, j, *request));
        };
    };
    const auto describe = [] {
        return "{ request: " + crossing<Request>::describe() + "; result: " + crossing<Result>::describe() + "; }";
    };
    return { read, describe, is_generation };
}

template <typename... Arguments, size_t... I>
std::tuple<Arguments...> arguments_of(const Napi::CallbackInfo & info, std::index_sequence<I...>) {
    return { from_js<Arguments>(info[I], "an argument")... };
}

template <typename Result, typename... Arguments> call_kind call_of(Result (*run)(Arguments...)) {
    const auto call = [run](const Napi::CallbackInfo & info) {
        const auto given  = arguments_of<plain<Arguments>...>(info, std::index_sequence_for<Arguments...>());
        Result     result = std::apply(run, given);
        return to_js(info.Env(), result);
    };
    const auto describe = [] {
        std::string text = "(";
        ((text += (text == "(" ? "" : ", ") + crossing<plain<Arguments>>::describe()), ...);
        return text + ") => " + crossing<Result>::describe();
    };
    return { call, describe };
}

}  // namespace

const table<job_kind> & jobs() {
    static const table<job_kind> all = {
        { "open", job_of(open) },
        { "close", job_of(close) },
        { "generate", job_of(generate, /*is_generation =*/true) },
        { "tokenize", job_of(tokenize) },
        { "score", job_of(score) },
        { "rollouts", job_of(rollouts) },
        { "layerStates", job_of(layer_states) },
        { "logLikelihoods", job_of(log_likelihoods) },
        { "bareDecode", job_of(bare_decode) },
        { "trainProbes", job_of(train_probes) },
        { "trainClassifier", job_of(train_classifier) },
        { "addRollouts", job_of(add_rollouts) },
        { "trainCritic", job_of(train_critic) }
    };
    return all;
}

const table<call_kind> & calls() {
    static const table<call_kind> all = {
        { "inspect",      call_of(read_model_file) },
        { "devices",      call_of(list_devices)    },
        { "readTensors",  call_of(read_tensors)    },
        { "writeTensors", call_of(write_tensors)   }
    };
    return all;
}

record<std::string> describe_protocol() {
    record<std::string> all;
    for (const auto & [name, kind] : jobs()) {
        all.emplace_back(name, kind.describe());
    }
    for (const auto & [name, kind] : calls()) {
        all.emplace_back(name, kind.describe());
    }
    all.emplace_back("progress", crossing<float>::describe());
    all.emplace_back("piece", crossing<std::string>::describe());
    all.emplace_back("epoch", crossing<epoch_losses>::describe());
    all.emplace_back("cost", crossing<question_asked>::describe());
    all.emplace_back("reward", crossing<question_asked>::describe());
    all.emplace_back("failed", crossing<failure>::describe());
    return all;
}

}  // namespace ig
