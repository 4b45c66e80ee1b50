#include "guard_engine.h"

#include "cost_factory.h"
#include "engine/llama_backend.h"
#include "safety/function_model.h"
#include "safety/log_likelihood.h"
#include "support/numeric.h"
#include "support/utf8.h"

#include <algorithm>
#include <cmath>

namespace ig {

namespace {

const size_t soon_tokenized = 1 << 16;  // bytes of a prompt that others may wait for

// Empty if the question for the categories, which is longer than the one for the cost, does not fit into the judge.
std::vector<double> categories_of(scoring_session & cost, const text_view & text) {
    try {
        return cost.categories(text);
    } catch (const error & e) {
        if (e.code != "TEXT_TOO_LONG") {
            throw;
        }
        return {};
    }
}

// For a job on the owner's thread.
session_scope scope_of(std::string          prompt,
                       const cancel_flag &  cancel,
                       uint64_t             available_bytes,
                       const ask_function & ask) {
    session_scope scope;
    scope.prompt                  = std::move(prompt);
    scope.reading.cancel          = &cancel;
    scope.reading.available_bytes = available_bytes;
    scope.ask                     = ask;
    return scope;
}

}  // namespace

size_t prompt_source::n_bytes() const {
    size_t n = 0;
    for (const text_part & part : parts) {
        n += part.text.size();
    }
    return n;
}

std::string prompt_source::text() const {
    std::string text;
    for (const text_part & part : parts) {
        text += part.text;
    }
    return text;
}

bool prompt_source::is_raw() const {
    return std::none_of(parts.begin(), parts.end(), [](const text_part & part) { return part.from_template; });
}

guard_engine::guard_engine(guard_spec                         given,
                           rendezvous &                       news,
                           const cancel_flag &                cancel,
                           const std::function<void(float)> & progress) :
    spec(std::move(given)),
    threads(make_threads(spec.decoder.n_threads)) {
    cost_factory costs(spec.model, threads, spec.decoder.n_threads, residual, computing, cancel);
    constraints.resize(spec.constraints.size());
    const auto make_those = [&](bool that_load_models) {
        for (size_t i = 0; i < constraints.size(); ++i) {
            if (spec.constraints[i].kind->loads_models == that_load_models) {
                constraints[i] = costs.make(spec.constraints[i], i);
            }
        }
    };
    make_those(/*that_load_models =*/false);  // so that their errors come early
    load_model(news, cancel, progress);
    costs.set_base(model);
    make_those(/*that_load_models =*/true);
    make_reward(costs);
    load_judge();
    read_residual();
    if (steps) {
        shared = std::make_unique<scheduler>(*steps, news, computing);
    }
    if (!spec.steering.path.empty()) {
        load_steering();
    }
}

void guard_engine::make_reward(cost_materials & with) {
    switch (spec.reward) {
        case REWARD_LOG_LIKELIHOOD:
            reward = std::make_unique<log_likelihood_reward>();
            break;
        case REWARD_LEXICON:
            reward = std::make_unique<lexicon>(spec.reward_lexicon, SPELLING_STRICT);
            break;
        case REWARD_FUNCTION:
            reward = std::make_unique<function_model>("reward", 0);
            break;
        case REWARD_SCORER:
            reward = std::make_unique<linked_score>(make_scorer(spec.reward_scorer, with), LINK_NONE, 0);
            break;
    }
}

void guard_engine::load_model(rendezvous &                       news,
                              const cancel_flag &                cancel,
                              const std::function<void(float)> & progress) {
    if (spec.tabular) {
        steps = std::make_unique<tabular_decoder>(*spec.tabular);
        progress(1);
    } else if (!spec.model.path.empty()) {
        model                   = std::make_shared<loaded_model>(spec.model, cancel, progress);
        tokenizer               = std::make_unique<text_tokenizer>(model, news);
        decoder_options options = spec.decoder;
        if (options.rows == ROWS_AUTO && spec.critic.empty()) {
            options.rows = ROWS_ON_HOST;  // faster, unless a critic reads them on the device
        }
        auto made = std::make_unique<llama_decoder>(*model, threads, options);
        llama     = made.get();
        steps     = std::move(made);
    }
}

void guard_engine::load_steering() {
    const int32_t n_embd = llama_model_n_embd(model->get());
    steering             = load_control_vector(spec.steering.path, n_embd, llama_model_n_layer(model->get()));
    keep_largest(steering, size_t(n_embd), spec.steering.sparsity);
}

layer_reader & guard_engine::reader() {
    if (!model) {
        throw error("UNSUPPORTED_MODEL", "expected a model file to read the states of its layers, got a tabular model");
    }
    if (!layers) {
        layers = std::make_unique<layer_reader>(*model, threads, spec.decoder.n_threads);
    }
    return *layers;
}

// The gate reverses the direction for prompts on the other side of the contrast.
double guard_engine::steer(const std::vector<token_id> & prompt, uint64_t available_bytes, const cancel_flag & cancel) {
    double strength = spec.steering.strength;
    if (spec.steering.gated) {
        const size_t             n_embd = size_t(llama_model_n_embd(model->get()));
        const std::vector<float> states = reader().read(prompt, available_bytes, cancel);
        const auto               gate   = states.begin() + std::ptrdiff_t(size_t(steering.gate_layer) * n_embd);
        const bool positive = steering.projection({ gate, gate + std::ptrdiff_t(n_embd) }) > steering.gate_threshold;
        strength            = positive ? strength : -strength;
    }
    std::vector<float> directions = steering.directions;
    for (float & component : directions) {
        component = float(component * strength);
    }
    llama->steer(std::move(directions));
    return strength;
}

void guard_engine::load_judge() {
    if (spec.oracle) {
        std::vector<oracle_constraint> limits;
        for (size_t i = 0; i < constraints.size(); ++i) {
            limits.push_back({ constraints[i].terms, spec.constraints[i].token_costs });
        }
        judge = std::make_unique<tabular_oracle>(*spec.tabular, limits);
    } else if (!spec.critic.empty()) {
        load_critic_file();
    }
}

void guard_engine::load_critic_file() {
    critic_weights weights = load_critic(spec.critic);
    for (int32_t layer : weights.layers) {
        if (layer >= n_readable_layers()) {
            throw error(
                "CRITIC_MISMATCH",
                format("expected a critic that reads layers below %d of this model, got one that reads layer %d; train "
                       "a critic for this model",
                       n_readable_layers(), layer));
        }
    }
    std::vector<size_t>       places  = residual.places_of(weights.layers);
    const critic_surroundings around  = { steps->n_embd(), model ? llama_model_n_embd(model->get()) : 0,
                                          steps->n_vocab(), constraints.size() };
    auto                      trained = std::make_unique<latent_critic>(std::move(weights), std::move(places), around,
                                                                        model ? model->first_gpu() : nullptr);
    if (llama != nullptr) {
        llama->set_critic(trained.get());
    }
    judge = std::move(trained);
}

// llama.cpp computes only outputs for the last layer.
int32_t guard_engine::n_readable_layers() const {
    return model ? llama_model_n_layer(model->get()) - 1 : 0;
}

void guard_engine::read_residual() {
    for (int32_t layer : spec.mean_layers) {
        if (layer >= n_readable_layers()) {
            throw error("INVALID_OPTION", format("meanLayers: expected layers below %d of this model, got %d",
                                                 n_readable_layers(), layer));
        }
    }
    mean_places = residual.places_of(spec.mean_layers);
    if (llama != nullptr && !residual.numbers().empty()) {
        llama->read_residual(residual.numbers());
    }
}

int64_t guard_engine::context_size() const {
    const int64_t trained = model ? model->trained_context() : 1 << 20;
    return spec.context_size > 0 ? std::min(spec.context_size, trained) : trained;
}

guard_info guard_engine::info() const {
    guard_info info;
    info.context_size = context_size();
    info.n_vocab      = steps ? steps->n_vocab() : 0;
    info.n_embd       = steps ? steps->n_embd() : 0;
    info.n_stream     = model ? llama_model_n_embd(model->get()) : 0;
    info.n_layers     = model ? llama_model_n_layer(model->get()) : 0;
    info.has_critic   = judge != nullptr;
    for (const constraint & c : constraints) {
        info.budgets.push_back(c.terms.budget);
    }
    info.backend = model ? model->backend() : spec.tabular ? "tabular" : "";
    if (model) {
        info.chat_template = model->chat_template();
        info.bos_text      = model->bos_text();
        info.eos_text      = model->eos_text();
        info.markup_texts  = model->chat_markup().texts();
    }
    return info;
}

// Other generations continue.
std::vector<token_id> guard_engine::read_text(const std::string & text, const cancel_flag & cancel) {
    wait_function serve;
    if (shared->on_owner()) {
        serve = [this](const std::function<bool()> & done) {
            shared->serve(done);
        };
    }
    return tokenizer->tokenize(text, /*with_ends =*/false, serve, cancel);
}

std::vector<token_id> guard_engine::tokens_of(const prompt_source & prompt, const cancel_flag & cancel) {
    if (prompt.tokens) {
        return *prompt.tokens;
    }
    if (!model) {
        throw error("INVALID_PROMPT", "expected token ids as the prompt of a tabular model, got text");
    }
    markup rules = model->chat_markup();
    for (const text_part & part : prompt.parts) {
        if (part.from_template) {
            rules.use_text(part.text);
        }
    }
    const plain_tokenizer tokenize = [&](const std::string & text) {
        return read_text(text, cancel);
    };
    marked_text text(rules, tokenize);
    for (const text_part & part : prompt.parts) {
        part.from_template ? text.add_template(part.text) : text.add_content(part.text);
    }
    return begun_with(model->beginning(), text.finish());
}

// Text after text is cut into tokens with it, as if the model had written it.
std::vector<token_id> guard_engine::with_prefill(const prompt_source &                prompt,
                                                 const std::optional<prompt_source> & prefill,
                                                 const cancel_flag &                  cancel) {
    prompt_source whole = prompt;
    if (prefill && prefill->is_text()) {
        whole.parts.insert(whole.parts.end(), prefill->parts.begin(), prefill->parts.end());
    }
    std::vector<token_id> tokens = tokens_of(whole, cancel);
    if (prefill && !prefill->is_text()) {
        tokens.insert(tokens.end(), prefill->tokens->begin(), prefill->tokens->end());
    }
    return tokens;
}

// Those of the prompt without the prefill.
std::vector<token_id> guard_engine::asked_tokens(const generation_request &    request,
                                                 const std::vector<token_id> & prompt,
                                                 const cancel_flag &           cancel) {
    if (request.prefill && request.prefill->is_text()) {
        return tokens_of(request.prompt, cancel);
    }
    const size_t n_prefill = request.prefill ? request.prefill->tokens->size() : 0;
    return { prompt.begin(), prompt.end() - std::ptrdiff_t(n_prefill) };
}

response_prefill guard_engine::prefill_of(const generation_request &    request,
                                          const std::vector<token_id> & asked,
                                          const std::vector<token_id> & prompt) const {
    response_prefill prefill;
    if (!request.prefill) {
        return prefill;
    }
    prefill.tokens.assign(prompt.begin() + std::ptrdiff_t(shared_tokens(prompt, asked)), prompt.end());
    if (request.prefill->is_text()) {
        prefill.text = request.prefill->text();
    } else {
        text_of(last_text_tokens(asked), prefill.end);  // its last token may begin a character
        prefill.text = text_of(prefill.tokens, prefill.end);
    }
    return prefill;
}

void guard_engine::expect_room_for(size_t n_bytes) const {
    if (tokenizer && !tokenizer->may_fit(n_bytes, context_size())) {
        throw error(
            "PROMPT_TOO_LONG",
            format("expected a prompt that leaves room for a response within the context of %lld tokens, got %zu bytes "
                   "of text, which so many tokens cannot hold; shorten the prompt",
                   (long long) context_size(), n_bytes));
    }
}

void guard_engine::expect_prompt(const std::vector<token_id> & tokens) const {
    if (tokens.empty()) {
        throw error("INVALID_PROMPT", "expected a prompt of at least one token, got none");
    }
    for (token_id token : tokens) {
        if (token < 0 || token >= steps->n_vocab()) {
            throw error("INVALID_PROMPT",
                        format("expected token ids from 0 to %d, got %d", steps->n_vocab() - 1, token));
        }
    }
    if (int64_t(tokens.size()) >= context_size()) {
        throw error("PROMPT_TOO_LONG",
                    format("expected a prompt that leaves room for a response within the context of %lld "
                           "tokens, got %zu tokens; shorten the prompt",
                           (long long) context_size(), tokens.size()));
    }
}

std::vector<token_id> guard_engine::prompt_tokens(const prompt_source & prompt, const cancel_flag & cancel) {
    expect_room_for(prompt.n_bytes());
    std::vector<token_id> tokens = tokens_of(prompt, cancel);
    expect_prompt(tokens);
    return tokens;
}

// Without control tokens, and complete characters only.
std::string guard_engine::text_of(const std::vector<token_id> & tokens) const {
    utf8_stream bytes;
    return text_of(tokens, bytes);
}

// The same behind these bytes, the beginning of a character.
std::string guard_engine::text_of(const std::vector<token_id> & tokens, utf8_stream & bytes) const {
    std::string text;
    for (token_id token : tokens) {
        bytes.push(steps->piece(token), text);
    }
    return text;
}

// Those after the last control token, whose text a response may continue.
std::vector<token_id> guard_engine::last_text_tokens(const std::vector<token_id> & tokens) const {
    const auto has_text = [&](token_id token) {
        return !steps->piece(token).empty();
    };
    return { std::find_if_not(tokens.rbegin(), tokens.rend(), has_text).base(), tokens.end() };
}

generation_result guard_engine::generate(const generation_request & request,
                                         std::unique_ptr<slot>      ahead,
                                         const ask_function &       ask,
                                         const cancel_flag &        cancel,
                                         const commit_function &    commit) {
    cancel.check();
    const size_t n_bytes = request.prompt.n_bytes() + (request.prefill ? request.prefill->n_bytes() : 0);
    expect_room_for(n_bytes);
    if (n_bytes > soon_tokenized) {
        ahead.reset();
    }
    const std::vector<token_id> prompt = with_prefill(request.prompt, request.prefill, cancel);
    expect_prompt(prompt);
    const std::vector<token_id> asked = asked_tokens(request, prompt, cancel);
    std::vector<token_id>       noted;
    if (request.noted) {
        noted = with_prefill(*request.noted, request.prefill, cancel);
    }
    const response_prefill prefill = prefill_of(request, asked, prompt);
    search_options         options = request.search;
    options.max_tokens    = int32_t(std::min<int64_t>(options.max_tokens, context_size() - int64_t(prompt.size())));
    options.block_length  = std::min(options.block_length, options.max_tokens);
    options.ascent.lambda = options.objective == OBJECTIVE_LAGRANGIAN ? options.lambda : 0;
    if (llama != nullptr) {
        llama->set_available_bytes(request.available_bytes);
    }
    std::optional<double> strength;
    if (!spec.steering.path.empty()) {
        strength = steer(asked, request.available_bytes, cancel);
        shared->forget();  // the cache was filled with another strength
    }
    std::unique_ptr<slot> own      = std::move(ahead);
    const ask_function    ask_away = [&](const char * kind, size_t index, const std::vector<text_view> & texts) {
        own->leave();
        std::vector<double> answer = ask(kind, index, texts);
        own->come_back();
        return answer;
    };
    session_scope scope =
        scope_of(request.question ? *request.question : text_of(asked), cancel, request.available_bytes, ask_away);
    scope.reading.on_owner = [&](const std::function<void()> & call) {
        own->call(call, cancel);
    };
    const std::string before = request.prompt.is_text() ? request.prompt.text() : text_of(last_text_tokens(asked));
    guard_session     session(constraints, *reward, std::move(scope), request.prompt.is_raw() ? before : "", prefill);
    if (!own) {
        own = shared->open();
    }
    const bool          needs_critic = options.asks_critic() || options.edits_hidden();
    const search_models models       = { *own, constraints, &session, needs_critic ? judge.get() : nullptr };
    generation_result   result;
    result.search         = request.noted ? repair(models, prompt, noted, context_size(), options, cancel) :
                                            search(models, prompt, options, cancel, commit);
    result.n_prompt       = int64_t(prompt.size());
    result.steering       = strength;
    result.rows_on_device = llama != nullptr && llama->cuts_rows();
    if (result.search.outcome == OUTCOME_REFUSED && options.repairs && !request.noted) {
        result.harm = harm_of(result.search.first_rejected, session);
    }
    const text_view answer = { &result.search.text, &result.search.tokens, true, 0, nullptr, &result.search.residual };
    for (size_t c = 0; c < constraints.size(); ++c) {
        const bool has_text = constraints[c].whole_text && result.search.outcome != OUTCOME_REFUSED;
        result.categories.push_back(has_text ? categories_of(session.cost(c), answer) : std::vector<double>());
    }
    result.search.text.erase(0, prefill.text.size());
    return result;
}

// The most probable category among the cost models that reject a text.
std::optional<harm_kind> guard_engine::harm_of(const rejected_text & rejected, guard_session & session) const {
    const std::vector<token_id> no_tokens;
    const text_view             view = { &rejected.text, &no_tokens, true, 0, nullptr, &rejected.residual };
    std::optional<harm_kind>    worst;
    double                      highest = 0;
    for (size_t c = 0; c < constraints.size() && !rejected.text.empty(); ++c) {
        const constraint &        limit = constraints[c];
        const std::vector<double> all = limit.whole_text ? categories_of(session.cost(c), view) : std::vector<double>();
        const auto                most = std::max_element(all.begin(), all.end());
        if (most != all.end() && *most > highest &&
            !ledger::allows_whole(limit, session.cost(c).scores({ view }).at(0))) {
            highest = *most;
            worst   = harm_kind{ c, size_t(most - all.begin()) };
        }
    }
    return worst;
}

std::vector<double> guard_engine::score(const score_request & request,
                                        const ask_function &  ask,
                                        const cancel_flag &   cancel) {
    cancel.check();
    guard_session session(constraints, *reward, scope_of(request.prompt, cancel, /*available_bytes =*/0, ask),
                          request.is_raw ? request.prompt : "");
    const size_t  n = constraints.size();
    const std::vector<token_id> no_tokens;
    std::vector<text_view>      views;
    for (const std::string & text : request.texts) {
        views.push_back({ &text, &no_tokens, true, 0 });
    }
    const auto charged = [&](size_t c, const std::string & text) {
        cost_state   state = session.starts()[c];
        const double cost  = constraints[c].per_token->charge(state, 0, text);
        return sum_up(cost, constraints[c].per_token->charge_end(state));
    };
    std::vector<double> costs(request.texts.size() * n);
    for (size_t c = 0; c < n && !views.empty(); ++c) {
        cancel.check();
        const constraint &              limit = constraints[c];
        const std::vector<residual_sum> residuals =
            request.asked[c] ? residuals_of(*request.asked[c], request.texts, cancel) : std::vector<residual_sum>();
        for (size_t i = 0; i < views.size(); ++i) {
            views[i].residual = residuals.empty() ? nullptr : &residuals[i];
        }
        const std::vector<double> whole = limit.whole_text ? session.cost(c).scores(views) : std::vector<double>();
        for (size_t i = 0; i < views.size(); ++i) {
            const double cost = limit.whole_text ? whole.at(i) : charged(c, request.texts[i]);
            costs[i * n + c]  = safety_state::floored(limit.terms, cost);
        }
    }
    return costs;
}

std::vector<std::vector<token_id>> guard_engine::tokenize(const std::vector<prompt_source> & prompts,
                                                          const cancel_flag &                cancel) {
    std::vector<std::vector<token_id>> result;
    for (const prompt_source & prompt : prompts) {
        cancel.check();
        try {
            result.push_back(prompt_tokens(prompt, cancel));
        } catch (const error & e) {
            throw error(e.code, format("prompt %zu: %s", result.size() + 1, e.what()));
        }
    }
    return result;
}

rollout_result guard_engine::rollouts(const rollout_request & request,
                                      const ask_function &    ask,
                                      const cancel_flag &     cancel) {
    cancel.check();
    if (llama != nullptr) {
        llama->set_available_bytes(request.available_bytes);
    }
    std::vector<rollout_prompt> prompts = request.prompts;
    for (rollout_prompt & prompt : prompts) {
        const std::string before = prompt.question ? *prompt.question : text_of(last_text_tokens(prompt.tokens));
        session_scope     scope =
            scope_of(prompt.question ? *prompt.question : text_of(prompt.tokens), cancel, request.available_bytes, ask);
        prompt.session =
            std::make_shared<guard_session>(constraints, *reward, std::move(scope), prompt.is_raw ? before : "");
    }
    const std::unique_ptr<slot> own     = shared->open();
    const search_models         models  = { *own, constraints, nullptr, nullptr };
    rollout_options             options = request.options;
    options.mean_places                 = mean_places;
    options.n_stream                    = model ? size_t(llama_model_n_embd(model->get())) : 0;
    const rollout_batch batch           = sample_rollouts(models, prompts, options, cancel);
    return { write_record(batch.rollouts), int64_t(batch.rollouts.size()), batch.n_generated, batch.n_over_budget };
}

}  // namespace ig
