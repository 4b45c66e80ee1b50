#include "marshal.h"

#include "cost_factory.h"
#include "critic/features.h"
#include "js_values.h"

#include <cmath>

namespace ig {

namespace {

std::vector<lexicon_term> lexicon_of(const Napi::Object & o, const char * key) {
    const Napi::Array         terms = o.Get(key).As<Napi::Array>();
    std::vector<lexicon_term> lexicon;
    for (uint32_t i = 0; i < terms.Length(); ++i) {
        const Napi::Object term = terms.Get(i).As<Napi::Object>();
        lexicon.push_back({ string_of(term, "term"), number_of(term, "weight") });
    }
    return lexicon;
}

std::vector<std::string> texts_of(const Napi::Object & o, const char * key) {
    const Napi::Array        given = o.Get(key).As<Napi::Array>();
    std::vector<std::string> texts;
    for (uint32_t i = 0; i < given.Length(); ++i) {
        texts.push_back(given.Get(i).As<Napi::String>().Utf8Value());
    }
    return texts;
}

std::optional<std::string> question_from(const Napi::Object & o) {
    return o.Get("question").IsString() ? std::make_optional(string_of(o, "question")) : std::nullopt;
}

template <typename kind> const kind * kind_from(const Napi::Object & o, const std::vector<const kind *> & all) {
    const std::string name = string_of(o, "kind");
    for (const kind * one : all) {
        if (name == one->name) {
            return one;
        }
    }
    throw error("INTERNAL", "unknown kind of cost model: " + name);
}

scorer_spec scorer_from(const Napi::Object & o) {
    scorer_spec spec;
    spec.kind         = kind_from(o, scorer_kinds);
    spec.path         = string_of(o, "path");
    spec.head         = string_of(o, "head");
    spec.probe        = o.Has("probe") ? string_of(o, "probe") : "";
    spec.has_template = o.Has("template");
    if (spec.has_template) {
        const Napi::Object pieces    = o.Get("template").As<Napi::Object>();
        spec.pieces.before           = string_of(pieces, "before");
        spec.pieces.between          = string_of(pieces, "between");
        spec.pieces.after            = texts_of(pieces, "after");
        spec.pieces.controls         = texts_of(pieces, "controls");
        spec.pieces.trims            = bool_of(pieces, "trims");
        spec.answers.safe            = texts_of(pieces, "safe");
        spec.answers.unsafe          = texts_of(pieces, "unsafe");
        spec.answers.before_category = string_of(pieces, "beforeCategory");
        spec.answers.categories      = texts_of(pieces, "categories");
    }
    spec.classes.labels = texts_of(o, "labels");
    if (o.Has("multiLabel")) {
        spec.classes.independent = bool_of(o, "multiLabel");
    }
    if (o.Has("uncertaintyPenalty")) {
        spec.uncertainty_penalty = number_of(o, "uncertaintyPenalty");
    }
    spec.higher             = string_of(o, "higher") == "safe" ? SAFE_IS_HIGHER : UNSAFE_IS_HIGHER;
    const Napi::Array pairs = o.Get("selfTest").As<Napi::Array>();
    for (uint32_t i = 0; i < pairs.Length(); ++i) {
        const Napi::Object pair = pairs.Get(i).As<Napi::Object>();
        spec.self_test.push_back({ string_of(pair, "prompt"), string_of(pair, "safe"), string_of(pair, "unsafe") });
    }
    return spec;
}

const std::vector<std::pair<const char *, score_link>> links = {
    { "probability", LINK_PROBABILITY },
    { "excess",      LINK_EXCESS      }
};

constraint_spec constraint_from(const Napi::Object & o) {
    constraint_spec spec;
    spec.kind           = kind_from(o, cost_kinds);
    spec.terms.budget   = number_of(o, "budget");
    spec.terms.discount = number_of(o, "discount");
    spec.terms.anytime  = string_of(o, "criterion") == "anytime";
    spec.terms.floored  = bool_of(o, "floored");
    if (o.Has("lexicon")) {
        spec.lexicon  = lexicon_of(o, "lexicon");
        spec.spelling = choice_of<spelling_rule>(o, "match",
                                                 {
                                                     { "strict", SPELLING_STRICT },
                                                     { "loose",  SPELLING_LOOSE  }
        });
    }
    if (o.Has("classifier")) {
        spec.classifier = string_of(o, "classifier");
    }
    if (o.Has("scorer")) {
        spec.scorer = scorer_from(o.Get("scorer").As<Napi::Object>());
    }
    if (o.Has("link")) {
        spec.link      = choice_of<score_link>(o, "link", links);
        spec.threshold = number_of(o, "threshold");
    }
    if (o.Has("tokenCosts")) {
        spec.token_costs = numbers_of<double, Napi::Float64Array>(o, "tokenCosts");
    }
    return spec;
}

std::unique_ptr<tabular_model> tabular_from(const Napi::Object & o) {
    auto              model  = std::make_unique<tabular_model>();
    const Napi::Array pieces = o.Get("pieces").As<Napi::Array>();
    for (uint32_t i = 0; i < pieces.Length(); ++i) {
        model->pieces.push_back(pieces.Get(i).As<Napi::String>().Utf8Value());
    }
    model->logits = numbers_of<float, Napi::Float32Array>(o, "logits");
    model->ends.resize(model->pieces.size(), false);
    for (int32_t end : numbers_of<int32_t, Napi::Int32Array>(o, "ends")) {
        model->ends[end] = true;
    }
    model->max_sequences = int_of(o, "maxSequences");
    return model;
}

const char * outcome_name(search_outcome outcome) {
    switch (outcome) {
        case OUTCOME_SAFE:
            return "safe";
        case OUTCOME_STEERED:
            return "steered";
        case OUTCOME_TRUNCATED:
            return "truncated";
        case OUTCOME_REPAIRED:
            return "repaired";
        case OUTCOME_REFUSED:
            return "refused";
        case OUTCOME_UNGUARDED:
            return "unguarded";
    }
    return "";
}

Napi::Value pruned_to_js(Napi::Env env, verdict judgement) {
    switch (judgement) {
        case verdict::open:
        case verdict::finished:
            return env.Null();
        case verdict::over_budget:
        case verdict::judged_over_budget:
            return Napi::String::New(env, "cost");
        case verdict::unlikely_safe:
            return Napi::String::New(env, "pSafe");
        case verdict::not_selected:
            return Napi::String::New(env, "notSelected");
        case verdict::failed_recheck:
            return Napi::String::New(env, "recheck");
        case verdict::out_of_tokens:
            return Napi::String::New(env, "limit");
    }
    return env.Null();
}

Napi::Value finite_or_null(Napi::Env env, double value) {
    return std::isfinite(value) ? Napi::Number::New(env, value) : env.Null();
}

Napi::Value trace_to_js(Napi::Env env, const std::vector<trace_node> & trace) {
    Napi::Array nodes = Napi::Array::New(env, trace.size());
    for (size_t i = 0; i < trace.size(); ++i) {
        const trace_node & node = trace[i];
        Napi::Object       o    = Napi::Object::New(env);
        o.Set("parent", node.parent);
        o.Set("round", node.round);
        o.Set("position", node.position);
        o.Set("tokens", node.n_tokens);
        o.Set("text", node.text);
        Napi::Array z = Napi::Array::New(env, node.z.size());
        for (size_t c = 0; c < node.z.size(); ++c) {
            z.Set(uint32_t(c), node.z[c]);
        }
        o.Set("z", z);
        o.Set("cost", node.cost);
        o.Set("reward", finite_or_null(env, node.reward));
        o.Set("pSafe", finite_or_null(env, node.p_safe));
        o.Set("value", finite_or_null(env, node.value));
        o.Set("score", finite_or_null(env, node.score));
        o.Set("finished", node.finished);
        o.Set("pruned", pruned_to_js(env, node.judgement));
        o.Set("answer", node.answer);
        nodes.Set(uint32_t(i), o);
    }
    return nodes;
}

const char * finish_name(const search_result & result) {
    if (result.outcome == OUTCOME_TRUNCATED || result.outcome == OUTCOME_REFUSED) {
        return "safety";
    }
    return result.finish == FINISH_STOP ? "stop" : "length";
}

// Without a critic that reads them there, whole rows are copied to the host faster than a device cuts them down.
row_route rows_from(const std::string & outputs, const std::string & critic) {
    const bool chooses = outputs == "auto" && !critic.empty();
    return outputs == "device" ? ROWS_ON_DEVICE : chooses ? ROWS_AUTO : ROWS_ON_HOST;
}

}  // namespace

guard_spec guard_spec_from(const Napi::Object & o) {
    guard_spec spec;
    spec.critic = string_of(o, "critic");
    if (o.Has("tabular")) {
        spec.tabular = tabular_from(o.Get("tabular").As<Napi::Object>());
        spec.oracle  = bool_of(o, "oracle");
    } else if (o.Has("path")) {
        spec.model.path        = string_of(o, "path");
        spec.decoder.max_cells = int64_of(o, "kvCells");
        spec.decoder.rows      = rows_from(string_of(o, "outputs"), spec.critic);
        spec.context_size      = int64_of(o, "contextSize");
        if (o.Get("steering").IsObject()) {
            const Napi::Object steering = o.Get("steering").As<Napi::Object>();
            spec.steering.path          = string_of(steering, "vector");
            spec.steering.strength      = number_of(steering, "strength");
            spec.steering.sparsity      = number_of(steering, "sparsity");
            spec.steering.gated         = bool_of(steering, "gate");
        }
    }
    spec.model.device       = string_of(o, "device");
    spec.model.n_gpu_layers = int_of(o, "gpuLayers");
    spec.model.use_mmap     = bool_of(o, "useMmap");
    spec.model.use_mlock    = bool_of(o, "useMlock");
    spec.decoder.n_threads  = int_of(o, "threads");
    if (o.Has("meanLayers")) {
        spec.mean_layers = numbers_of<int32_t, Napi::Int32Array>(o, "meanLayers");
    }
    const Napi::Array constraints = o.Get("constraints").As<Napi::Array>();
    for (uint32_t i = 0; i < constraints.Length(); ++i) {
        spec.constraints.push_back(constraint_from(constraints.Get(i).As<Napi::Object>()));
    }
    spec.reward = choice_of<reward_kind>(o, "reward",
                                         {
                                             { "logLikelihood", REWARD_LOG_LIKELIHOOD },
                                             { "lexicon",       REWARD_LEXICON        },
                                             { "function",      REWARD_FUNCTION       },
                                             { "scorer",        REWARD_SCORER         }
    });
    if (spec.reward == REWARD_SCORER) {
        spec.reward_scorer = scorer_from(o.Get("rewardScorer").As<Napi::Object>());
    }
    if (spec.reward == REWARD_LEXICON) {
        spec.reward_lexicon = lexicon_of(o, "rewardLexicon");
    }
    return spec;
}

prompt_source prompt_from(const Napi::Object & o) {
    prompt_source prompt;
    prompt.is_text = !o.Has("tokens");
    if (o.Has("parts")) {
        for (std::string & text : texts_of(o, "parts")) {
            prompt.parts.push_back({ std::move(text), prompt.parts.size() % 2 == 0 });
        }
    } else if (prompt.is_text) {
        prompt.parts.push_back({ string_of(o, "text"), bool_of(o, "special") });
    } else {
        prompt.tokens = numbers_of<token_id, Napi::Int32Array>(o, "tokens");
    }
    return prompt;
}

score_request score_request_from(const Napi::Object & o) {
    score_request     request = { string_of(o, "prompt"), bool_of(o, "isRaw"), texts_of(o, "texts"), {} };
    const Napi::Array asked   = o.Get("asked").As<Napi::Array>();
    for (uint32_t i = 0; i < asked.Length(); ++i) {
        const Napi::Value prompt = asked.Get(i);
        request.asked.push_back(prompt.IsObject() ? std::make_optional(prompt_from(prompt.As<Napi::Object>())) :
                                                    std::nullopt);
    }
    return request;
}

generation_request request_from(const Napi::Object & o) {
    generation_request request;
    request.prompt = prompt_from(o);
    if (o.Get("noted").IsObject()) {
        request.noted = prompt_from(o.Get("noted").As<Napi::Object>());
    }
    request.question        = question_from(o);
    request.available_bytes = uint64_t(number_of(o, "availableBytes"));
    search_options & s      = request.search;
    s.expansion = choice_of<expansion_kind>(o, "expansion",
                                            {
                                                { "sample", EXPANSION_SAMPLE },
                                                { "token",  EXPANSION_TOKEN  }
    });
    s.estimator = choice_of<estimator_kind>(o, "estimator",
                                            {
                                                { "models",        ESTIMATOR_MODELS         },
                                                { "critic",        ESTIMATOR_CRITIC         },
                                                { "both",          ESTIMATOR_BOTH           },
                                                { "logLikelihood", ESTIMATOR_LOG_LIKELIHOOD }
    });
    s.objective = choice_of<objective_kind>(o, "objective",
                                            {
                                                { "augmented",  OBJECTIVE_AUGMENTED  },
                                                { "reward",     OBJECTIVE_REWARD     },
                                                { "lagrangian", OBJECTIVE_LAGRANGIAN },
                                                { "cost",       OBJECTIVE_COST       }
    });
    s.selection = choice_of<selection_kind>(o, "selection",
                                            {
                                                { "top",  SELECTION_TOP  },
                                                { "soft", SELECTION_SOFT }
    });
    s.softness  = number_of(o, "softness");
    if (o.Get("scoreRange").IsTypedArray()) {
        const std::vector<double> range = numbers_of<double, Napi::Float64Array>(o, "scoreRange");
        s.lowest_score                  = range.at(0);
        s.highest_score                 = range.at(1);
    }
    if (o.Get("rewardWeight").IsNumber()) {
        s.omega = number_of(o, "rewardWeight");
    }
    s.sampling.temperature = number_of(o, "temperature");
    s.sampling.top_k       = int_of(o, "topK");
    s.sampling.top_p       = number_of(o, "topP");
    s.sampling.min_p       = number_of(o, "minP");
    s.max_tokens           = int_of(o, "maxTokens");
    s.block_length         = int_of(o, "blockLength");
    s.n_candidates         = int_of(o, "candidates");
    s.n_start              = int_of(o, "startCandidates");
    s.growth               = int_of(o, "candidateGrowth");
    s.satisfied_p_safe     = number_of(o, "satisfiedPSafe");
    s.n_beams              = int_of(o, "beams");
    s.n_retries            = int_of(o, "retries");
    s.diversity_penalty    = number_of(o, "diversityPenalty");
    s.lambda               = number_of(o, "lambda");
    s.p_safe_threshold     = number_of(o, "pSafeThreshold");
    s.uncertainty_penalty  = number_of(o, "uncertaintyPenalty");
    s.ranks_by_value       = bool_of(o, "ranksByValue");
    s.ascent               = { int_of(o, "latentSteps"), number_of(o, "latentStepSize"),
                               s.objective == OBJECTIVE_LAGRANGIAN ? s.lambda : 0 };
    s.max_generated_tokens = int64_of(o, "maxGeneratedTokens");
    s.max_backtracks       = int64_of(o, "maxBacktracks");
    s.repairs              = bool_of(o, "repair");
    s.trace                = bool_of(o, "trace");
    s.seed                 = uint64_t(int64_of(o, "seed"));
    s.stream               = bool_of(o, "stream");
    s.caches_prompt        = bool_of(o, "cachePrompt");
    return request;
}

rollout_request rollout_request_from(const Napi::Object & o) {
    rollout_request   request;
    const Napi::Array prompts = o.Get("prompts").As<Napi::Array>();
    for (uint32_t i = 0; i < prompts.Length(); ++i) {
        const Napi::Object prompt = prompts.Get(i).As<Napi::Object>();
        request.prompts.push_back({ int_of(prompt, "number"),
                                    numbers_of<token_id, Napi::Int32Array>(prompt, "tokens"),
                                    question_from(prompt),
                                    bool_of(prompt, "isRaw"),
                                    {} });
    }
    request.options.n_responses = int_of(o, "responses");
    request.options.max_tokens  = int_of(o, "maxTokens");
    request.options.stride      = int_of(o, "stride");
    request.options.top_k       = int_of(o, "topLogProbabilities");
    request.options.temperature = number_of(o, "temperature");
    request.options.seed        = uint64_t(int64_of(o, "seed"));
    request.options.n_sequences = int_of(o, "sequences");
    request.options.n_cells     = int64_of(o, "cells");
    request.available_bytes     = uint64_t(number_of(o, "availableBytes"));
    return request;
}

Napi::Value to_js(Napi::Env env, const std::vector<std::vector<token_id>> & lists) {
    Napi::Array a = Napi::Array::New(env, lists.size());
    for (size_t i = 0; i < lists.size(); ++i) {
        a.Set(uint32_t(i), typed_array<Napi::Int32Array>(env, lists[i]));
    }
    return a;
}

Napi::Value to_js(Napi::Env env, const rollout_result & result) {
    Napi::Object o = Napi::Object::New(env);
    o.Set("record", typed_array<Napi::Uint8Array>(env, result.record));
    o.Set("responses", double(result.n_responses));
    o.Set("generatedTokens", double(result.n_generated));
    o.Set("overBudget", double(result.n_over_budget));
    return o;
}

Napi::Value to_js(Napi::Env env, const std::vector<std::string> & texts) {
    Napi::Array a = Napi::Array::New(env, texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
        a.Set(uint32_t(i), texts[i]);
    }
    return a;
}

Napi::Value to_js(Napi::Env env, const std::vector<float> & values) {
    return typed_array<Napi::Float32Array>(env, values);
}

Napi::Value to_js(Napi::Env env, const std::vector<double> & values) {
    return typed_array<Napi::Float64Array>(env, values);
}

Napi::Value to_js(Napi::Env env, const guard_info & info) {
    Napi::Object o = Napi::Object::New(env);
    o.Set("backend", info.backend);
    o.Set("chatTemplate", info.chat_template);
    o.Set("bosText", info.bos_text);
    o.Set("eosText", info.eos_text);
    o.Set("markupTexts", to_js(env, info.markup_texts));
    o.Set("contextSize", double(info.context_size));
    o.Set("vocabularySize", info.n_vocab);
    o.Set("hiddenWidth", info.n_embd);
    o.Set("streamWidth", info.n_stream);
    o.Set("layers", info.n_layers);
    o.Set("summaryBesideTop", double(n_summary_beside_top_k));
    o.Set("budgets", typed_array<Napi::Float64Array>(env, info.budgets));
    o.Set("hasCritic", info.has_critic);
    return o;
}

Napi::Value to_js(Napi::Env env, const generation_result & result) {
    const search_result & s = result.search;
    Napi::Object          o = Napi::Object::New(env);
    o.Set("outcome", outcome_name(s.outcome));
    o.Set("finishReason", finish_name(s));
    o.Set("text", s.text);
    o.Set("tokens", typed_array<Napi::Int32Array>(env, s.tokens));
    o.Set("endToken", s.end_token >= 0 ? Napi::Number::New(env, s.end_token) : env.Null());
    o.Set("cost", typed_array<Napi::Float64Array>(env, s.cost));
    Napi::Array z = Napi::Array::New(env, s.z.size());
    for (size_t i = 0; i < s.z.size(); ++i) {
        z.Set(uint32_t(i), typed_array<Napi::Float64Array>(env, s.z[i]));
    }
    o.Set("z", z);
    Napi::Array categories = Napi::Array::New(env, result.categories.size());
    for (size_t i = 0; i < result.categories.size(); ++i) {
        categories.Set(uint32_t(i), typed_array<Napi::Float64Array>(env, result.categories[i]));
    }
    o.Set("categories", categories);
    Napi::Array notes = Napi::Array::New(env, s.notes.size());
    for (size_t i = 0; i < s.notes.size(); ++i) {
        Napi::Object note = Napi::Object::New(env);
        note.Set("position", double(s.notes[i].n_tokens));
        note.Set("pSafe", s.notes[i].p_safe);
        note.Set("std", s.notes[i].p_safe_std);
        note.Set("value", s.notes[i].value);
        notes.Set(uint32_t(i), note);
    }
    o.Set("pSafe", notes);
    if (result.harm) {
        Napi::Object harm = Napi::Object::New(env);
        harm.Set("constraint", double(result.harm->constraint));
        harm.Set("category", double(result.harm->category));
        o.Set("harm", harm);
    }
    o.Set("reward", s.has_reward ? Napi::Number::New(env, s.reward) : env.Null());
    o.Set("logLikelihood", s.mean_log_likelihood);
    o.Set("promptTokens", double(result.n_prompt));
    o.Set("cachedPromptTokens", double(s.n_reused));
    o.Set("kvCapacity", double(s.cells.capacity));
    o.Set("kvPeak", double(s.cells.peak));
    o.Set("outputs", result.rows_on_device ? "device" : "host");
    o.Set("generatedTokens", double(s.n_generated));
    o.Set("rounds", double(s.n_rounds));
    o.Set("backtracks", double(s.n_backtracks));
    Napi::Object timings = Napi::Object::New(env);
    timings.Set("prefill", s.timings.prefill);
    timings.Set("decode", s.timings.decode);
    timings.Set("cost", s.timings.cost);
    timings.Set("critic", s.timings.critic);
    timings.Set("total", s.timings.total);
    o.Set("timings", timings);
    if (result.steering) {
        o.Set("steering", *result.steering);
    }
    if (!s.trace.empty()) {
        o.Set("trace", trace_to_js(env, s.trace));
    }
    return o;
}

Napi::Value to_js(Napi::Env env, size_t index, const std::vector<asked_candidate> & question) {
    Napi::Object o          = Napi::Object::New(env);
    Napi::Array  candidates = Napi::Array::New(env, question.size());
    for (size_t i = 0; i < question.size(); ++i) {
        Napi::Object candidate = Napi::Object::New(env);
        candidate.Set("text", question[i].text);
        candidate.Set("tokens", typed_array<Napi::Int32Array>(env, question[i].tokens));
        candidate.Set("finished", question[i].finished);
        candidates.Set(uint32_t(i), candidate);
    }
    o.Set("index", double(index));
    o.Set("candidates", candidates);
    return o;
}

Napi::Value to_js(Napi::Env env, const model_file & file) {
    Napi::Object o = Napi::Object::New(env);
    o.Set("version", file.version);
    o.Set("dataOffset", double(file.data_offset));
    o.Set("bytes", double(file.n_bytes));
    Napi::Array entries = Napi::Array::New(env, file.entries.size());
    for (size_t i = 0; i < file.entries.size(); ++i) {
        Napi::Object entry = Napi::Object::New(env);
        entry.Set("key", file.entries[i].key);
        entry.Set("type", file.entries[i].type);
        entry.Set("value", file.entries[i].value);
        entries.Set(uint32_t(i), entry);
    }
    o.Set("metadata", entries);
    Napi::Array tensors = Napi::Array::New(env, file.tensors.size());
    for (size_t i = 0; i < file.tensors.size(); ++i) {
        Napi::Object tensor = Napi::Object::New(env);
        tensor.Set("name", file.tensors[i].name);
        tensor.Set("type", file.tensors[i].type);
        tensor.Set("shape", shape_to_js(env, file.tensors[i].shape));
        tensors.Set(uint32_t(i), tensor);
    }
    o.Set("tensors", tensors);
    return o;
}

}  // namespace ig
