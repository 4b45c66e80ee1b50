// frontier.h owns the committed text: the tokens that all live beams share, up to the last point where every cost model
// accepts the text as finished. Committed tokens never change. The text handed out is always a prefix of the final
// text.
#pragma once

#include "search/search.h"

namespace ig {

class frontier {
  public:
    frontier(const search_models & models, const search_options & options, const commit_function & commit) :
        models(models),
        options(options),
        commit(commit),
        whole_text_costs(models.constraints.size(), 0),
        n_handed_out(models.session->prefill().text.size()) {}

    // Commits the tokens that the beams share and hands out their text.
    void advance(const std::vector<path> & beams);

    // Hands out the rest of an accepted response.
    void finish(const std::string & text);

    const std::vector<token_id> & committed() const { return tokens; }

    // of the committed tokens up to and including each
    const std::vector<double> & log_likelihoods() const { return likelihood_sums; }

    // charges of the whole-text cost models for the committed text; 0 for token cost models
    const std::vector<double> & costs() const { return whole_text_costs; }

    const std::vector<critic_note> & notes() const { return committed_notes; }

    // the cost models' sum over the committed text's residual stream
    const residual_sum & residual() const { return committed_residual; }

    bool has_text() const { return n_handed_out > models.session->prefill().text.size(); }

  private:
    const search_models &    models;
    const search_options &   options;
    const commit_function &  commit;
    std::vector<token_id>    tokens;
    std::vector<double>      likelihood_sums;
    std::vector<double>      whole_text_costs;
    std::vector<critic_note> committed_notes;
    residual_sum             committed_residual;
    size_t                   n_handed_out;  // bytes of text, with the prefill, which is known

    bool may_stop_here(const path & p, size_t n_tokens) const;
    bool accepts_whole(const path & p, size_t n_tokens);
    void hand_out(const std::string & text, size_t n_text);
};

}  // namespace ig
