// encoder_reader.h owns the reading of texts by an encoder with a classification head. It has no cache: every text is
// read whole, as many at once as fit into a batch.
#pragma once

#include "engine/classifier_head.h"
#include "engine/reader_context.h"

namespace ig {

class encoder_reader : public reader_context {
  public:
    encoder_reader(std::shared_ptr<loaded_model> model, std::shared_ptr<ggml_threadpool> threads, int32_t n_threads) :
        reader_context(std::move(model), std::move(threads), n_threads, OUTPUT_CLASSES),
        head(*this->model) {
        pooling = head.pooling();
    }

  private:
    classifier_head head;

    void read(const std::vector<token_sequence> & sequences, const row_function & row) override;
    void read_batch(const std::vector<token_sequence> & sequences, size_t begin, size_t end, const row_function & row);
};

}  // namespace ig
