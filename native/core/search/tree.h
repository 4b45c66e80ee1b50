// tree.h owns the paths of a search (beams, candidates, fallbacks) and records which decoder sequence holds which. A
// path is self-contained: it has its tokens, its text and all running sums. Dropping its sequence costs only the time
// to decode it again.
#pragma once

#include "safety/ledger.h"
#include "search/stop_strings.h"
#include "search/verdict.h"
#include "serving/decoder.h"
#include "support/random.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <set>
#include <vector>

namespace ig {

enum finish_reason {
    FINISH_NONE,    // still growing
    FINISH_END,     // the model ended its turn
    FINISH_STRING,  // a stop string is complete
    FINISH_LENGTH,  // the longest allowed response
};

// the end of one token of a path
struct token_end {
    size_t begins;          // byte of the text at which the token's own text begins
    size_t n_text;          // bytes of text
    double log_likelihood;  // of all tokens so far
    bool   may_stop_here;   // no stop string may have begun, and every token cost model accepts the text as finished
};

struct sampled_token {
    token_id token;
    double   log_likelihood;  // under the base model
};

struct critic_note {
    size_t n_tokens;
    float  p_safe;
    float  p_safe_std;
    float  value;
};

// a response's residual stream, summed over the decoded tokens, of which those of the prefill come first
struct response_residual {
    size_t       n_begun = 0;  // tokens of the prefill
    residual_sum sum;
    std::vector<std::shared_ptr<const residual_sum>>
        at_ends;  // the sum before each end of a block was decoded, if text is streamed

    // Adds a decoded token; null: it was not read.
    void add(const float * row, size_t n_values) {
        if (row != nullptr) {
            sum.add(row, n_values);
        }
    }

    // Whether the token at a position is still to be added; n_prompt: tokens of the prompt and the prefill.
    bool lacks(size_t position, size_t n_prompt) const { return position + n_begun >= n_prompt + sum.n_tokens; }

    // Whether the sum is over the prefill and n tokens but the last of them.
    bool ends_before(size_t n) const { return ends_before(sum, n); }

    // over the prefill and the first n tokens but the last of them, of a response of n_tokens; null: not known
    const residual_sum * before(size_t n, size_t n_tokens) const {
        const auto is_it = [&](const residual_sum & s) {
            return ends_before(s, n);
        };
        const auto known = std::find_if(at_ends.begin(), at_ends.end(), [&](const auto & s) { return is_it(*s); });
        return known != at_ends.end() ? known->get() : n == n_tokens && is_it(sum) ? &sum : nullptr;
    }

  private:
    bool ends_before(const residual_sum & s, size_t n) const { return s.n_tokens + 1 == n_begun + n; }
};

// a response, or its beginning
struct response {
    std::vector<token_id>  tokens;
    std::string            text;                // complete characters, without what is held back
    open_end               end;
    std::vector<token_end> ends;                // [tokens]
    double                 log_likelihood = 0;  // sum, under the base model
    finish_reason          finish         = FINISH_NONE;

    ledger                     paid;
    std::vector<text_progress> progress;  // per constraint: how far its model has read the text

    response_residual        residual;
    std::vector<critic_note> notes;

    verdict judgement      = verdict::open;
    bool    promising      = true;   // false: the critic doubts that it can end within the enforced budget
    bool    rewarded       = false;  // the reward is known
    double  reward         = 0;
    double  estimated_cost = 0;      // of an unfinished text, in addition to its charges
    double  score          = -std::numeric_limits<double>::infinity();  // not judged: comes last

    int32_t node = -1;  // in the trace; until judged, the node that it continues

    bool finished() const { return finish != FINISH_NONE; }

    // The number of last tokens whose whole text a stop string cuts off.
    size_t n_cut() const {
        const auto is_kept = [&](const token_end & end) {
            return end.begins < text.size();
        };
        return finish == FINISH_STRING ? size_t(std::find_if(ends.rbegin(), ends.rend(), is_kept) - ends.rbegin()) : 0;
    }

    text_view view() const { return { &text, &tokens, finished(), log_likelihood, nullptr, &residual.sum, n_cut() }; }

    bool starts_with(const std::vector<token_id> & prefix) const {
        return prefix.size() <= tokens.size() && std::equal(prefix.begin(), prefix.end(), tokens.begin());
    }
};

enum latent_kind { LATENT_NONE, LATENT_KEPT, LATENT_FROM_DEVICE };

// a response with its place in the decoder and the values read from its last output
struct path : response {
    seq_id        seq    = -1;    // -1: no sequence
    size_t        n_held = 0;     // tokens that the sequence holds, including the prompt's
    random_stream random;         // branches into one per drawn token; the first child continues it
    bool          plain = false;  // plain sampling's response with this seed; the first child inherits this

    // first tokens of its children
    std::set<token_id> begun;                  // first tokens that are taken
    bool               distinct = false;       // later children begin with the most probable tokens that are not taken
    std::vector<sampled_token> next_tokens;    // N at a time, from the output at the last token; empty: not read yet
    size_t                     n_used    = 0;  // number of next_tokens that are used
    uint64_t                   page      = 0;  // index of these N, if they are drawn
    bool                       penalised = false;  // whether they avoid rejected tokens

    latent_kind        has_latent = LATENT_NONE;
    std::vector<float> latent;  // what the critic reads of that output, or computed from it on the device

    path(const response & r, const random_stream & random) : response(r), random(random) {}
};

}  // namespace ig
