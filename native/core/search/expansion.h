// expansion.h owns how candidates come to be: blocks of tokens sampled on top of the beams, all live candidates in one
// decoder step, in waves where they are more than the search finds sequences for. Candidates that run over budget stop at
// once and give their sequence back. What comes home of a step is read once, while the threads of the decoder visit it: the
// next token of a growing candidate, or, at the end of a block, the tokens that its children will begin with and what the
// critic reads.
#pragma once

#include "search/search.h"
#include "search/token_sampler.h"
#include "serving/sequence_pool.h"

namespace ig {

using tried_tokens = std::vector<token_counts>;  // per position of the block

// a block of candidates
struct expansion {
    std::vector<path *>  parents;  // the candidates are spread evenly on top of them
    size_t               n;        // candidates
    int32_t              length;   // of the block
    const tried_tokens & tried;    // what they avoid; empty in the first round
    uint64_t             stream;   // random numbers of candidate i: (stream, first + i)
    uint64_t             first = 0;
};

// how many tokens may be sampled
struct token_limit {
    int64_t plain;         // by a candidate that is what plain sampling gives
    int64_t beside_plain;  // by all others
};

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
    std::vector<path> expand(const expansion & block, const token_limit & limit);

    // Takes sequences for a block of so many candidates in all, as far as there are any.
    void take_sequences(size_t width);

    // Whether so many candidates find sequences beside those that are held.
    bool fits(const std::vector<path *> & beams, size_t n) const;

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
    struct offspring {
        path * parent;
        path   child;
        bool   last;  // of its siblings
    };

    // the base model's row, and the logits to draw from where they are not its own
    struct drawing_source {
        row_source    base;
        const float * proposal;
    };

    using row_reader =
        std::function<void(size_t i, const drawing_source & source, size_t thread, const output_row & row)>;

    const search_models &      models;
    const search_options &     options;
    const cancel_flag &        cancel;
    search_timings &           timings;
    int32_t                    n_own;           // sequences from beginning to end
    int32_t                    n_more = 0;      // that may be asked for beside those
    bool                       keeps_finished;  // they suffice for finished beams to keep theirs
    size_t                     n_firsts;        // first tokens that are drawn when an end is read
    sequence_pool              pool{ 1 };       // 0 stays with the prompt
    std::vector<token_sampler> samplers;        // per visiting thread
    std::vector<token_id>      prompt;
    std::vector<decode_item>   items;
    std::vector<float>         critic_beside;     // what the critic reads of each item beside its output
    seq_id                     kept         = 0;  // sequence that is not released any more
    int32_t                    n_reused     = 0;
    size_t                     n_root_held  = 0;  // tokens that the prompt's sequence holds
    int64_t                    generated    = 0;
    int64_t                    beside_plain = 0;
    bool                       cut          = false;

    std::vector<offspring>                breed(const expansion & block);
    void                                  turn_page(path & parent, size_t share, bool penalised) const;
    std::vector<std::vector<offspring *>> waves(std::vector<offspring> & all) const;
    int32_t affordable(const std::vector<offspring> & all, int32_t wanted, const token_limit & limit) const;

    void               grow(const std::vector<offspring *> & wave, const tried_tokens & tried, int32_t length);
    void               read_ends(const std::vector<path *> & paths, const token_counts * tried, bool for_critic);
    void               read_end(path &                 p,
                                const drawing_source & source,
                                size_t                 thread,
                                const output_row &     row,
                                const token_counts *   tried,
                                bool                   for_critic);
    void               rewind(path & p);
    void               step(const std::vector<path *> & owners, bool for_critic, const row_reader & read);
    std::vector<float> propose(const std::vector<path *> &             owners,
                               const std::vector<std::vector<float>> & hidden,
                               const std::vector<std::vector<float>> & logits);
    sampled_token      draw(const drawing_source & source,
                            size_t                 thread,
                            random_stream &        random,
                            const token_counts *   tried);
    std::vector<sampled_token> most_probable(const path &           parent,
                                             const drawing_source & source,
                                             size_t                 thread,
                                             const token_counts *   tried);
    std::vector<float>         for_critic_of(const output_row & row, const float * logits) const;
    decode_item                item_at(const path & p, size_t position) const;

    int32_t last_position(const path & p) const { return int32_t(prompt.size() + p.tokens.size()) - 1; }

    void place(offspring & o);
    void free_sequence(path & p);

    bool begins_with_best(const path & parent) const { return parent.distinct || !options.is_random(); }

    bool may_grow(const path & child) const;
};

}  // namespace ig
