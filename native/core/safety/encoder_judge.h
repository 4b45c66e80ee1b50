// encoder_judge.h owns the cost model that is an encoder trained on pairs of prompt and response, finished or not. It has several members
// behind a trunk, and a probe of the generating model may be one more, which counts as much as they do together; its log-odds of "unsafe"
// are their mean and kappa times their standard deviation on top, an upper confidence bound, since a search finds what one member errs
// about. A response longer than the encoder reads is read in windows, and the worst counts. Searches share what the encoder has read.
#pragma once

#include "engine/streaming_encoder.h"
#include "engine/word_pieces.h"
#include "safety/probe.h"

#include <optional>

namespace ig {

class encoder_judge : public text_scorer {
  public:
    // `computing`: see streaming_encoder. Without an uncertainty penalty that of the file. Throws INVALID_COST_MODEL.
    encoder_judge(const std::string &              path,
                  std::optional<double>            uncertainty_penalty,
                  std::shared_ptr<ggml_threadpool> threads,
                  int32_t                          n_threads,
                  std::mutex &                     computing);

    // One more member, which reads the residual stream of every text from now on.
    void join(std::unique_ptr<mean_probe> member) { probe = std::move(member); }

    std::unique_ptr<scoring_session> open(const session_scope & scope) const override;

  private:
    friend class encoder_session;

    // of a window of a response
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
