// text_tokenizer.h owns how text becomes tokens of the generating model, whatever its length. Text that no context of so many tokens could
// hold is refused by its length. A long text takes a while: the thread that owns the model has it read on another thread, which ends before
// the reading returns, and serves other generations meanwhile.
#pragma once

#include "engine/llama_model.h"
#include "support/rendezvous.h"

namespace ig {

// Returns once a condition holds, which is asked under the lock of the rendezvous.
using wait_function = std::function<void(const std::function<bool()> &)>;

class text_tokenizer {
  public:
    text_tokenizer(std::shared_ptr<loaded_model> model, rendezvous & news) : model(std::move(model)), news(news) {}

    // Whether so many tokens may hold a text of this length.
    bool may_fit(size_t n_bytes, int64_t n_tokens) const { return n_bytes <= model->most_bytes(n_tokens); }

    // See loaded_model::tokenize. `serve`: what the owner's thread does during a long text; null on other threads.
    std::vector<token_id> tokenize(const std::string &   text,
                                   bool                  with_ends,
                                   const wait_function & serve,
                                   const cancel_flag &   cancel) const;

  private:
    std::shared_ptr<loaded_model> model;
    rendezvous &                  news;
};

}  // namespace ig
