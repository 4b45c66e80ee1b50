// cost_model.h owns the interfaces of cost models and reward models to the search. Models are immutable and shared
// between searches. A token cost model charges while the text grows; its state is small and copied with a candidate. A
// text scorer gives whole texts their costs or rewards, many at once. Each search opens a session of it, which has all
// that belongs to that search. Texts hold complete characters only.
#pragma once

#include "engine/residual_sum.h"
#include "engine/text_model.h"
#include "safety/safety_state.h"
#include "safety/spelling.h"
#include "support/token.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ig {

// how much of a growing text a whole-text cost model has read; copied with a candidate
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
    double                        log_likelihood;  // sum over the tokens, under the base model
    text_progress *               progress =
        nullptr;       // the model's state after an earlier part of the text; null: the text is read from its start
    const residual_sum * residual =
        nullptr;       // over the prefill and the tokens decoded so far, all or all but the last; null: not read
    size_t n_cut = 0;  // of the last tokens, those whose whole text a stop string cuts off
};

// the state of one reading of a text
struct text_reading {
    spelling at;
    int32_t  node      = 0;      // of the automaton
    bool     of_prompt = false;  // no part of the response has been read
    double   lead      = 0;      // its cost above what was charged so far
};

// the state of the reading of spaced-out letters
struct letter_reading {
    int32_t node      = 0;
    int     n_in_word = 0;      // 2: or more
    bool    lettered  = false;  // at least one is a letter, not a digit or sign
    double  undecided = 0;      // found with the last letter, if that letter stands alone
    double  lead      = 0;      // of hits in a script without spaces, where letters are also found without gaps
};

// the state of the readings of a loose lexicon
struct loose_reading {
    text_reading   likeness;
    letter_reading apart;
    text_reading   bare;  // of the visible text, without markup
    letter_reading bare_apart;
};

// a token cost model's state in a text
struct cost_state {
    text_reading  plain;
    text_reading  gapped;  // with gaps where something may look like one
    bool          has_gap = false;
    shown_markup  tags;
    loose_reading loose;
    loose_reading loose_gapped;
};

class token_cost_model {
  public:
    virtual ~token_cost_model() = default;

    // the state after a text that costs nothing
    virtual cost_state state_behind(std::string_view before) const { return {}; }

    // Whether it charges the text, not the tokens that spell it.
    virtual bool charges_text() const = 0;

    // the cost of a token (-1: none) that adds `text` to the response
    virtual double charge(cost_state & state, token_id token, std::string_view text) const = 0;

    // the additional cost if the text ended here: hits that are still undecided
    virtual double charge_end(const cost_state & state) const = 0;
};

// Calls a function of the caller: which one ("cost" or "reward"), its index, all candidates.
using ask_function =
    std::function<std::vector<double>(const char * kind, size_t index, const std::vector<text_view> & texts)>;

// a search's context; it outlives the search's sessions
struct session_scope {
    std::string   prompt;  // the prompt that the texts answer
    reading_scope reading;
    ask_function  ask;
};

// A text scorer's session for one search. It is used from one thread, which may be any.
class scoring_session {
  public:
    virtual ~scoring_session() = default;

    // One per text: its cost, its reward, or the log-odds of "unsafe"; an estimate for an unfinished text.
    virtual std::vector<double> scores(const std::vector<text_view> & texts) = 0;

    // One probability per category of unsafe text, for a finished response; empty if the model has no categories.
    virtual std::vector<double> categories(const text_view & finished) { return {}; }

    // The total probability of the expected answers.
    virtual double answer_mass(const std::string & response) { return 1; }
};

class text_scorer {
  public:
    virtual ~text_scorer() = default;

    // From any thread. `scope` and the model outlive the session.
    virtual std::unique_ptr<scoring_session> open(const session_scope & scope) const = 0;
};

// A session that consists of one function.
class plain_session : public scoring_session {
  public:
    using score_function = std::function<std::vector<double>(const std::vector<text_view> & texts)>;

    explicit plain_session(score_function score) : score(std::move(score)) {}

    std::vector<double> scores(const std::vector<text_view> & texts) override { return score(texts); }

  private:
    score_function score;
};

// one cost model with its budget; exactly one of the two models is set
struct constraint {
    budget_terms                            terms;
    std::unique_ptr<const token_cost_model> per_token;
    std::unique_ptr<const text_scorer>      whole_text;
};

}  // namespace ig
