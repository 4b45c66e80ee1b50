// encoder_judge.h owns the cost model that is an encoder, trained on pairs of prompt and response, finished or not. It
// has several members on a shared trunk. A probe of the generating model may be added as one more; it counts as much as
// all others together. The log-odds of "unsafe" are the members' mean plus kappa times their standard deviation, an
// upper confidence bound, since a search exploits the errors of single members. A response longer than the encoder's
// limit is read in windows, and the worst counts. Searches share what the encoder has read.
#pragma once

#include "engine/streaming_encoder.h"
#include "engine/word_pieces.h"
#include "safety/probe.h"

#include <optional>

namespace ig {

class encoder_judge : public text_scorer {
  public:
    // `computing`: see streaming_encoder. Without an uncertainty penalty, the file's is used. Throws
    // INVALID_COST_MODEL.
    encoder_judge(const std::string &              path,
                  std::optional<double>            uncertainty_penalty,
                  std::shared_ptr<ggml_threadpool> threads,
                  int32_t                          n_threads,
                  std::mutex &                     computing);

    // Adds a member that reads the residual stream of every text from now on.
    void join(std::unique_ptr<mean_probe> member) { probe = std::move(member); }

    std::unique_ptr<scoring_session> open(const session_scope & scope) const override;

  private:
    friend class encoder_session;

    // of one window of a response
    struct judgement {
        double                          log_odds;
        std::vector<std::vector<float>> categories;  // logits, [members, categories]
    };

    encoder_judge(const tensor_file &              file,
                  std::optional<double>            uncertainty_penalty,
                  std::shared_ptr<ggml_threadpool> threads,
                  int32_t                          n_threads,
                  std::mutex &                     computing);

    std::unique_ptr<streaming_encoder> encoder;
    word_pieces                        pieces;
    double                             scale, prompt_scale, offset, uncertainty_penalty;
    size_t                             n_prompt_tokens, window;
    std::unique_ptr<mean_probe>        probe;  // null: none

    std::vector<int32_t> prompt_tokens(const std::string & prompt) const;
    judgement            judge(const encoder_verdict & verdict, const text_view & text) const;
};

extern const scorer_kind encoder_judge_kind;

}  // namespace ig
