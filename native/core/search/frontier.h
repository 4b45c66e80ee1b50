// frontier.h owns what is committed: the tokens that every live beam shares, as far as they form a text that is within
// budget as it stands. Committed tokens never change; what was handed out is always a prefix of the final text.
#pragma once

#include "search/search.h"

namespace ig {

class frontier {
  public:
    frontier(const search_models & models, const search_options & options, const commit_function & commit)
        : models(models), options(options), commit(commit) {}

    // Commits what the beams share and hands out its text.
    void advance(const std::vector<path> & beams);

    // Hands out the rest of an accepted response.
    void finish(const std::string & text);

    const std::vector<token_id> & committed() const { return tokens; }

    // log-likelihood of the committed tokens up to and including token t
    double log_likelihood(size_t t) const { return log_likelihoods[t]; }

    // what the sequence cost models said of the committed text, one per constraint
    const std::vector<double> & estimates() const { return accepted_estimates; }

  private:
    const search_models &   models;
    const search_options &  options;
    const commit_function & commit;
    std::vector<token_id>   tokens;
    std::vector<double>     log_likelihoods;
    std::vector<double>     accepted_estimates;
    size_t                  n_handed_out = 0; // bytes of text

    const checkpoint * checkpoint_at(const path & p, size_t n_tokens) const;
    bool               may_end(const path & p, size_t n_tokens) const;
    void               hand_out(const std::string & text, size_t n_text);
};

}
