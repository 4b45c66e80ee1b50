// streaming_encoder.h owns the reading of responses, as they grow, by an encoder that reads a prompt both ways and what follows it from
// left to right: a token is read once, whatever text it stands in. Many texts go in one pass, which reads what none has read. All
// calls may come from any thread; they run one after the other.
#pragma once

#include "engine/encoder_graph.h"
#include "engine/encoder_memory.h"
#include "support/cancel.h"

#include <mutex>

namespace ig {

// what is asked of an encoder
struct encoder_text {
    const std::vector<int32_t> * prompt;    // with the tokens around it
    std::vector<int32_t>         response;  // at least one token
};

// what the heads say, for each member
struct encoder_verdict {
    std::vector<std::vector<float>> response;  // [members, outputs]
    std::vector<float>              prompt;    // [members]
};

class streaming_encoder {
  public:
    // `computing` is held while the threads compute. Throws as encoder_weights does.
    streaming_encoder(const tensor_file &              file,
                      std::shared_ptr<ggml_threadpool> threads,
                      int32_t                          n_threads,
                      std::mutex &                     computing);

    const std::vector<std::string> & vocabulary() const { return weights.vocabulary; }

    size_t n_positions() const { return size_t(weights.n_positions); }

    // Prompt and response together have at most n_positions() tokens. The flag (null: none) stops it. Throws OUT_OF_MEMORY,
    // DECODE_FAILED or ABORTED.
    std::vector<encoder_verdict> read(const std::vector<encoder_text> & texts, const cancel_flag * cancel);

  private:
    struct pass {
        std::vector<stretch *> unread;      // a stretch behind those that it stands behind
        std::vector<stretch *> held;        // that those attend to
        size_t                 n_past = 0;  // rows of what is held
        size_t                 n_new  = 0;  // rows of what is unread
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
