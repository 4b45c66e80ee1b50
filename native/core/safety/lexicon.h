// lexicon.h owns terms with weights and the automata (Aho and Corasick 1975) that find them in spelled text. Word borders are symbols of
// their alphabet: a whole-word term is stored as border + letters + border, so a hit is decided by the character that follows the word,
// and the state alone tells whether one is still undecided. A text that can be read in several ways is read in all of them side by side
// (as it stands, with gaps where something may show as one; loosely also by likeness, without markup, and with single letters joined),
// and what it costs so far is what the costliest reading found.
#pragma once

#include "safety/cost_model.h"

#include <unordered_map>

namespace ig {

struct lexicon_term {
    std::string text;  // "die" whole word, "die*" prefix, "*die" suffix, "*die*" anywhere
    double      weight;
};

struct cost_kind;

class term_automaton {
  public:
    // Returns the node where the term ends.
    int32_t add(const std::vector<spelled_symbol> & symbols);

    void set_weight(int32_t node, double weight) { nodes[node].weight = weight; }

    void raise_weight(int32_t node, double weight);

    // Once all terms are there.
    void link();

    // The weights of all terms that end with the symbol.
    double advance(int32_t & node, uint32_t symbol) const;

  private:
    struct automaton_node {
        std::unordered_map<uint32_t, int32_t> next;
        int32_t                               fallback = 0;
        double                                weight   = 0;  // of all terms that end here
    };

    std::vector<automaton_node> nodes = std::vector<automaton_node>(1);

    int32_t follow(int32_t from, uint32_t symbol) const;
};

class lexicon : public token_cost_model,
                public text_scorer {
  public:
    // Terms that are spelled the same count once. Throws INVALID_LEXICON where their weights differ, or nothing of a term shows.
    lexicon(const std::vector<lexicon_term> & terms, spelling_rule rule);

    cost_state state_behind(std::string_view before) const override;
    double     charge(cost_state & state, token_id token, std::string_view text) const override;
    double     charge_end(const cost_state & state) const override;

    // of sums of the weights of all hits
    std::unique_ptr<scoring_session> open(const session_scope & scope) const override;

  private:
    spelling_rule  rule;
    term_automaton strict;
    term_automaton loose;    // by likeness
    term_automaton letters;  // by likeness, without what stands between them

    void   add_loosely(const lexicon_term & term);
    void   read(cost_state & state, std::string_view text) const;
    void   read_bare(cost_state & state, const std::vector<uint32_t> & shown) const;
    void   end(cost_state & state) const;
    double settle(cost_state & state) const;
};

extern const cost_kind lexicon_kind;

}  // namespace ig
