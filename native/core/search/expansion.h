// expansion.h owns how candidates come to be: blocks of tokens sampled on top of the beams, all live candidates in one
// decoder step, in waves where they are more than the search finds sequences for. Candidates that run over budget stop at
// once and give their sequence back. Each row of a step is read once, while the threads of the decoder process it: for the
// next token of a growing candidate, or, at the end of a block, for the tokens that its children will begin with and for what
// the critic reads.
#pragma once

#include "search/block.h"
#include "search/latent_ascent.h"
#include "search/sequence_plan.h"

namespace ig {

class expander {
  public:
    expander(const search_models &  models,
             const search_options & options,
             const cancel_flag &    cancel,
             search_timings &       timings);

    // Decodes the prompt but for its last token; the returned path is the empty response.
    path start(const std::vector<token_id> & prompt);

    // The candidates of a block, which is as long as the token limit allows for all of them, whatever the waves; fewer come back where
    // it cuts some.
    std::vector<path> expand(const block_spec & spec, const token_limit & limit);

    // Takes sequences for a block of so many candidates in all, as far as there are any.
    void take_sequences(size_t width);

    // Whether so many candidates find sequences beside those that are held.
    bool fits(const std::vector<path *> & beams, size_t n) const { return sequences.fits(beams, n); }

    void release(path & p);

    // The search is over with this answer; null: with none that holds a sequence.
    void keep(const path * answer);

    // Without a token, of which nothing is charged.
    path empty_path(const random_stream & random) const;

    // Appends a token to a response: text, costs, finish.
    void append(response & r, token_id token, double log_likelihood) const;

    bool was_cut() const { return cut; }  // the last block, by the token limit

    int64_t n_generated() const { return generated; }

    int64_t n_beside_plain() const {
        return beside_plain;
    }  // of them by candidates that are not what plain sampling gives

    int32_t n_reused_tokens() const { return n_reused; }  // of the prompt

  private:
    using wave = std::vector<candidate *>;

    const search_models &      models;
    const search_options &     options;
    const cancel_flag &        cancel;
    search_timings &           timings;
    sequence_plan              sequences;
    latent_ascent              ascent;
    std::vector<token_sampler> samplers;  // per thread that processes rows
    std::vector<token_id>      prompt;
    std::vector<decode_item>   items;
    std::vector<float>         critic_inputs;     // what the critic reads of each item beside its output
    seq_id                     kept         = 0;  // sequence that is not released any more
    int32_t                    n_reused     = 0;
    size_t                     n_root_held  = 0;  // tokens that the prompt's sequence holds
    int64_t                    generated    = 0;
    int64_t                    beside_plain = 0;
    bool                       cut          = false;

    std::vector<wave> waves_of(block & b) const;
    void              grow_wave(block & b, const wave & part, const rejected_tokens & rejected, int32_t length);
    void              grow(block & b, const wave & part, const rejected_tokens & rejected, int32_t length);
    void              read_ends(const std::vector<path *> & paths, const token_counts * rejected, bool for_critic);
    void              read_end(path &               p,
                               const row_source &   source,
                               const output_row &   row,
                               const token_counts * rejected,
                               bool                 for_critic);
    void              step(const std::vector<path *> & owners, bool for_critic, const row_reader & read);
    void              rewind(path & p);
    void              place(candidate & c);
    void              free_sequence(path & p);
    decode_item       item_at(const path & p, size_t position) const;

    std::vector<sampled_token> most_probable(const path & parent, token_sampler & sampler) const;

    int32_t last_position(const path & p) const { return int32_t(prompt.size() + p.tokens.size()) - 1; }

    bool begins_with_best(const path & parent) const { return parent.distinct || !options.is_random(); }
};

}  // namespace ig
