// lexicon.h owns terms with weights and the automaton (Aho and Corasick 1975) that finds them in folded text. Word
// borders are symbols of the automaton's alphabet: a whole-word term is stored as border + letters + border, so a hit
// is decided by the character that follows the word, and the state alone tells whether one is still undecided. Runs of
// white space count as one space, and runs of combining marks are put in order, so that equivalent spellings are equal.
#pragma once

#include "safety/cost_model.h"

#include <unordered_map>

namespace ig {

struct lexicon_term {
    std::string text; // "die" whole word, "die*" prefix, "*die" suffix, "*die*" anywhere
    double      weight;
};

class lexicon : public token_cost_model, public reward_model {
  public:
    // Throws INVALID_LEXICON for a term that folds to nothing or to the same as another.
    explicit lexicon(const std::vector<lexicon_term> & terms);

    double charge(cost_state & state, token_id token, std::string_view text) const override;
    double charge_end(const cost_state & state) const override;

    // the sum of the weights of all hits
    std::vector<double> rewards(const std::vector<text_view> & texts) override;

  private:
    struct node {
        std::unordered_map<uint32_t, int32_t> next;
        int32_t                               fallback = 0;
        double                                weight = 0; // of all terms that end here
    };

    std::vector<node> nodes;

    void    add(const lexicon_term & term);
    void    link();
    int32_t follow(int32_t from, uint32_t symbol) const;
    double  advance(cost_state & state, uint32_t symbol) const;
    double  read(cost_state & state, uint32_t character) const;
    double  read_folded(cost_state & state, uint32_t character) const;
    double  settle_marks(cost_state & state) const;
};

}
