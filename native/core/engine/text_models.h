// text_models.h owns the choice of the reader class for a model that judges texts.
#pragma once

#include "engine/llama_model.h"
#include "engine/text_model.h"

#include <memory>

namespace ig {

// Throws UNSUPPORTED_MODEL if the model cannot give this output.
std::unique_ptr<text_model> make_text_model(std::shared_ptr<loaded_model>    model,
                                            std::shared_ptr<ggml_threadpool> threads,
                                            int32_t                          n_threads,
                                            text_output                      output);

}  // namespace ig
