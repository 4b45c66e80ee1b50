// spelling.h owns the symbols that a lexicon compares texts by: characters in the one spelling that support/unicode.h gives them, with a
// border wherever a word begins or ends. Runs of white space are one space, and runs of combining marks are put in order, so that
// equivalent spellings are equal; scripts without spaces between words do not show their borders. A loose spelling also reads letters of
// other scripts, digits and signs as the Latin letters that they look like, and drops accents. Text comes in pieces of any length: what
// is open at the end of one is kept.
#pragma once

#include <cstdint>
#include <vector>

namespace ig {

const uint32_t word_border = 0x110000;  // behind the last code point

struct spelled_symbol {
    uint32_t code;
    bool     lettered;  // of a word that has a letter, not only digits and signs that look like some
};

// where the reading of a text stands
struct spelling {
    uint32_t letter   = 0;  // that marks stand on
    bool     in_word  = false;
    bool     in_space = false;
    bool     lettered = false;  // the word
    uint8_t  n_held   = 0;      // exclamation marks, which are letters where a word goes on behind them

    // marks that were read, but whose order is open until another character follows
    static constexpr int max_marks        = 6;
    uint32_t             marks[max_marks] = { 0 };
    int                  n_marks          = 0;
};

enum spelling_rule { SPELLING_STRICT, SPELLING_LOOSE };

// Appends the symbols that a character decides.
void read_character(spelling & at, spelling_rule rule, uint32_t character, std::vector<spelled_symbol> & out);

// Appends those that are open as long as the word may go on.
void settle_word(spelling & at, std::vector<spelled_symbol> & out);

// Appends those that the end of the text decides.
void end_text(spelling & at, std::vector<spelled_symbol> & out);

bool shows_borders(uint32_t character);

// where a text stands in its markup: tags of HTML and of bulletin boards, character references, and the signs of Markdown
struct shown_markup {
    enum place_kind : uint8_t { TEXT, TAG_OPENED, TAG, REFERENCE_OPENED, DECIMAL, HEXADECIMAL, NAME };

    place_kind place  = TEXT;
    uint8_t    n      = 0;  // characters of the tag or the reference so far
    uint32_t   opener = 0;
    uint32_t   code   = 0;  // of the character that is referred to
};

// Appends what shows of a text once its markup is taken away.
void read_markup(shown_markup & at, uint32_t character, std::vector<uint32_t> & out);
void end_markup(shown_markup & at, std::vector<uint32_t> & out);

}  // namespace ig
