#include "safety/encoder_judge.h"

#include "safety/cost_kind.h"
#include "support/error.h"
#include "support/numeric.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ig {

namespace {

const char * const error_code     = "INVALID_COST_MODEL";
const double       nothing_said   = -1000;  // log-odds for an empty response
const double       most_positions = 1 << 16;

}  // namespace

encoder_judge::encoder_judge(const std::string &              path,
                             std::optional<double>            penalty,
                             std::shared_ptr<ggml_threadpool> threads,
                             int32_t                          n_threads,
                             std::mutex &                     computing) :
    encoder_judge(tensor_file(path, "encoder", error_code), penalty, std::move(threads), n_threads, computing) {}

encoder_judge::encoder_judge(const tensor_file &              file,
                             std::optional<double>            penalty,
                             std::shared_ptr<ggml_threadpool> threads,
                             int32_t                          n_threads,
                             std::mutex &                     computing) :
    encoder(std::make_unique<streaming_encoder>(file, std::move(threads), n_threads, computing)),
    pieces(encoder->vocabulary()),
    scale(file.number("scale")),
    prompt_scale(file.number("prompt_scale")),
    offset(file.number("offset")),
    uncertainty_penalty(penalty ? *penalty : file.number("uncertainty_penalty")),
    n_prompt_tokens(size_t(file.integer("prompt_tokens", 0, most_positions))),
    window(size_t(file.integer("window", 2, most_positions))) {
    if (!pieces.is_complete()) {
        file.fail("has no [CLS], [SEP] or [UNK] among its tokens");
    }
    if (!(uncertainty_penalty >= 0)) {
        file.fail("has a negative uncertainty penalty");
    }
    if (n_prompt_tokens + 2 + window > encoder->n_positions()) {
        file.fail("has fewer positions than a prompt and a window of a response take");
    }
}

// [CLS] prompt [SEP]; of a long prompt, its end.
std::vector<int32_t> encoder_judge::prompt_tokens(const std::string & prompt) const {
    std::vector<int32_t> tokens = pieces.tokenize(prompt, /*with_ends =*/true);
    if (tokens.size() > n_prompt_tokens + 2) {
        tokens.erase(tokens.begin() + 1, tokens.end() - 1 - std::ptrdiff_t(n_prompt_tokens));
    }
    return tokens;
}

encoder_judge::judgement encoder_judge::judge(const encoder_verdict & verdict, const text_view & text) const {
    judgement           result = { 0, {} };
    std::vector<double> log_odds;  // of the members
    for (size_t m = 0; m < verdict.prompt.size(); ++m) {
        const std::vector<float> & outputs = verdict.response[m];
        log_odds.push_back(scale * outputs[0] + prompt_scale * verdict.prompt[m] + offset);
        result.categories.emplace_back(outputs.begin() + 1, outputs.end());
    }
    std::vector<double> weights(log_odds.size(), 1 / double(log_odds.size()));
    if (probe) {
        for (double & weight : weights) {
            weight /= 2;
        }
        weights.push_back(0.5);
        log_odds.push_back(probe->log_odds(text));
    }
    const double mean     = std::inner_product(weights.begin(), weights.end(), log_odds.begin(), 0.0);
    double       variance = 0;
    for (size_t m = 0; m < log_odds.size(); ++m) {
        variance += weights[m] * (log_odds[m] - mean) * (log_odds[m] - mean);
    }
    result.log_odds = mean + uncertainty_penalty * std::sqrt(variance);
    return result;
}

class encoder_session : public scoring_session {
  public:
    encoder_session(const encoder_judge & shared, const session_scope & scope) :
        shared(shared),
        cancel(scope.reading.cancel),
        prompt(shared.prompt_tokens(scope.prompt)) {}

    std::vector<double> scores(const std::vector<text_view> & texts) override {
        std::vector<double> log_odds;
        for (const encoder_judge::judgement & j : worst_windows(texts)) {
            log_odds.push_back(j.log_odds);
        }
        return log_odds;
    }

    // The probability of each way in which the response is unsafe.
    std::vector<double> categories(const text_view & finished) override {
        const encoder_judge::judgement j = worst_windows({ finished })[0];
        std::vector<double>            result(j.categories.empty() ? 0 : j.categories[0].size(), 0);
        for (const std::vector<float> & logits : j.categories) {
            for (size_t c = 0; c < logits.size(); ++c) {
                const double share = std::exp(logits[c] - log_sum_exp(logits.data(), logits.size()));
                result[c] += sigmoid(j.log_odds) * share / double(j.categories.size());
            }
        }
        return result;
    }

  private:
    const encoder_judge &      shared;
    const cancel_flag *        cancel;
    const std::vector<int32_t> prompt;

    // For each text with at least one token.
    std::vector<encoder_judge::judgement> worst_windows(const std::vector<text_view> & texts) const {
        std::vector<encoder_text> windows;
        std::vector<size_t>       owners;  // the text of each window
        for (size_t i = 0; i < texts.size(); ++i) {
            const std::vector<token_id> tokens  = shared.pieces.tokenize(*texts[i].text, /*with_ends =*/false);
            const bool                  is_long = prompt.size() + tokens.size() > shared.encoder->n_positions();
            const size_t                size    = is_long ? shared.window : tokens.size();
            for (size_t begin = 0, end = 0; end < tokens.size(); begin += shared.window / 2) {
                end = std::min(begin + size, tokens.size());
                windows.push_back({
                    &prompt, { tokens.begin() + std::ptrdiff_t(begin), tokens.begin() + std::ptrdiff_t(end) }
                });
                owners.push_back(i);
            }
        }
        const std::vector<encoder_verdict>    verdicts = shared.encoder->read(windows, cancel);
        std::vector<encoder_judge::judgement> worst(texts.size(), encoder_judge::judgement{ nothing_said, {} });
        for (size_t w = 0; w < windows.size(); ++w) {
            encoder_judge::judgement   here  = shared.judge(verdicts[w], texts[owners[w]]);
            encoder_judge::judgement & known = worst[owners[w]];
            if (known.categories.empty() || here.log_odds > known.log_odds) {
                known = std::move(here);
            }
        }
        return worst;
    }
};

std::unique_ptr<scoring_session> encoder_judge::open(const session_scope & scope) const {
    return std::make_unique<encoder_session>(*this, scope);
}

namespace {

std::unique_ptr<text_scorer> make_encoder(const scorer_spec & spec, cost_materials & with) {
    return std::make_unique<encoder_judge>(spec.path, spec.uncertainty_penalty, with.threads(), with.n_threads(),
                                           with.computing());
}

// Adds a member that reads what the base model decodes anyway.
void join_probe(text_scorer & made, const scorer_spec & spec, cost_materials & with) {
    if (spec.probe.empty()) {
        return;
    }
    probe_weights weights = load_probe(spec.probe, with.base());
    if (weights.layers.empty()) {
        throw error("INVALID_COST_MODEL", "expected a probe of means beside an encoder, but " + spec.probe +
                                              " reads the state at the last token; train one with layers");
    }
    std::vector<size_t> places = with.places_of(weights.layers);
    static_cast<encoder_judge &>(made).join(std::make_unique<mean_probe>(std::move(weights), std::move(places)));
}

}  // namespace

const scorer_kind encoder_judge_kind = { "encoder", make_encoder, join_probe };

}  // namespace ig
