// cost_model.h owns what the search asks of a cost model and of a reward model. Models are immutable, and searches share them. A
// token cost model charges while the text grows; where it stands is a small state that is copied with a candidate. A text scorer
// gives whole texts their costs or rewards, many at once; each search opens a session of it, which has all that belongs to that
// search. Texts hold complete characters only.
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
    virtual cost_state state_behind(std::string_view before) const { return {}; }

    // the cost of a token that adds `text`
    virtual double charge(cost_state & state, token_id token, std::string_view text) const = 0;

    // the cost that ending the text here would add: what is still undecided
    virtual double charge_end(const cost_state & state) const = 0;
};

// Asks a function of the caller: which ("cost" or "reward"), its index, all candidates.
using ask_function =
    std::function<std::vector<double>(const char * kind, size_t index, const std::vector<text_view> & texts)>;

// what a search brings along; it outlives the search's sessions
struct session_scope {
    std::string   prompt;  // what the texts answer
    reading_scope reading;
    ask_function  ask;
};

// What one search asks. It is used from one thread, which may be any.
class scoring_session {
  public:
    virtual ~scoring_session() = default;

    // One per text: its cost, its reward, or the log-odds of "unsafe"; an estimate where the text is not finished.
    virtual std::vector<double> scores(const std::vector<text_view> & texts) = 0;

    // One probability per category of what is unsafe, for a finished response; none where the model knows none.
    virtual std::vector<double> categories(const text_view & finished) { return {}; }

    // The probability that the model says one of the expected answers at all.
    virtual double answer_mass(const std::string & response) { return 1; }
};

class text_scorer {
  public:
    virtual ~text_scorer() = default;

    // From any thread. `scope` and the model outlive the session.
    virtual std::unique_ptr<scoring_session> open(const session_scope & scope) const = 0;
};

// A session that is one function.
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
