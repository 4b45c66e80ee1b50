// spelling.h owns the symbols that a lexicon compares: characters in the one spelling of support/unicode.h, with a
// border where a word begins or ends. Runs of white space are one space, and runs of combining marks are sorted, so
// that equivalent spellings are equal. Scripts without spaces between words get no borders. A loose spelling also reads
// letters of other scripts, digits and signs as the Latin letters that they resemble, and drops accents. Text comes in
// pieces of any length; undecided input is kept between them.
#pragma once

#include <cstdint>
#include <vector>

namespace ig {

const uint32_t word_border = 0x110000;  // the first value after the code points

struct spelled_symbol {
    uint32_t code;
    bool     lettered;  // its word has a letter, not only digits and signs that resemble letters
};

// the state of reading a text
struct spelling {
    uint32_t letter   = 0;  // the letter that marks belong to
    bool     in_word  = false;
    bool     in_space = false;
    bool     lettered = false;  // of the word
    uint8_t  n_held   = 0;      // exclamation marks; they count as letters if the word continues after them

    // marks whose order is open until another character follows
    static constexpr int max_marks        = 6;
    uint32_t             marks[max_marks] = { 0 };
    int                  n_marks          = 0;
};

enum spelling_rule { SPELLING_STRICT, SPELLING_LOOSE };

// Appends the symbols that the character decides.
void read_character(spelling & at, spelling_rule rule, uint32_t character, std::vector<spelled_symbol> & out);

// Appends the symbols that are open while the word may continue.
void settle_word(spelling & at, std::vector<spelled_symbol> & out);

// Appends the symbols that the end of the text decides.
void end_text(spelling & at, std::vector<spelled_symbol> & out);

bool shows_borders(uint32_t character);

// the state of reading markup: HTML and bulletin-board tags, character references, and Markdown signs
struct shown_markup {
    enum place_kind : uint8_t { TEXT, TAG_OPENED, TAG, REFERENCE_OPENED, DECIMAL, HEXADECIMAL, NAME };

    place_kind place  = TEXT;
    uint8_t    n      = 0;  // characters of the current tag or reference
    uint32_t   opener = 0;
    uint32_t   code   = 0;  // of the referenced character
};

// Appends the visible text without markup.
void read_markup(shown_markup & at, uint32_t character, std::vector<uint32_t> & out);
void end_markup(shown_markup & at, std::vector<uint32_t> & out);

}  // namespace ig
