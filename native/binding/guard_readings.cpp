// what a guard computes for given prompts and responses
#include "engine/response_reader.h"
#include "guard_engine.h"
#include "support/numeric.h"

#include <chrono>

namespace ig {

// For each text after a prompt, over all of its tokens.
std::vector<residual_sum> guard_engine::residuals_of(const prompt_source &            prompt,
                                                     const std::vector<std::string> & texts,
                                                     const cancel_flag &              cancel) {
    expect_readable(prompt.n_bytes());
    const std::vector<token_id>        before = tokens_of(prompt, cancel);
    std::vector<std::vector<token_id>> tokens;
    for (const std::string & text : texts) {
        cancel.check();
        tokens.push_back(response_tokens(before, text, cancel));
    }
    std::vector<given_response> responses;
    for (const std::vector<token_id> & own : tokens) {
        responses.push_back({ &before, &own, own.empty() ? std::vector<size_t>() : std::vector<size_t>{ own.size() } });
    }
    std::vector<residual_sum> residuals(texts.size());
    const auto                keep = [&](const response_state & state) {
        residuals[state.response] = state.residual;
    };
    read_responses([this] { return shared->open(); }, responses, /*with_hidden =*/false, keep, cancel);
    return residuals;
}

void guard_engine::expect_readable(size_t n_bytes) const {
    if (!tokenizer->may_fit(n_bytes, context_size())) {
        throw error(
            "TEXT_TOO_LONG",
            format(
                "expected prompt and response within the context of %lld tokens, got %zu bytes of text, which so many "
                "tokens cannot hold; shorten the prompt or the response",
                (long long) context_size(), n_bytes));
    }
}

// For a response given as text.
std::vector<token_id> guard_engine::response_tokens(const std::vector<token_id> & prompt,
                                                    const std::string &           text,
                                                    const cancel_flag &           cancel) {
    expect_readable(text.size());
    std::vector<token_id> tokens = read_text(text, cancel);
    if (int64_t(prompt.size() + tokens.size()) > context_size()) {
        throw error(
            "TEXT_TOO_LONG",
            format("expected prompt and response within the context of %lld tokens, got %zu; shorten the prompt or the "
                   "response",
                   (long long) context_size(), prompt.size() + tokens.size()));
    }
    return tokens;
}

probe_training guard_engine::train_probes(const probe_request &  request,
                                          const cancel_flag &    cancel,
                                          const epoch_function & on_epoch) {
    if (steps->n_embd() == 0) {
        throw error("UNSUPPORTED_MODEL", "expected a model whose hidden states can be read, got a recurrent one");
    }
    if (!request.layers.empty()) {
        llama->read_residual(request.layers);
    }
    std::vector<labelled_response> responses;
    for (size_t i = 0; i < request.texts.size(); ++i) {
        const labelled_text & text = request.texts[i];
        cancel.check();
        expect_readable(request.prompts[i].n_bytes());
        std::vector<token_id> prompt = tokens_of(request.prompts[i], cancel);
        std::vector<token_id> tokens = response_tokens(prompt, text.text, cancel);
        responses.push_back({ std::move(prompt), std::move(tokens), text.label, text.trains, text.validates });
    }
    thread_team team(threads, spec.decoder.n_threads);
    return ig::train_probes([this] { return shared->open(); }, responses, request.layers, request.chooses, team, cancel,
                            on_epoch);
}

std::vector<double> guard_engine::log_likelihoods(const std::vector<token_id> & prompt,
                                                  const std::vector<token_id> & tokens,
                                                  const cancel_flag &           cancel) {
    if (llama != nullptr) {
        llama->steer({});  // likelihoods are those of the base model
    }
    const std::unique_ptr<slot> own = shared->open();
    const std::vector<token_id> nothing_known;
    own->reserve({ 1, int64_t(prompt.size() + tokens.size()) }, nothing_known, cancel);
    const size_t          n_vocab = size_t(steps->n_vocab());
    std::vector<double>   result;
    std::vector<token_id> behind = prompt;
    behind.insert(behind.end(), tokens.begin(), tokens.end());
    for (size_t t = 0; t + 1 < behind.size(); ++t) {
        const decode_item item = { 0, int32_t(t), behind[t] };
        if (t + 1 < prompt.size()) {
            own->extend({ item }, nullptr, cancel);
            continue;
        }
        own->step(
            { item }, {},
            [&](const output_row & row) {
                const float * logits = own->logits(row);
                result.push_back(logits[behind[t + 1]] - log_sum_exp(logits, n_vocab));
            },
            cancel);
    }
    return result;
}

std::vector<float> guard_engine::layer_states(const std::vector<prompt_source> & prompts, const cancel_flag & cancel) {
    std::vector<float> result;
    for (const std::vector<token_id> & prompt : tokenize(prompts, cancel)) {
        const std::vector<float> states = reader().read(prompt, /*available_bytes =*/0, cancel);
        result.insert(result.end(), states.begin(), states.end());
    }
    return result;
}

double guard_engine::bare_decode(int32_t n_prompt, int32_t n_sequences, int32_t n_tokens, const cancel_flag & cancel) {
    const std::unique_ptr<slot> own = shared->open();
    const std::vector<token_id> nothing_known;
    own->reserve({ n_sequences + 1, n_prompt + int64_t(n_sequences) * n_tokens }, nothing_known, cancel);
    std::vector<decode_item> prompt;
    for (int32_t t = 0; t < n_prompt; ++t) {
        prompt.push_back({ 0, t, 1 });
    }
    const auto begin = std::chrono::steady_clock::now();
    own->extend(prompt, nullptr, cancel);
    for (seq_id seq = 1; seq <= n_sequences; ++seq) {
        own->fork(0, seq);
    }
    for (int32_t t = 0; t < n_tokens; ++t) {
        std::vector<decode_item> items;
        for (seq_id seq = 1; seq <= n_sequences; ++seq) {
            items.push_back({ seq, n_prompt + t, 1 + (seq * 31 + t * 17) % (steps->n_vocab() - 1) });
        }
        own->step(items, {}, [](const output_row &) {}, cancel);
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace ig
