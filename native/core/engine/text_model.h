// text_model.h owns what a cost or reward model needs from a language model that judges texts: its tokens, and one
// output row (logits, the final-norm hidden state, or class logits) at the last tokens of many texts at once. A prefix
// that texts of one call share, or share with those of earlier calls, is decoded once. It does not depend on llama.cpp.
// Searches share the model: each reads through its own session, and they take turns on the thread that owns the model.
#pragma once

#include "engine/markup.h"
#include "support/cancel.h"
#include "support/token.h"

#include <atomic>
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
    size_t                n_kept;         // later tokens are dropped from the cache after the call
    size_t                n_outputs = 1;  // 1, except for logits
};

struct text_classes {
    std::vector<std::string> names;
    bool                     independent;        // each is true or false by itself; otherwise they exclude one another
    bool                     are_probabilities;  // their logits are the logarithms of a softmax
};

// Receives the rows of a call: the sequence, which of its last n_outputs tokens, and the values, valid during the call.
// If a reader starts again, a row comes again.
using row_function = std::function<void(size_t sequence, size_t output, const float * values)>;

// Makes a call on the thread that owns the models, and returns after it.
using call_function = std::function<void(const std::function<void()> & call)>;

// a search's context for reading
struct reading_scope {
    const cancel_flag * cancel          = nullptr;  // cancels a reading; null: nothing does
    uint64_t            available_bytes = 0;        // memory that the process may still use; 0: unknown
    call_function       on_owner;                   // null: this thread owns the models
};

class text_model {
  public:
    virtual ~text_model() = default;

    virtual int32_t        width() const       = 0;  // values per row
    virtual text_classes   classes() const     = 0;  // for OUTPUT_CLASSES
    virtual const markup & chat_markup() const = 0;  // of its own chat template
    virtual token_id       beginning() const   = 0;  // the token that begins every text; -1: none

    // From any thread. Plain text: control tokens in it are never recognised. with_ends adds the tokens that begin and
    // end every text of the model. The flag (may be null) stops it.
    virtual std::vector<token_id> tokenize(const std::string & text,
                                           bool                with_ends,
                                           const cancel_flag * cancel) const = 0;

  protected:
    // of the current read; see reading_scope
    const cancel_flag * cancel          = nullptr;
    uint64_t            available_bytes = 0;

    size_t n_sessions() const { return n_open; }

  private:
    friend class reading_session;
    std::atomic<size_t> n_open{ 0 };

    virtual void read(const std::vector<token_sequence> & sequences, const row_function & row) = 0;
};

// One search's reading of texts with a shared model. The model caches the prefixes of the texts of all searches that
// have a session.
class reading_session {
  public:
    reading_session(text_model & model, const reading_scope & scope) : model(model), scope(scope) { ++model.n_open; }

    ~reading_session() { --model.n_open; }

    reading_session(const reading_session &)             = delete;
    reading_session & operator=(const reading_session &) = delete;

    // Waits for its turn. Rows arrive on the thread that owns the model. Throws TEXT_TOO_LONG, KV_CAPACITY,
    // OUT_OF_MEMORY, DECODE_FAILED or ABORTED.
    void read(const std::vector<token_sequence> & sequences, const row_function & row) {
        const auto read_here = [&] {
            const turn own(model, scope);
            model.read(sequences, row);
        };
        scope.on_owner ? scope.on_owner(read_here) : read_here();
    }

  private:
    struct turn {
        text_model & model;

        turn(text_model & model, const reading_scope & scope) : model(model) {
            model.cancel          = scope.cancel;
            model.available_bytes = scope.available_bytes;
        }

        ~turn() { model.cancel = nullptr; }
    };

    text_model &          model;
    const reading_scope & scope;
};

}  // namespace ig
