// lexicon.h owns terms with weights and the automaton (Aho and Corasick 1975) that finds them in folded text. Word
// borders are symbols of the automaton's alphabet: a whole-word term is stored as border + letters + border, so a hit
// is decided by the character that follows the word, and the state alone tells whether one is still undecided. Runs of
// white space count as one space, and runs of combining marks are put in order, so that equivalent spellings are equal.
// Scripts without spaces between words do not show their borders: their characters are found wherever they stand.
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
    // Terms that fold to the same count once. Throws INVALID_LEXICON where their weights differ, or a term folds to nothing.
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

    int32_t add(std::string_view text); // returns the node where it ends, the root for one without a visible character
    void    link();
    int32_t follow(int32_t from, uint32_t symbol) const;
    double  advance(cost_state & state, uint32_t symbol) const;
    double  read(cost_state & state, uint32_t character) const;
    double  read_folded(cost_state & state, uint32_t character) const;
    double  settle_marks(cost_state & state) const;
};

}
