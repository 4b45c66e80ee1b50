// protocol.h owns the members of every message, each named once, in step with lib/native/protocol.ts. Most structs are
// the core's; the others are defined here. `of` is a reader, a writer or a describer of values.h. A member whose shape
// differs is read into a local first, and written as an expression.
#pragma once

#include "cost_factory.h"
#include "critic/critic_training.h"
#include "critic/features.h"
#include "guard_engine.h"
#include "safety/text_classifier.h"
#include "support/tensor_file.h"
#include "values.h"

#include <cmath>
#include <functional>

namespace ig {

// cost models

template <> struct crossing<const cost_kind *> : kind_crossing<cost_kind, cost_kinds> {};

template <> struct crossing<const scorer_kind *> : kind_crossing<scorer_kind, scorer_kinds> {};

template <>
inline const choices<score_link> names_of<score_link> = { name("probability", LINK_PROBABILITY),
                                                          name("excess", LINK_EXCESS) };

template <>
inline const choices<spelling_rule> names_of<spelling_rule> = { name("strict", SPELLING_STRICT),
                                                                name("loose", SPELLING_LOOSE) };

template <>
inline const choices<higher_score> names_of<higher_score> = { name("unsafe", UNSAFE_IS_HIGHER),
                                                              name("safe", SAFE_IS_HIGHER) };

enum class criterion { anytime, terminal };

template <>
inline const choices<criterion> names_of<criterion> = { name("anytime", criterion::anytime),
                                                        name("terminal", criterion::terminal) };

template <typename V> void members(V & of, lexicon_term & it) {
    of(row("term", it.text), row("weight", it.weight));
}

template <typename V> void members(V & of, self_test_pair & it) {
    of(row("prompt", it.prompt), row("safe", it.safe), row("unsafe", it.unsafe));
}

struct scorer_template {
    template_pieces pieces;
    guard_answers   answers;
};

template <typename V> void members(V & of, scorer_template & it) {
    of(row("before", it.pieces.before), row("between", it.pieces.between), row("after", it.pieces.after),
       row("controls", it.pieces.controls), row("trims", it.pieces.trims), row("safe", it.answers.safe),
       row("unsafe", it.answers.unsafe), row("beforeCategory", it.answers.before_category),
       row("categories", it.answers.categories));
}

template <typename V> void members(V & of, scorer_spec & it) {
    std::optional<scorer_template> form;
    of(row("kind", it.kind), row("path", it.path), maybe("head", it.head), row("template", form),
       row("labels", it.classes.labels), row("multiLabel", it.classes.independent),
       row("uncertaintyPenalty", it.uncertainty_penalty), maybe("probe", it.probe), row("selfTest", it.self_test),
       row("higher", it.higher));
    it.has_template = form.has_value();
    if (form) {
        it.pieces  = std::move(form->pieces);
        it.answers = std::move(form->answers);
    }
}

template <typename V> void members(V & of, constraint_spec & it) {
    criterion held = criterion::anytime;
    of(row("kind", it.kind), maybe("lexicon", it.lexicon), maybe("match", it.spelling),
       maybe("tokenCosts", it.token_costs), maybe("classifier", it.classifier), maybe("scorer", it.scorer),
       maybe("link", it.link), row("threshold", it.threshold), row("budget", it.budget),
       row("discount", it.terms.discount), row("criterion", held), row("floored", it.terms.floored));
    it.terms.anytime = held == criterion::anytime;
}

// a guard

template <>
inline const choices<reward_kind> names_of<reward_kind> = { name("logLikelihood", REWARD_LOG_LIKELIHOOD),
                                                            name("lexicon", REWARD_LEXICON),
                                                            name("function", REWARD_FUNCTION),
                                                            name("scorer", REWARD_SCORER) };

template <>
inline const choices<row_route> names_of<row_route> = { name("auto", ROWS_AUTO), name("device", ROWS_ON_DEVICE),
                                                        name("host", ROWS_ON_HOST) };

template <typename V> void members(V & of, tabular_model & it) {
    std::vector<int32_t> ends;
    of(row("pieces", it.pieces), row("logits", it.logits), row("ends", ends), row("maxSequences", it.max_sequences));
    it.ends.assign(it.pieces.size(), false);
    for (const int32_t end : ends) {
        it.ends.at(size_t(end)) = true;
    }
}

template <typename V> void members(V & of, steering_spec & it) {
    of(row("vector", it.path), row("strength", it.strength), row("sparsity", it.sparsity), row("gate", it.gated));
}

template <typename V> void members(V & of, guard_spec & it) {
    of(maybe("path", it.model.path), maybe("kvCells", it.decoder.max_cells), maybe("outputs", it.decoder.rows),
       maybe("contextSize", it.context_size), maybe("steering", it.steering), row("tabular", it.tabular),
       maybe("oracle", it.oracle), row("device", it.model.device), maybe("gpuLayers", it.model.n_gpu_layers),
       row("threads", it.decoder.n_threads), row("useMmap", it.model.use_mmap), row("useMlock", it.model.use_mlock),
       row("constraints", it.constraints), maybe("critic", it.critic), maybe("meanLayers", it.mean_layers),
       row("reward", it.reward), maybe("rewardLexicon", it.reward_lexicon), maybe("rewardScorer", it.reward_scorer));
}

template <typename V> void members(V & of, const guard_info & it) {
    of(row("backend", it.backend), row("chatTemplate", it.chat_template), row("bosText", it.bos_text),
       row("eosText", it.eos_text), row("markupTexts", it.markup_texts), row("contextSize", it.context_size),
       row("vocabularySize", it.n_vocab), row("hiddenWidth", it.n_embd), row("streamWidth", it.n_stream),
       row("layers", it.n_layers), row("summaryBesideTop", n_summary_beside_top_k), row("budgets", it.budgets),
       row("hasCritic", it.has_critic));
}

// generation

template <>
inline const choices<expansion_kind> names_of<expansion_kind> = { name("sample", EXPANSION_SAMPLE),
                                                                  name("token", EXPANSION_TOKEN) };

template <>
inline const choices<estimator_kind> names_of<estimator_kind> = { name("models", ESTIMATOR_MODELS),
                                                                  name("critic", ESTIMATOR_CRITIC),
                                                                  name("both", ESTIMATOR_BOTH),
                                                                  name("logLikelihood", ESTIMATOR_LOG_LIKELIHOOD) };

template <>
inline const choices<objective_kind> names_of<objective_kind> = { name("augmented", OBJECTIVE_AUGMENTED),
                                                                  name("reward", OBJECTIVE_REWARD),
                                                                  name("lagrangian", OBJECTIVE_LAGRANGIAN),
                                                                  name("cost", OBJECTIVE_COST) };

template <>
inline const choices<selection_kind> names_of<selection_kind> = { name("top", SELECTION_TOP),
                                                                  name("soft", SELECTION_SOFT) };

template <>
inline const choices<search_outcome> names_of<search_outcome> = {
    name("safe", OUTCOME_SAFE),         name("steered", OUTCOME_STEERED), name("truncated", OUTCOME_TRUNCATED),
    name("repaired", OUTCOME_REPAIRED), name("refused", OUTCOME_REFUSED), name("unguarded", OUTCOME_UNGUARDED)
};

enum class finish { stop, length, safety };

template <>
inline const choices<finish> names_of<finish> = { name("stop", finish::stop), name("length", finish::length),
                                                  name("safety", finish::safety) };

inline finish finish_of(const search_result & it) {
    const bool is_cut = it.outcome == OUTCOME_TRUNCATED || it.outcome == OUTCOME_REFUSED;
    return is_cut                                                ? finish::safety :
           it.finish == FINISH_END || it.finish == FINISH_STRING ? finish::stop :
                                                                   finish::length;
}

// where outputs were reduced
enum class output_place { device, host };

template <>
inline const choices<output_place> names_of<output_place> = { name("device", output_place::device),
                                                              name("host", output_place::host) };

// why a candidate was not continued
template <>
inline const choices<verdict> names_of<verdict> = {
    name("cost", verdict::over_budget),       name("cost", verdict::judged_over_budget),
    name("pSafe", verdict::unlikely_safe),    name("notSelected", verdict::not_selected),
    name("recheck", verdict::failed_recheck), name("limit", verdict::out_of_tokens)
};

template <typename T> std::optional<T> only_if(bool is_known, const T & value) {
    return is_known ? std::optional<T>(value) : std::nullopt;
}

inline std::optional<double> if_finite(double value) {
    return only_if(std::isfinite(value), value);
}

template <typename V> void members(V & of, text_part & it) {
    of(row("text", it.text), row("fromTemplate", it.from_template));
}

template <typename V> void members(V & of, prompt_source & it) {
    of(row("tokens", it.tokens), maybe("parts", it.parts));
}

template <typename V> void members(V & of, search_options & it) {
    std::optional<std::vector<double>> range;
    std::vector<std::string>           stop;
    of(row("expansion", it.expansion), row("estimator", it.estimator), row("objective", it.objective),
       row("selection", it.selection), row("softness", it.softness), row("scoreRange", range),
       row("rewardWeight", it.omega), row("temperature", it.sampling.temperature), row("topK", it.sampling.top_k),
       row("topP", it.sampling.top_p), row("minP", it.sampling.min_p), row("maxTokens", it.max_tokens),
       maybe("stop", stop), row("blockLength", it.block_length), row("candidates", it.n_candidates),
       row("startCandidates", it.n_start), row("candidateGrowth", it.growth),
       row("satisfiedPSafe", it.satisfied_p_safe), row("beams", it.n_beams), row("retries", it.n_retries),
       row("diversityPenalty", it.diversity_penalty), row("lambda", it.lambda),
       row("pSafeThreshold", it.p_safe_threshold), row("uncertaintyPenalty", it.uncertainty_penalty),
       row("ranksByValue", it.ranks_by_value), row("latentSteps", it.ascent.n_steps),
       row("latentStepSize", it.ascent.step_size), row("maxGeneratedTokens", it.max_generated_tokens),
       row("maxBacktracks", it.max_backtracks), row("repair", it.repairs), row("seed", it.seed),
       row("stream", it.stream), row("cachePrompt", it.caches_prompt), row("trace", it.trace));
    if (range) {
        it.lowest_score  = range->at(0);
        it.highest_score = range->at(1);
    }
    it.stop = stop_strings(std::move(stop));
}

template <typename V> void members(V & of, generation_request & it) {
    members(of, it.prompt);
    members(of, it.search);
    of(row("prefill", it.prefill), row("noted", it.noted), row("question", it.question),
       row("availableBytes", it.available_bytes));
}

template <typename V> void members(V & of, const critic_note & it) {
    of(row("position", it.n_tokens), row("pSafe", it.p_safe), row("std", it.p_safe_std), row("value", it.value));
}

template <typename V> void members(V & of, const harm_kind & it) {
    of(row("constraint", it.constraint), row("category", it.category));
}

template <typename V> void members(V & of, const search_timings & it) {
    of(row("prefill", it.prefill), row("decode", it.decode), row("cost", it.cost), row("critic", it.critic),
       row("total", it.total));
}

template <typename V> void members(V & of, const trace_node & it) {
    const bool goes_on = it.judgement == verdict::open || it.judgement == verdict::finished;
    of(row("parent", it.parent), row("round", it.round), row("position", it.position), row("tokens", it.n_tokens),
       row("text", it.text), row("z", number_list{ it.z }), row("cost", it.cost), row("reward", if_finite(it.reward)),
       row("pSafe", if_finite(it.p_safe)), row("value", if_finite(it.value)), row("score", if_finite(it.score)),
       row("finished", it.finished), row("pruned", only_if(!goes_on, it.judgement)), row("answer", it.answer));
}

template <typename V> void members(V & of, const generation_result & it) {
    of(row("outcome", it.search.outcome), row("finishReason", finish_of(it.search)), row("text", it.search.text),
       row("tokens", it.search.tokens), row("endToken", only_if(it.search.end_token >= 0, it.search.end_token)),
       row("cost", it.search.cost), row("z", it.search.z), row("categories", it.categories),
       row("pSafe", it.search.notes), row("harm", it.harm),
       row("reward", only_if(it.search.has_reward, it.search.reward)),
       row("logLikelihood", it.search.mean_log_likelihood), row("logLikelihoods", it.search.log_likelihoods),
       row("promptTokens", it.n_prompt), row("cachedPromptTokens", it.search.n_reused),
       row("kvCapacity", it.search.cells.capacity), row("kvPeak", it.search.cells.peak),
       row("outputs", it.rows_on_device ? output_place::device : output_place::host),
       row("generatedTokens", it.search.n_generated), row("rounds", it.search.n_rounds),
       row("backtracks", it.search.n_backtracks), row("timings", it.search.timings), row("steering", it.steering),
       row("trace", it.search.trace));
}

// the events of a job

struct asked_candidate {
    std::string           text;
    std::vector<token_id> tokens;
    bool                  finished;
};

template <typename V> void members(V & of, const asked_candidate & it) {
    of(row("text", it.text), row("tokens", it.tokens), row("finished", it.finished));
}

struct question_asked {
    size_t                       index;
    std::vector<asked_candidate> candidates;
};

template <typename V> void members(V & of, const question_asked & it) {
    of(row("index", it.index), row("candidates", it.candidates));
}

template <typename V> void members(V & of, const epoch_losses & it) {
    of(row("epoch", it.epoch), row("epochs", it.max_epochs), row("trainingLoss", it.training_loss),
       row("validationLoss", it.validation_loss));
}

struct failure {
    std::string code, message;
};

template <typename V> void members(V & of, const failure & it) {
    of(row("code", it.code), row("message", it.message));
}

// readings of given prompts and responses

template <typename V> void members(V & of, score_request & it) {
    of(row("prompt", it.prompt), row("isRaw", it.is_raw), row("texts", it.texts), row("asked", it.asked));
}

struct likelihood_request {
    std::vector<token_id> prompt, tokens;
};

template <typename V> void members(V & of, likelihood_request & it) {
    of(row("prompt", it.prompt), row("tokens", it.tokens));
}

struct bare_decode_request {
    int32_t n_prompt, n_sequences, n_tokens;
};

template <typename V> void members(V & of, bare_decode_request & it) {
    of(row("promptTokens", it.n_prompt), row("sequences", it.n_sequences), row("tokens", it.n_tokens));
}

// rollouts and critics

template <typename V> void members(V & of, rollout_prompt & it) {
    of(row("number", it.number), row("tokens", it.tokens), row("question", it.question), row("isRaw", it.is_raw));
}

template <typename V> void members(V & of, rollout_request & it) {
    of(row("prompts", it.prompts), row("responses", it.options.n_responses), row("maxTokens", it.options.max_tokens),
       row("stride", it.options.stride), row("topLogProbabilities", it.options.top_k),
       row("temperature", it.options.temperature), row("seed", it.options.seed),
       row("sequences", it.options.n_sequences), row("cells", it.options.n_cells),
       row("availableBytes", it.available_bytes));
}

template <typename V> void members(V & of, const rollout_result & it) {
    of(row("record", it.record), row("responses", it.n_responses), row("generatedTokens", it.n_generated),
       row("overBudget", it.n_over_budget));
}

template <typename V> void members(V & of, rollout_shape & it) {
    of(row("hidden", it.n_embd), row("summary", it.n_summary), row("constraints", it.n_constraints),
       maybe("mean", it.n_mean));
}

struct rollout_records {
    rollout_shape                     shape;
    std::vector<std::vector<uint8_t>> records;
};

template <typename V> void members(V & of, rollout_records & it) {
    of(row("shape", it.shape), row("records", it.records));
}

struct critic_constraint {
    budget_terms          terms;
    std::optional<double> lowest, highest;
};

template <typename V> void members(V & of, critic_constraint & it) {
    of(row("budget", it.terms.budget), row("discount", it.terms.discount), row("perToken", it.terms.per_token),
       row("anytime", it.terms.anytime), row("lowest", it.lowest), row("highest", it.highest));
}

template <typename V> void members(V & of, feature_groups & it) {
    of(row("hidden", it.hidden), row("logits", it.logits), row("z", it.z), row("position", it.position),
       row("mean", it.mean));
}

struct critic_request {
    critic_training_options options;
    std::string             device;
};

template <typename V> void members(V & of, critic_request & it) {
    std::vector<critic_constraint> constraints;
    of(row("shape", it.options.shape), row("inputs", it.options.inputs), row("streamWidth", it.options.n_stream),
       row("constraints", constraints), row("splits", it.options.splits), row("maxTokens", it.options.max_tokens),
       row("layers", it.options.n_layers), row("width", it.options.width), row("members", it.options.n_members),
       row("epochs", it.options.max_epochs), row("batch", it.options.batch_size),
       row("learningRate", it.options.learning_rate), row("weightDecay", it.options.weight_decay),
       row("seed", it.options.seed), row("threads", it.options.n_threads), row("device", it.device));
    for (const critic_constraint & c : constraints) {
        it.options.terms.push_back(c.terms);
        if (c.lowest && c.highest) {
            it.options.budgets.push_back({ *c.lowest, *c.highest });
        }
    }
}

template <typename V> void members(V & of, named_tensor & it) {
    of(row("name", it.name), row("shape", it.shape), row("values", it.values), row("half", it.half));
}

// One number per row.
template <typename N, typename Row, typename F> std::vector<N> column(const std::vector<Row> & rows, F number_of) {
    std::vector<N> values;
    for (const Row & row : rows) {
        values.push_back(N(std::invoke(number_of, row)));
    }
    return values;
}

inline std::vector<named_tensor> tensors_of(const critic_weights & it) {
    std::vector<named_tensor> tensors = network_tensors(it.net);
    for (size_t i = 0; i < it.tensors.size(); ++i) {
        tensors[i].values = it.tensors[i];
    }
    tensors.push_back({ "features.mean", { int64_t(it.mean.size()) }, it.mean, false });
    tensors.push_back({ "features.scale", { int64_t(it.scale.size()) }, it.scale, false });
    return tensors;
}

template <typename V> void members(V & of, const critic_training & it) {
    of(row("valueMean", it.weights.value_mean), row("valueScale", it.weights.value_scale),
       row("budgetScale", it.weights.budget_scale),
       row("budgetLowest", column<double>(it.budgets, &budget_range::lowest)),
       row("budgetHighest", column<double>(it.budgets, &budget_range::highest)), row("examples", it.n_examples),
       row("epochs", it.n_epochs), row("validationLoss", it.validation_loss), row("tensors", tensors_of(it.weights)),
       row("prompt", column<float>(it.predictions, &critic_prediction::prompt)),
       row("response", column<float>(it.predictions, &critic_prediction::response)),
       row("position", column<float>(it.predictions, &critic_prediction::position)),
       row("feasible", column<float>(it.predictions, &critic_prediction::feasible)),
       row("safe", column<float>(it.predictions, &critic_prediction::safe)),
       row("pSafe", column<float>(it.predictions, &critic_prediction::p_safe)),
       row("value", column<float>(it.predictions, &critic_prediction::value)),
       row("trueValue", column<float>(it.predictions, &critic_prediction::true_value)),
       row("costShare", column<float>(it.predictions, &critic_prediction::cost_share)),
       row("partialCostShare", column<float>(it.predictions, &critic_prediction::partial_cost_share)));
}

// cost models that are trained

// Labelled texts cross as columns.
template <typename V> void labelled_columns(V & of, std::vector<labelled_text> & rows) {
    const uint8_t            trains = 0, validates = 1;  // other texts are only scored
    std::vector<std::string> texts;
    std::vector<float>       labels;
    std::vector<uint8_t>     splits;
    of(row("texts", texts), row("labels", labels), row("splits", splits));
    for (size_t i = 0; i < texts.size(); ++i) {
        rows.push_back({ "", std::move(texts[i]), labels.at(i), splits.at(i) == trains, splits.at(i) == validates });
    }
}

struct classifier_request {
    std::vector<labelled_text> texts;
    bool                       with_context;
    bool                       with_characters;
    uint64_t                   seed;
};

template <typename V> void members(V & of, classifier_request & it) {
    std::vector<std::string> contexts;
    labelled_columns(of, it.texts);
    of(row("contexts", contexts), row("characters", it.with_characters), row("seed", it.seed));
    it.with_context = !contexts.empty();
    for (size_t i = 0; i < contexts.size(); ++i) {
        it.texts.at(i).context = std::move(contexts[i]);
    }
}

template <typename V> void members(V & of, const classifier_training & it) {
    of(row("buckets", it.weights.buckets), row("bias", it.weights.bias), row("logOdds", it.log_odds),
       row("epochs", it.n_epochs));
}

template <typename V> void members(V & of, probe_request & it) {
    labelled_columns(of, it.texts);
    of(row("prompts", it.prompts), row("layers", it.layers), row("chooses", it.chooses));
}

template <typename V> void members(V & of, const trained_probe & it) {
    of(row("layers", it.layers), row("last", it.last), row("weights", it.head.weight), row("bias", it.head.bias),
       row("prior", it.prior), row("logOdds", it.log_odds), row("validationLoss", it.validation_loss),
       row("epochs", it.n_epochs));
}

template <typename V> void members(V & of, const probe_training & it) {
    of(row("text", column<int32_t>(it.rows, &probe_row::response)),
       row("tokens", column<int32_t>(it.rows, &probe_row::n_tokens)),
       row("whole", column<uint8_t>(it.rows, &probe_row::whole)), row("probes", it.probes));
}

// files and devices

template <typename V> void members(V & of, const file_entry & it) {
    of(row("key", it.key), row("type", it.type), row("value", it.value));
}

template <typename V> void members(V & of, const file_tensor & it) {
    of(row("name", it.name), row("type", it.type), row("shape", it.shape));
}

template <typename V> void members(V & of, const model_file & it) {
    of(row("version", it.version), row("dataOffset", it.data_offset), row("bytes", it.n_bytes),
       row("metadata", it.entries), row("tensors", it.tensors));
}

template <typename V> void members(V & of, const device_info & it) {
    of(row("name", it.name), row("description", it.description), row("type", it.type), row("freeBytes", it.free_bytes),
       row("totalBytes", it.total_bytes));
}

struct tensor_header {
    record<std::string>              texts;
    record<std::vector<double>>      numbers;
    record<std::vector<std::string>> lists;
};

template <typename V> void members(V & of, const tensor_header & it) {
    of(row("texts", it.texts), row("numbers", it.numbers), row("lists", it.lists));
}

}  // namespace ig
