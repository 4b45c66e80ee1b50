// text_tokenizer.h owns how text becomes tokens of the generating model, whatever its length. Text that no context of so many tokens could
// hold is refused by its length. llama.cpp cannot be stopped within a text, and takes long over characters that its vocabulary lacks, so that
// a long text is read on a thread of its own: a job that is cancelled leaves it behind with the model. There is one of those at most; the
// next long text waits for its end.
#pragma once

#include "engine/llama_model.h"

#include <future>
#include <mutex>

namespace ig {

class text_tokenizer {
  public:
    explicit text_tokenizer(std::shared_ptr<loaded_model> model) : model(std::move(model)) {}

    // Whether so many tokens may hold a text of this length.
    bool may_fit(size_t n_bytes, int64_t n_tokens) const { return n_bytes <= model->most_bytes(n_tokens); }

    // See loaded_model::tokenize. Throws INVALID_PROMPT or ABORTED.
    std::vector<token_id> tokenize(const std::string & text, bool with_ends, const cancel_flag & cancel);

  private:
    using reading = std::future<std::vector<token_id>>;

    std::shared_ptr<loaded_model> model;
    std::mutex                    lock;
    std::vector<reading>          left_behind;

    bool is_reading();
};

}
