// text_model.h owns what a cost or reward model needs of a language model that judges texts: its tokens, and one row of
// output (logits, the final-norm hidden state, or the logits of its classes) at the last tokens of many texts at once.
// What the texts of one call share with one another, or with texts of earlier calls, is decoded once. It knows nothing of
// llama.cpp. All calls come from one thread.
#pragma once

#include "engine/markup.h"
#include "support/cancel.h"
#include "support/token.h"

#include <functional>
#include <string>
#include <vector>

namespace ig {

enum text_output {
    OUTPUT_LOGITS,   // [n_vocab] at the last n_outputs tokens
    OUTPUT_HIDDEN,   // [n_embd] final-norm hidden state at the last token
    OUTPUT_CLASSES,  // [n_classes] logits of the classes of a pooling head
};

struct token_sequence {
    std::vector<token_id> tokens;
    size_t                n_kept;         // the tokens behind these are forgotten after the call
    size_t                n_outputs = 1;  // 1, except for logits
};

struct text_classes {
    std::vector<std::string> names;
    bool                     independent;        // each is true or not by itself; otherwise they exclude one another
    bool                     are_probabilities;  // their logits are logarithms of a softmax
};

// Gets the rows of a call: of which sequence, which of its last n_outputs tokens, and the values, valid during the call.
using row_function = std::function<void(size_t sequence, size_t output, const float * values)>;

class text_model {
  public:
    virtual ~text_model() = default;

    virtual int32_t        width() const       = 0;  // values of a row
    virtual text_classes   classes() const     = 0;  // of OUTPUT_CLASSES
    virtual const markup & chat_markup() const = 0;  // of its own chat template
    virtual token_id       beginning() const   = 0;  // the token that begins every text; -1: none

    // Plain text: control tokens are never read in it. With the tokens that begin and end every text of the model, or without.
    virtual std::vector<token_id> tokenize(const std::string & text, bool with_ends) const = 0;

    // Throws TEXT_TOO_LONG, KV_CAPACITY, OUT_OF_MEMORY, DECODE_FAILED or ABORTED.
    virtual void read(const std::vector<token_sequence> & sequences, const row_function & row) = 0;

    // The flag that stops a read (null: none), and the memory that the process may still use (0: unknown).
    void begin_job(const cancel_flag * flag, uint64_t bytes) {
        cancel          = flag;
        available_bytes = bytes;
    }

  protected:
    const cancel_flag * cancel          = nullptr;
    uint64_t            available_bytes = 0;
};

}  // namespace ig
