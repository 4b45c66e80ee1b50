// tree.h owns the paths of a search (beams, candidates, fallbacks) and which decoder sequence holds which. A path stands
// for itself: it keeps its tokens, its text and every running sum, so that dropping its sequence loses nothing but time
// to decode it again.
#pragma once

#include "safety/ledger.h"
#include "search/verdict.h"
#include "serving/decoder.h"
#include "support/random.h"
#include "support/utf8.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <set>
#include <vector>

namespace ig {

enum finish_reason {
    FINISH_NONE,    // still growing
    FINISH_STOP,    // the model ended its turn
    FINISH_LENGTH,  // the longest allowed response
};

// the end of one token of a path
struct token_end {
    size_t n_text;          // bytes of text
    double log_likelihood;  // of all tokens so far
    bool   may_stop_here;   // every token cost model accepts the text so far as a text of its own
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

// what the residual stream held of a response, over the tokens that were decoded
struct response_residual {
    residual_sum sum;
    std::vector<std::shared_ptr<const residual_sum>>
        at_ends;  // what it was before ends of blocks were decoded, where text is streamed

    // Of a token that was decoded; null: it was not read.
    void add(const float * row, size_t n_values) {
        if (row != nullptr) {
            sum.add(row, n_values);
        }
    }

    // over the first n tokens but the last of them, of a response of n_tokens; null: not known
    const residual_sum * before(size_t n, size_t n_tokens) const {
        const auto is_it = [&](const residual_sum & s) {
            return s.n_tokens + 1 == n;
        };
        const auto known = std::find_if(at_ends.begin(), at_ends.end(), [&](const auto & s) { return is_it(*s); });
        return known != at_ends.end() ? known->get() : n == n_tokens && is_it(sum) ? &sum : nullptr;
    }
};

// a response, or the beginning of one
struct response {
    std::vector<token_id>  tokens;
    std::string            text;                // complete characters
    utf8_stream            bytes;
    std::vector<token_end> ends;                // [tokens]
    double                 log_likelihood = 0;  // sum, under the base model
    finish_reason          finish         = FINISH_NONE;

    ledger                     paid;
    std::vector<text_progress> progress;  // per constraint: how far its model has read the text

    response_residual        residual;
    std::vector<critic_note> notes;

    verdict judgement = verdict::open;
    bool    promising =
        true;  // where the budget is enforced: the critic, where one was asked, thinks that it can end within it
    bool   rewarded       = false;                                     // the reward was asked for
    double reward         = 0;
    double estimated_cost = 0;                                         // of an unfinished text, beyond what was charged
    double score          = -std::numeric_limits<double>::infinity();  // not judged yet: comes last

    int32_t node = -1;                                                 // in the trace, or of what it continues

    bool finished() const { return finish != FINISH_NONE; }

    text_view view() const { return { &text, &tokens, finished(), log_likelihood, nullptr, &residual.sum }; }

    bool starts_with(const std::vector<token_id> & prefix) const {
        return prefix.size() <= tokens.size() && std::equal(prefix.begin(), prefix.end(), tokens.begin());
    }
};

enum latent_kind { LATENT_NONE, LATENT_KEPT, LATENT_FROM_DEVICE };

// a response with its place in the decoder, and what its last output was read for
struct path : response {
    seq_id        seq    = -1;    // -1: none
    size_t        n_held = 0;     // how many tokens the sequence holds, those of the prompt included
    random_stream random;         // branches into one per token that is drawn; the first child goes on with it
    bool          plain = false;  // what plain sampling with this seed gives; its first child goes on being that

    // what its children begin with
    std::set<token_id> begun;    // tokens that some began with
    bool distinct = false;       // children to come begin with the most probable tokens that none has begun with
    std::vector<sampled_token>
             next_tokens;        // N at a time, read off the output at the last token; empty: still to be read
    size_t   n_used    = 0;      // of the next_tokens
    uint64_t page      = 0;      // which N these are, where they are drawn
    bool     penalised = false;  // they avoid tokens

    latent_kind        has_latent = LATENT_NONE;
    std::vector<float> latent;  // what the critic reads of that output, or said of it on the device

    path(const response & r, const random_stream & random) : response(r), random(random) {}
};

}  // namespace ig
