// unicode.h owns the properties of characters. Classifiers of words use their folding: compatibility decomposition,
// case folding, and no default-ignorable characters. Lexicons use one spelling for all equivalent ones, word characters
// and lookalikes. Tokenizers use canonical forms, lower case and categories. The tables are generated at build time by
// scripts/unicode-tables.mjs.
#pragma once

#include <cstdint>
#include <vector>

namespace ig {

struct folded_character {
    uint32_t         buffer[3];  // a Hangul syllable's letters, or the character itself
    const uint32_t * begin;
    int              n;          // 0: ignorable
};

void fold_character(uint32_t code, folded_character & folded);

// The character that a lexicon reads instead: folded, without invisible parts, and the common one of several variants.
void spell_character(uint32_t code, folded_character & spelled);

// Whether ordinary spelling omits this mark after this letter.
bool is_optional_mark(uint32_t letter, uint32_t mark);

// the Latin letter or digit that it resembles; 0: none
uint32_t lookalike(uint32_t code);

// Whether it is invisible or looks like a space.
bool is_gap(uint32_t code);

// an accent whose letter counts as the same without it
bool is_accent(uint32_t code);

// letters, marks and numbers
bool is_word_character(uint32_t code);

// of a script that is written without spaces between words
bool is_unspaced(uint32_t code);

// accents and other characters that combine with the previous one
bool is_mark(uint32_t code);

bool is_space(uint32_t code);

// Appends the canonical decomposition, in the character's own order.
void append_decomposed(uint32_t code, std::vector<uint32_t> & out);
void append_lower_case(uint32_t code, std::vector<uint32_t> & out);

// The sort key of a combining character, ordered like the canonical combining classes; 0: a starter.
int combining_rank(uint32_t code);

// the character that canonically decomposes to these two; 0: none
uint32_t composed(uint32_t first, uint32_t second);

bool is_nonspacing_mark(uint32_t code);  // Mn
bool is_punctuation(uint32_t code);      // P
bool is_invisible(uint32_t code);        // Cc, Cf or Co
bool is_white_space(uint32_t code);      // the property White_Space

}  // namespace ig
