// lexicon.h owns terms with weights and the automata (Aho and Corasick 1975) that find them in spelled text. Word
// borders are symbols of the alphabet: a whole-word term is stored as border + letters + border. So the character after
// the word decides a hit, and the state alone tells whether a hit is undecided. A text that can be read in several ways
// is read in all of them in parallel: as it stands, and with gaps where something may look like one. A loose lexicon
// also reads both by likeness, without markup, and with single letters joined. The cost so far is that of the costliest
// reading.
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
    // Returns the term's end node.
    int32_t add(const std::vector<spelled_symbol> & symbols);

    void set_weight(int32_t node, double weight) { nodes[node].weight = weight; }

    void raise_weight(int32_t node, double weight);

    // To be called after all terms are added.
    void link();

    // The total weight of the terms that end with the symbol.
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
    // Terms with the same spelling count once. Throws INVALID_LEXICON if their weights differ, or a term has no visible
    // character.
    lexicon(const std::vector<lexicon_term> & terms, spelling_rule rule);

    cost_state state_behind(std::string_view before) const override;

    bool charges_text() const override { return true; }

    double charge(cost_state & state, token_id token, std::string_view text) const override;
    double charge_end(const cost_state & state) const override;

    // scores are sums of the weights of all hits
    std::unique_ptr<scoring_session> open(const session_scope & scope) const override;

  private:
    spelling_rule  rule;
    term_automaton strict;
    term_automaton loose;    // by likeness
    term_automaton letters;  // by likeness, without gaps

    void   add_loosely(const lexicon_term & term);
    void   read(cost_state & state, std::string_view text) const;
    void   read_by_likeness(text_reading & reading, letter_reading & apart, uint32_t character) const;
    void   read_bare(loose_reading & reading, const std::vector<uint32_t> & shown) const;
    void   end(cost_state & state) const;
    double settle(cost_state & state) const;
};

extern const cost_kind lexicon_kind;

}  // namespace ig
