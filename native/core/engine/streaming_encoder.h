// streaming_encoder.h owns the reading of growing responses by an encoder that attends in both directions in the
// prompt, and left to right after it. So a token is read once, whatever text continues it. One pass takes many texts
// and reads only what is not cached. Calls may come from any thread; they run one at a time.
#pragma once

#include "engine/encoder_graph.h"
#include "engine/encoder_memory.h"
#include "support/cancel.h"

#include <mutex>

namespace ig {

// an encoder's input
struct encoder_text {
    const std::vector<int32_t> * prompt;    // including the tokens around it
    std::vector<int32_t>         response;  // at least one token
};

// the heads' outputs, per member
struct encoder_verdict {
    std::vector<std::vector<float>> response;  // [members, outputs]
    std::vector<float>              prompt;    // [members]
};

class streaming_encoder {
  public:
    // `computing` is locked while the threads compute. Throws as encoder_weights does.
    streaming_encoder(const tensor_file &              file,
                      std::shared_ptr<ggml_threadpool> threads,
                      int32_t                          n_threads,
                      std::mutex &                     computing);

    const std::vector<std::string> & vocabulary() const { return weights.vocabulary; }

    size_t n_positions() const { return size_t(weights.n_positions); }

    // Prompt and response together have at most n_positions() tokens. The flag (may be null) stops the call. Throws
    // OUT_OF_MEMORY, DECODE_FAILED or ABORTED.
    std::vector<encoder_verdict> read(const std::vector<encoder_text> & texts, const cancel_flag * cancel);

  private:
    struct pass {
        std::vector<stretch *> unread;      // each stretch after those that it continues
        std::vector<stretch *> held;        // stretches in the cache that those attend to
        size_t                 n_past = 0;  // cached rows
        size_t                 n_new  = 0;  // unread rows
    };

    encoder_weights weights;
    encoder_graph   graph;
    encoder_memory  memory;
    std::mutex &    computing;

    void      read_some(const std::vector<encoder_text> & texts, std::vector<encoder_verdict> & verdicts);
    stretch & plan(const encoder_text & text, pass & p);
    void      compute(pass & p);
    void      keep(const pass & p);
    void      add_up(stretch & s, size_t row, const std::vector<std::vector<float>> & outputs) const;
    void      speak(stretch & s, size_t row, const std::vector<std::vector<float>> & outputs) const;
};

}  // namespace ig
