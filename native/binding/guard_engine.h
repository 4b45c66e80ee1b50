// guard_engine.h owns all native parts of one guard: model, decoder, cost models, reward model and critic. It lives on
// the guard's thread.
#pragma once

#include "critic/latent_critic.h"
#include "critic/tabular_oracle.h"
#include "engine/control_vector.h"
#include "engine/layer_reader.h"
#include "engine/llama_decoder.h"
#include "engine/text_tokenizer.h"
#include "safety/cost_kind.h"
#include "safety/labelled_text.h"
#include "safety/probe_training.h"
#include "search/repair.h"
#include "search/rollouts.h"
#include "search/search.h"
#include "serving/scheduler.h"

#include <memory>

namespace ig {

enum reward_kind { REWARD_LOG_LIKELIHOOD, REWARD_LEXICON, REWARD_FUNCTION, REWARD_SCORER };

struct steering_spec {
    std::string path;          // of a control vector; empty: no steering
    double      strength = 0;
    double      sparsity = 1;  // share of components that are kept
    bool        gated    = false;
};

struct guard_spec {
    model_options                model;           // without a path: it generates nothing and scores finished texts
    std::optional<tabular_model> tabular;         // replaces the model file
    bool                         oracle = false;  // use the exact critic of a tabular model
    std::string                  critic;          // path of a trained critic; empty: none
    std::vector<int32_t>         mean_layers;     // layers whose means of the residual stream rollouts keep
    decoder_options              decoder;
    steering_spec                steering;
    int64_t                      context_size = 0;  // 0: the model's training context
    std::vector<constraint_spec> constraints;
    reward_kind                  reward = REWARD_LOG_LIKELIHOOD;
    std::vector<lexicon_term>    reward_lexicon;
    scorer_spec                  reward_scorer;
};

struct guard_info {
    std::string              backend;
    std::string              chat_template;
    std::string              bos_text;
    std::string              eos_text;
    std::vector<std::string> markup_texts;  // text that no content can produce as markup
    int64_t                  context_size;
    int32_t                  n_vocab;
    int32_t                  n_embd;    // width of a hidden state; 0 if the model has none
    int32_t                  n_stream;  // width of the residual stream; 0 for a tabular model
    int32_t                  n_layers;  // 0 for a tabular model
    std::vector<double>      budgets;   // per constraint
    bool                     has_critic;
};

// a part written by a template, or contents
struct text_part {
    std::string text;
    bool        from_template;
};

struct prompt_source {
    std::optional<std::vector<token_id>> tokens;  // the prompt; or:
    std::vector<text_part>               parts;

    bool is_text() const { return !tokens; }

    size_t      n_bytes() const;
    std::string text() const;
    bool        is_raw() const;  // no part was written by a template
};

struct generation_request {
    prompt_source                prompt;
    std::optional<prompt_source> prefill;  // what the response begins with
    std::optional<prompt_source> noted;    // the prompt with a note, for one attempt at a repair instead of a search
    std::optional<std::string>
        question;  // the text that the response answers, for cost models that read it; unset: the prompt's text
    search_options search;
    uint64_t       available_bytes = 0;  // memory that the process may still use
};

struct rollout_request {
    std::vector<rollout_prompt> prompts;
    rollout_options             options;
    uint64_t                    available_bytes = 0;
};

// a category of a cost model
struct harm_kind {
    size_t constraint;
    size_t category;
};

struct generation_result {
    search_result         search;
    int64_t               n_prompt;
    std::optional<double> steering;               // the control vector's strength, after its gate
    bool                  rows_on_device;         // outputs were reduced there

    std::vector<std::vector<double>> categories;  // [constraint][category], of the response
    std::optional<harm_kind> harm;  // of a repairable refusal: the kinds of harm in the first rejected text, if known
};

struct score_request {
    std::string              prompt;
    bool                     is_raw;  // the texts continue the prompt
    std::vector<std::string> texts;   // finished
    std::vector<std::optional<prompt_source>>
        asked;                        // per constraint: the prompt before the texts, if the residual stream is read
};

// labelled responses to prompts; each follows its own prompt
struct probe_request {
    std::vector<prompt_source> prompts;
    std::vector<labelled_text> texts;
    std::vector<int32_t>       layers;
    bool                       chooses;  // uses one of the layers
};

struct rollout_result {
    std::vector<uint8_t> record;
    int64_t              n_responses;
    int64_t              n_generated;
    int64_t              n_over_budget;
};

class guard_engine {
  public:
    guard_engine(guard_spec                         spec,
                 rendezvous &                       news,
                 const cancel_flag &                cancel,
                 const std::function<void(float)> & progress);

    // For parallel generations. Null if they run one at a time: without a model, and with a control vector, whose
    // strength is set per prompt.
    scheduler * slots() { return spec.steering.path.empty() ? shared.get() : nullptr; }

    guard_info info() const;

    // From any thread if there are slots; otherwise, like all other calls, from the thread that made it. `ahead`: a
    // slot that was opened for it, or null.
    generation_result generate(const generation_request & request,
                               std::unique_ptr<slot>      ahead,
                               const ask_function &       ask,
                               const cancel_flag &        cancel,
                               const commit_function &    commit);

    // The tokens of each prompt.
    std::vector<std::vector<token_id>> tokenize(const std::vector<prompt_source> & prompts, const cancel_flag & cancel);

    rollout_result rollouts(const rollout_request & request, const ask_function & ask, const cancel_flag & cancel);

    // The log-likelihood of each token of `tokens` after the prompt, decoded again one by one.
    std::vector<double> log_likelihoods(const std::vector<token_id> & prompt,
                                        const std::vector<token_id> & tokens,
                                        const cancel_flag &           cancel);

    // The residual stream after every layer at each prompt's last token, without steering: [prompts, n_layers,
    // n_embd].
    std::vector<float>  layer_states(const std::vector<prompt_source> & prompts, const cancel_flag & cancel);
    // The cost of finished texts, [text][constraint], undiscounted, since a discount needs tokens.
    std::vector<double> score(const score_request & request, const ask_function & ask, const cancel_flag & cancel);

    // For a guard that has not generated yet.
    probe_training train_probes(const probe_request &  request,
                                const cancel_flag &    cancel,
                                const epoch_function & on_epoch);

    // Seconds for decoding n_tokens steps of n_sequences with a shared prompt, and nothing else: the baseline for the
    // search.
    double bare_decode(int32_t n_prompt, int32_t n_sequences, int32_t n_tokens, const cancel_flag & cancel);

  private:
    guard_spec                       spec;
    std::shared_ptr<ggml_threadpool> threads;
    std::mutex          computing;    // locked while the threads compute, if several native threads may use them
    residual_layers     residual;     // the layers that are read
    std::vector<size_t> mean_places;  // of spec.mean_layers
    std::shared_ptr<loaded_model>      model;
    std::unique_ptr<text_tokenizer>    tokenizer;        // null without a model file
    std::unique_ptr<real_decoder>      steps;
    std::unique_ptr<scheduler>         shared;           // null without a model
    llama_decoder *                    llama = nullptr;  // the same object, unless the model is tabular
    std::vector<constraint>            constraints;
    std::unique_ptr<const text_scorer> reward;
    std::unique_ptr<critic>            judge;   // null: no critic
    control_vector                     steering;
    std::unique_ptr<layer_reader>      layers;  // created on first use

    void           load_judge();
    void           load_critic_file();
    int32_t        n_readable_layers() const;
    void           read_residual();
    void           load_steering();
    double         steer(const std::vector<token_id> & prompt, uint64_t available_bytes, const cancel_flag & cancel);
    layer_reader & reader();
    void load_model(rendezvous & news, const cancel_flag & cancel, const std::function<void(float)> & progress);
    void make_reward(cost_materials & with);
    std::optional<harm_kind>  harm_of(const rejected_text & rejected, guard_session & session) const;
    void                      expect_readable(size_t n_bytes) const;
    std::vector<token_id>     read_text(const std::string & text, const cancel_flag & cancel);
    std::vector<token_id>     tokens_of(const prompt_source & prompt, const cancel_flag & cancel);
    std::vector<token_id>     with_prefill(const prompt_source &                prompt,
                                           const std::optional<prompt_source> & prefill,
                                           const cancel_flag &                  cancel);
    std::vector<token_id>     asked_tokens(const generation_request &    request,
                                           const std::vector<token_id> & prompt,
                                           const cancel_flag &           cancel);
    response_prefill          prefill_of(const generation_request &    request,
                                         const std::vector<token_id> & asked,
                                         const std::vector<token_id> & prompt) const;
    void                      expect_room_for(size_t n_bytes) const;
    void                      expect_prompt(const std::vector<token_id> & tokens) const;
    std::vector<token_id>     prompt_tokens(const prompt_source & prompt, const cancel_flag & cancel);
    std::string               text_of(const std::vector<token_id> & tokens) const;
    std::string               text_of(const std::vector<token_id> & tokens, utf8_stream & bytes) const;
    std::vector<token_id>     last_text_tokens(const std::vector<token_id> & tokens) const;
    std::vector<token_id>     response_tokens(const std::vector<token_id> & prompt,
                                              const std::string &           text,
                                              const cancel_flag &           cancel);
    std::vector<residual_sum> residuals_of(const prompt_source &            prompt,
                                           const std::vector<std::string> & texts,
                                           const cancel_flag &              cancel);
    int64_t                   context_size() const;
};

}  // namespace ig
