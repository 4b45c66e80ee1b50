// expansion.h owns the sampling of candidates: blocks of tokens on top of the beams. One decoder step advances all live
// candidates. If there are more candidates than free sequences, they grow in several waves. Candidates over budget stop
// at once and free their sequence. The decoder's threads read each row of a step once: for the next token of a growing
// candidate or, at the end of a block, for its children's first tokens and the critic's inputs.
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

    // Decodes all of the prompt except its last token. Returns the empty response.
    path start(const std::vector<token_id> & prompt);

    // The candidates of a block. The block is as long as the token limit allows for all of them, in whatever waves they
    // grow. Fewer candidates return if the limit cuts some off.
    std::vector<path> expand(const block_spec & spec, const token_limit & limit);

    // Takes sequences for a block of `width` candidates, or as many as there are.
    void take_sequences(size_t width);

    // Whether n candidates find free sequences besides those that are held.
    bool fits(const std::vector<path *> & beams, size_t n) const { return sequences.fits(beams, n); }

    void release(path & p);

    // Ends the search with this answer. null: no answer that holds a sequence.
    void keep(const path * answer);

    // A path without tokens.
    path empty_path(const random_stream & random) const;

    // Appends a token to a response: text, costs, finish.
    void append(response & r, token_id token, double log_likelihood) const;

    bool was_cut() const { return cut; }  // whether the token limit cut the last block

    int64_t n_generated() const { return generated; }

    int64_t n_beside_plain() const { return beside_plain; }  // tokens of candidates other than plain sampling's

    int32_t n_reused_tokens() const { return n_reused; }     // prompt tokens from the prefix cache

  private:
    using wave = std::vector<candidate *>;

    const search_models &      models;
    const search_options &     options;
    const cancel_flag &        cancel;
    search_timings &           timings;
    sequence_plan              sequences;
    latent_ascent              ascent;
    std::vector<token_sampler> samplers;  // one per thread that processes rows
    std::vector<token_id>      prompt;
    std::vector<decode_item>   items;
    std::vector<float>         critic_inputs;     // what the critic reads of each item besides its output
    seq_id                     kept         = 0;  // sequence that is never released
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
