// token_sampler.h owns the drawing of tokens from a row of logits. A row is read once and drawn from any number of
// times. A draw first chooses between the most probable tokens and the rest, then a token. If only the head of a row is
// on the host, the same tokens are drawn as from the whole row: a draw that may fall into the rest copies the row.
#pragma once

#include "search/search.h"
#include "serving/decoder.h"
#include "support/numeric.h"
#include "support/random.h"

#include <map>

namespace ig {

// how often failed candidates drew a token
using token_counts = std::map<token_id, int32_t>;

// the logits that tokens are drawn from
struct row_source {
    size_t                         n_vocab;
    row_head                       head;
    std::function<const float *()> whole;           // [n_vocab]
    const float *                  base = nullptr;  // [n_vocab] row that likelihoods refer to; null: the same row

    const float * base_row() const { return base != nullptr ? base : whole(); }
};

// Draws from softmax(logits / temperature - penalty * max(1, 1 / temperature) * rejected), truncated by top-k, then
// top-p, then min-p. At temperature 0, the token with the largest logits - penalty * rejected is drawn.
class token_sampler {
  public:
    explicit token_sampler(const sampling_options & options) : options(options) {}

    // `rejected` may be null. The source must outlive the draws. Throws DECODE_FAILED if the logits are not numbers.
    void read(const row_source & source, const token_counts * rejected, double penalty);

    sampled_token draw(random_stream & random);

    // The k most probable tokens after the penalty, without truncation.
    std::vector<sampled_token> best(size_t k);

    double log_likelihood(token_id token) const;

  private:
    sampling_options   options;
    const row_source * source     = nullptr;
    const float *      row        = nullptr;  // the whole row; null while its head suffices
    const float *      scaled_row = nullptr;  // after temperature and penalty
    double             log_total  = 0;        // of the unmodified row
    double             base_total = 0;        // of the source's base row
    row_mass           mass;                  // of the row that is drawn from, once it is whole

    // what is drawn from: listed tokens, the most probable first, then all others
    std::vector<token_id> tokens;
    std::vector<float>    weights;
    double                list_mass  = 0;
    bool                  has_rest   = false;
    double                rest_mass  = 0;  // an upper bound until the rest is weighed
    bool                  rest_known = true;

    std::vector<float>  scaled;
    std::vector<double> rest_chunks;  // mass per mass_chunk, without listed tokens

    void          list_nothing();
    void          read_whole(const token_counts * rejected, double penalty);
    bool          list_from_head();
    void          list_first(size_t k);
    void          truncate_list(double all);
    void          know_rest();
    double        weigh_rest(size_t chunk, float * weights) const;
    token_id      draw_rest(double part) const;
    void          copy_row();
    void          read_base();
    const float * scale(const token_counts * rejected, double penalty);
    void          weigh_scaled();
};

}  // namespace ig
