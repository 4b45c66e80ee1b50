// An addon of its own for bench/micro.mjs: operations of the core that JavaScript never calls alone. operation(name, size, file)
// prepares one and returns a function of a count that runs it so many times and returns the seconds.
#include "critic/latent_critic.h"
#include "engine/llama_backend.h"
#include "engine/llama_decoder.h"
#include "safety/lexicon.h"
#include "support/numeric.h"
#include "support/random.h"

#include <napi.h>

#include <chrono>
#include <functional>

namespace ig {

namespace {

using operation = std::function<void()>;

volatile double sink;  // keeps results alive

std::vector<float> random_row(size_t n) {
    random_stream      random(1, 0, 0);
    std::vector<float> row(n);
    for (float & x : row) {
        x = float(8 * random.uniform() - 4);
    }
    return row;
}

operation top_k_of(size_t n_vocab) {
    return [row = random_row(n_vocab), best = std::vector<int32_t>()]() mutable {
        ig::top_k(row.data(), row.size(), 20, best);
        sink = best.back();
    };
}

operation log_sum_exp_of(size_t n_vocab) {
    return [row = random_row(n_vocab)]() mutable {
        sink = log_sum_exp(row.data(), row.size());
    };
}

// a text of so many words, none of which is a term
operation lexicon_of(size_t n_words, spelling_rule rule) {
    std::vector<lexicon_term> terms;
    for (int i = 0; i < 1000; ++i) {
        terms.push_back({ "term" + std::to_string(i) + "*", 1 });
    }
    std::string text;
    for (size_t i = 0; i < n_words; ++i) {
        text += " word" + std::to_string(i % 100);
    }
    return [words = std::make_shared<lexicon>(terms, rule), text] {
        cost_state state;
        sink = words->charge(state, 0, text) + words->charge_end(state);
    };
}

// the critic on so many candidates of a block, summaries of the logits included
operation critic_of(size_t n_candidates, const std::string & file) {
    struct block {
        std::vector<float>              logits = random_row(32000);
        std::vector<float>              hidden;
        std::string                     text;
        std::vector<token_id>           tokens = std::vector<token_id>(32, 1);
        std::vector<std::vector<float>> kept;
        std::vector<critic_input>       inputs;
        std::unique_ptr<latent_critic>  judge;
    };

    auto           made    = std::make_shared<block>();
    critic_weights weights = load_critic(file);
    made->hidden           = random_row(size_t(weights.features.n_embd));
    made->kept.resize(n_candidates);
    for (std::vector<float> & kept : made->kept) {
        made->inputs.push_back({
            &kept,
            false,
            -1.0,
            std::vector<double>(size_t(weights.features.n_constraints), 0),
            { &made->text, &made->tokens, false, -32.0 },
            64
        });
    }
    const int32_t n_embd        = weights.features.n_embd;
    const size_t  n_constraints = size_t(weights.features.n_constraints);
    made->judge = std::make_unique<latent_critic>(std::move(weights), n_embd, int32_t(made->logits.size()),
                                                  n_constraints, nullptr);
    return [made] {
        for (std::vector<float> & kept : made->kept) {
            kept = made->judge->keep(made->hidden.data(), made->logits.data(), made->logits.size());
        }
        sink = made->judge->judge(made->inputs).back().p_safe;
    };
}

// forks the sequence of a prompt of 256 tokens so many times and drops the forks
operation tree_of(size_t n_forks, const std::string & file) {
    struct tree {
        cancel_flag                    cancel;
        std::unique_ptr<loaded_model>  model;
        std::unique_ptr<llama_decoder> steps;
    };

    auto          made = std::make_shared<tree>();
    model_options options;
    options.path   = file;
    options.device = "cpu";
    made->model    = std::make_unique<loaded_model>(options, made->cancel, [](float) {});
    made->steps    = std::make_unique<llama_decoder>(*made->model, make_threads(1), decoder_options());
    made->steps->make_room(int32_t(n_forks) + 1, 256 + int64_t(n_forks));
    std::vector<decode_item> prompt;
    for (int32_t t = 0; t < 256; ++t) {
        prompt.push_back({ 0, t, 300 });
    }
    made->steps->extend(prompt, nullptr, made->cancel);
    return [made, n_forks] {
        for (size_t seq = 1; seq <= n_forks; ++seq) {
            made->steps->fork(0, seq_id(seq));
        }
        for (size_t seq = 1; seq <= n_forks; ++seq) {
            made->steps->drop(seq_id(seq));
        }
    };
}

operation operation_of(const std::string & name, size_t size, const std::string & file) {
    if (name == "topK") {
        return top_k_of(size);
    }
    if (name == "logSumExp") {
        return log_sum_exp_of(size);
    }
    if (name == "lexicon") {
        return lexicon_of(size, SPELLING_STRICT);
    }
    if (name == "looseLexicon") {
        return lexicon_of(size, SPELLING_LOOSE);
    }
    return name == "critic" ? critic_of(size, file) : tree_of(size, file);
}

Napi::Value prepare(const Napi::CallbackInfo & info) {
    const Napi::Env env = info.Env();
    try {
        operation run = operation_of(info[0].As<Napi::String>(), info[1].As<Napi::Number>().Uint32Value(),
                                     info[2].As<Napi::String>());
        return Napi::Function::New(env, [run](const Napi::CallbackInfo & call) {
            const uint32_t count = call[0].As<Napi::Number>().Uint32Value();
            const auto     begin = std::chrono::steady_clock::now();
            for (uint32_t i = 0; i < count; ++i) {
                run();
            }
            const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
            return Napi::Number::New(call.Env(), seconds.count());
        });
    } catch (const std::exception & e) {
        Napi::Error::New(env, e.what()).ThrowAsJavaScriptException();
        return env.Undefined();
    }
}

}  // namespace

}  // namespace ig

static Napi::Object init(Napi::Env env, Napi::Object exports) {
    ig::init_llama_backend();
    exports.Set("operation", Napi::Function::New(env, ig::prepare));
    return exports;
}

NODE_API_MODULE(inferenceguard_micro, init)
