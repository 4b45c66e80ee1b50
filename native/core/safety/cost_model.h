// cost_model.h owns what the search asks of a cost model and of a reward model. A token cost model charges while the
// text grows and keeps a small state that is copied with a candidate; a sequence cost model judges whole texts, many at
// once. Texts hold complete characters only.
#pragma once

#include "safety/safety_state.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ig {

using token_id = int32_t;

// how far a sequence cost model has read a text that grows; it is copied with a candidate
struct text_progress {
    size_t   n_read = 0; // bytes
    uint64_t previous_word = 0; // hash
    double   sum = 0; // over the features read
    double   n_features = 0;
};

// what the residual stream holds behind chosen layers, summed up over the first tokens of a response
struct residual_sum {
    std::vector<float> values; // [layer, n_embd]; empty before the first token
    size_t             n_tokens = 0;

    void add(const float * row, size_t n) {
        values.resize(n, 0);
        for (size_t i = 0; i < n; ++i) {
            values[i] += row[i];
        }
        ++n_tokens;
    }

    // Of n values; zeros before the first token.
    std::vector<float> mean(size_t first, size_t n) const {
        std::vector<float> result(n, 0);
        for (size_t i = 0; i < n && n_tokens > 0; ++i) {
            result[i] = values[first + i] / float(n_tokens);
        }
        return result;
    }
};

struct text_view {
    const std::string *           text;
    const std::vector<token_id> * tokens;
    bool                          finished;
    double                        log_likelihood; // sum over the tokens, under the base model
    text_progress *               progress = nullptr; // where the model stood in the text so far; null: at its start
    const std::string *           prompt = nullptr; // what it answers; null: nothing
    const residual_sum *          residual = nullptr; // over the tokens decoded so far, all but the last one or all; null: not read
};

// where a token cost model stands in a text
struct cost_state {
    int32_t node = 0;
    bool    in_word = false;
    bool    in_space = false;

    // combining marks that were read, but whose order is open until another character follows
    static constexpr int max_marks = 6;
    uint32_t             marks[max_marks] = { 0 };
    int                  n_marks = 0;
};

class token_cost_model {
  public:
    virtual ~token_cost_model() = default;

    // the cost of a token that adds `text`
    virtual double charge(cost_state & state, token_id token, std::string_view text) const = 0;

    // the cost that ending the text here would add: what is still undecided
    virtual double charge_end(const cost_state & state) const = 0;
};

class sequence_cost_model {
  public:
    virtual ~sequence_cost_model() = default;

    // Whether it holds something of one search: the prompt, or the state of a model of its own.
    virtual bool serves_one_search() const { return false; }

    // A search begins: the texts to come answer this prompt. Only where it serves one search.
    virtual void begin(const std::string & prompt) {}

    // one cost per text; an estimate where the text is not finished
    virtual std::vector<double> costs(const std::vector<text_view> & texts) = 0;

    // One probability per category of what is unsafe, for a finished response; none where the model knows none.
    virtual std::vector<double> categories(const text_view & finished) { return {}; }
};

class reward_model {
  public:
    virtual ~reward_model() = default;

    // Whether it holds something of one search: the prompt, or the state of a model of its own.
    virtual bool serves_one_search() const { return false; }

    // A search begins: the texts to come answer this prompt.
    virtual void begin(const std::string & prompt) {}

    virtual std::vector<double> rewards(const std::vector<text_view> & texts) = 0;
};

// one cost model with its budget; exactly one of the two models is set
struct constraint {
    budget_terms                         terms;
    std::unique_ptr<token_cost_model>    per_token;
    std::unique_ptr<sequence_cost_model> whole_text;
};

}
