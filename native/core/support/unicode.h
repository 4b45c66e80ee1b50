// unicode.h owns what a lexicon needs to know about characters: their folding (compatibility decomposition, case
// folding, default-ignorable characters dropped) and which of them make up words. The tables are generated at build
// time by scripts/unicode-tables.mjs.
#pragma once

#include <cstdint>

namespace ig {

struct folded_character {
    uint32_t         buffer[3]; // a Hangul syllable's letters, or the character itself
    const uint32_t * begin;
    int              n; // 0: ignorable
};

void fold_character(uint32_t code, folded_character & folded);

// letters, marks and numbers
bool is_word_character(uint32_t code);

// accents and other characters that combine with the one before
bool is_mark(uint32_t code);

bool is_space(uint32_t code);

}
