#include "engine/text_models.h"

#include "engine/causal_reader.h"
#include "engine/encoder_reader.h"

namespace ig {

std::unique_ptr<text_model> make_text_model(std::shared_ptr<loaded_model>    model,
                                            std::shared_ptr<ggml_threadpool> threads,
                                            int32_t                          n_threads,
                                            text_output                      output) {
    const bool reads_both_ways = output == OUTPUT_CLASSES && model->metadata("general.architecture") != "qwen3";
    if (reads_both_ways) {
        return std::make_unique<encoder_reader>(std::move(model), std::move(threads), n_threads);
    }
    return std::make_unique<causal_reader>(std::move(model), std::move(threads), n_threads, output);
}

}  // namespace ig
