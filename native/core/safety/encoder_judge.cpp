#include "safety/encoder_judge.h"

#include "support/error.h"
#include "support/numeric.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ig {

namespace {

const char * const error_code     = "INVALID_COST_MODEL";
const double       nothing_said   = -1000;  // log-odds of an empty response
const size_t       most_prompts   = 64;     // whose tokens are remembered
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
    encoder(file, std::move(threads), n_threads, computing),
    pieces(encoder.vocabulary()),
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
    if (n_prompt_tokens + 2 + window > encoder.n_positions()) {
        file.fail("has fewer positions than a prompt and a window of a response take");
    }
}

// [CLS] prompt [SEP], of a long prompt its end.
std::vector<int32_t> encoder_judge::prompt_tokens(const std::string & prompt) {
    const std::lock_guard<std::mutex> guard(reading_prompts);
    const auto                        known = prompts.find(prompt);
    if (known != prompts.end()) {
        return known->second;
    }
    std::vector<int32_t> tokens = pieces.tokenize(prompt, /*with_ends =*/true);
    if (tokens.size() > n_prompt_tokens + 2) {
        tokens.erase(tokens.begin() + 1, tokens.end() - 1 - std::ptrdiff_t(n_prompt_tokens));
    }
    if (prompts.size() == most_prompts) {
        prompts.clear();
    }
    prompts[prompt] = tokens;
    return tokens;
}

// Of each text with a token.
std::vector<encoder_judge::judgement> encoder_judge::worst_windows(const std::vector<text_view> & texts) {
    const std::string                 none;
    std::vector<std::vector<int32_t>> asked;
    asked.reserve(texts.size());
    std::vector<encoder_text> windows;
    std::vector<size_t>       owners;  // texts of the windows
    for (size_t i = 0; i < texts.size(); ++i) {
        asked.push_back(prompt_tokens(texts[i].prompt != nullptr ? *texts[i].prompt : none));
        const std::vector<token_id> tokens  = pieces.tokenize(*texts[i].text, /*with_ends =*/false);
        const bool                  is_long = asked[i].size() + tokens.size() > encoder.n_positions();
        const size_t                size    = is_long ? window : tokens.size();
        for (size_t begin = 0, end = 0; end < tokens.size(); begin += window / 2) {
            end = std::min(begin + size, tokens.size());
            windows.push_back({
                &asked[i], { tokens.begin() + std::ptrdiff_t(begin), tokens.begin() + std::ptrdiff_t(end) }
            });
            owners.push_back(i);
        }
    }
    const std::vector<encoder_verdict> verdicts = encoder.read(windows);
    std::vector<judgement>             worst(texts.size(), judgement{ nothing_said, {} });
    for (size_t w = 0; w < windows.size(); ++w) {
        judgement   here  = judge(verdicts[w], texts[owners[w]]);
        judgement & known = worst[owners[w]];
        if (known.categories.empty() || here.log_odds > known.log_odds) {
            known = std::move(here);
        }
    }
    return worst;
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

std::vector<double> encoder_judge::scores(const std::vector<text_view> & texts) {
    std::vector<double> log_odds;
    for (const judgement & j : worst_windows(texts)) {
        log_odds.push_back(j.log_odds);
    }
    return log_odds;
}

// The probability that the response is unsafe in each way.
std::vector<double> encoder_judge::categories(const text_view & finished) {
    const judgement     j = worst_windows({ finished })[0];
    std::vector<double> result(j.categories.empty() ? 0 : j.categories[0].size(), 0);
    for (const std::vector<float> & logits : j.categories) {
        for (size_t c = 0; c < logits.size(); ++c) {
            const double share = std::exp(logits[c] - log_sum_exp(logits.data(), logits.size()));
            result[c] += sigmoid(j.log_odds) * share / double(j.categories.size());
        }
    }
    return result;
}

}  // namespace ig
