// text_tokenizer.h owns the tokenization of texts of any length for the generating model. A text that no context of
// n_tokens could hold is refused by its length. A long text takes a while: another thread tokenizes it, while the
// thread that owns the model serves other generations. That other thread ends before the call returns.
#pragma once

#include "engine/llama_model.h"
#include "support/rendezvous.h"

namespace ig {

// Returns once the condition holds. The condition is evaluated under the rendezvous's lock.
using wait_function = std::function<void(const std::function<bool()> &)>;

class text_tokenizer {
  public:
    text_tokenizer(std::shared_ptr<loaded_model> model, rendezvous & news) : model(std::move(model)), news(news) {}

    // Whether n_tokens tokens may hold a text of this length.
    bool may_fit(size_t n_bytes, int64_t n_tokens) const { return n_bytes <= model->most_bytes(n_tokens); }

    // See loaded_model::tokenize. `serve`: what the model's thread does during a long text; null on other threads.
    std::vector<token_id> tokenize(const std::string &   text,
                                   bool                  with_ends,
                                   const wait_function & serve,
                                   const cancel_flag &   cancel) const;

  private:
    std::shared_ptr<loaded_model> model;
    rendezvous &                  news;
};

}  // namespace ig
