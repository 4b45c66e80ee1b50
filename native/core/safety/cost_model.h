// cost_model.h owns what the search asks of a cost model and of a reward model. A token cost model charges while the
// text grows and keeps a small state that is copied with a candidate; a sequence cost model judges whole texts, many at
// once. Texts hold complete characters only.
#pragma once

#include "engine/residual_sum.h"
#include "safety/safety_state.h"
#include "safety/spelling.h"
#include "support/token.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ig {

// how far a sequence cost model has read a text that grows; it is copied with a candidate
struct text_progress {
    size_t   n_read        = 0;  // bytes
    uint64_t previous_word = 0;  // hash
    double   sum           = 0;  // over the features read
    double   n_features    = 0;
};

struct text_view {
    const std::string *           text;
    const std::vector<token_id> * tokens;
    bool                          finished;
    double                        log_likelihood;      // sum over the tokens, under the base model
    text_progress *               progress = nullptr;  // where the model stood in the text so far; null: at its start
    const std::string *           prompt   = nullptr;  // what it answers; null: nothing
    const residual_sum *          residual =
        nullptr;  // over the tokens decoded so far, all but the last one or all; null: not read
};

// where one reading of a text stands
struct text_reading {
    spelling at;
    int32_t  node      = 0;      // of the automaton
    bool     of_prompt = false;  // nothing of the response has been read
    double   lead      = 0;      // what it found more than was charged so far
};

// where the reading of letters that stand apart stands
struct letter_reading {
    int32_t node      = 0;
    int     n_in_word = 0;      // 2: or more
    bool    lettered  = false;  // some of them are letters, not only digits and signs
    double  undecided = 0;      // found with the last letter, if it stands alone
    double  lead =
        0;  // of what was found in a script without spaces, where letters that do not stand apart are found too
};

// where a token cost model stands in a text
struct cost_state {
    text_reading   plain;
    text_reading   gapped;  // where something was read that may show as a gap
    bool           has_gap = false;
    text_reading   likeness;
    letter_reading apart;
    shown_markup   tags;
    text_reading   bare;  // of what shows once markup is taken away
    letter_reading bare_apart;
};

class token_cost_model {
  public:
    virtual ~token_cost_model() = default;

    // where it stands behind a text that costs nothing
    virtual cost_state begin(std::string_view before) const { return {}; }

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

// where the token cost models stand behind a prompt that the response goes on from
inline std::vector<cost_state> states_behind(const std::vector<constraint> & constraints, std::string_view prompt) {
    std::vector<cost_state> states(constraints.size());
    for (size_t i = 0; i < constraints.size(); ++i) {
        if (constraints[i].per_token) {
            states[i] = constraints[i].per_token->begin(prompt);
        }
    }
    return states;
}

}  // namespace ig
