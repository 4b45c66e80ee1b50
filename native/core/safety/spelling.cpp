#include "safety/spelling.h"

#include "support/unicode.h"

#include <algorithm>

namespace ig {

namespace {

const uint32_t exclamation             = '!';
const uint32_t likeness_of_exclamation = 'i';

// Capital I and small L look the same, and case does not count: both are read as i.
uint32_t letter_like(uint32_t sign) {
    switch (sign) {
        case '0':
            return 'o';
        case '1':
        case '|':
        case 0xa1:
        case 0xa3:
            return 'i';
        case '2':
            return 'z';
        case '3':
        case 0x20ac:
            return 'e';
        case '4':
        case '@':
            return 'a';
        case '5':
        case '$':
        case 0xa7:
            return 's';
        case '6':
        case '9':
            return 'g';
        case '7':
            return 't';
        case '8':
            return 'b';
        case 0xa2:
            return 'c';
        case 0xa5:
            return 'y';
        default:
            return 0;
    }
}

// Unicode leaves the order of most marks open. Any fixed order works if terms are read the same way.
void settle_marks(spelling & at, std::vector<spelled_symbol> & out) {
    std::sort(at.marks, at.marks + at.n_marks);
    for (int i = 0; i < at.n_marks; ++i) {
        out.push_back({ at.marks[i], true });
    }
    at.n_marks = 0;
}

void read_other_than_mark(spelling & at, uint32_t character, bool is_letter, std::vector<spelled_symbol> & out) {
    settle_marks(at, out);
    const bool space = is_space(character);
    if (space && at.in_space) {
        return;
    }
    const bool word = shows_borders(character);
    if (word != at.in_word) {
        out.push_back({ word_border, at.lettered });
        at.lettered = false;
    }
    at.lettered = at.lettered || is_letter;
    out.push_back({ space ? ' ' : character, at.lettered });
    at.letter   = character;
    at.in_word  = word;
    at.in_space = space;
}

void read_mark(spelling & at, uint32_t mark, std::vector<spelled_symbol> & out) {
    if (is_optional_mark(at.letter, mark)) {
        return;
    }
    if (at.n_marks == spelling::max_marks) {
        settle_marks(at, out);
    }
    at.marks[at.n_marks++] = mark;
}

void settle_held(spelling & at, bool as_letters, std::vector<spelled_symbol> & out) {
    for (; at.n_held > 0; --at.n_held) {
        read_other_than_mark(at, as_letters ? likeness_of_exclamation : exclamation, false, out);
    }
}

void read_strictly(spelling & at, uint32_t character, std::vector<spelled_symbol> & out) {
    if (is_mark(character)) {
        read_mark(at, character, out);
    } else {
        read_other_than_mark(at, character, true, out);
    }
}

void read_loosely(spelling & at, uint32_t character, std::vector<spelled_symbol> & out) {
    if (is_accent(character)) {
        return;
    }
    if (is_mark(character)) {
        settle_held(at, false, out);
        read_mark(at, character, out);
        return;
    }
    if (character == exclamation && at.n_held < UINT8_MAX) {
        ++at.n_held;
        return;
    }
    const uint32_t alike   = lookalike(character);
    const uint32_t plain   = alike != 0 ? alike : character;
    const uint32_t meant   = letter_like(plain);
    const bool     is_word = meant != 0 || is_word_character(plain);
    settle_held(at, is_word, out);
    const uint32_t letter = meant != 0 ? meant : plain == 'l' ? 'i' : plain;
    read_other_than_mark(at, letter, is_word && meant == 0, out);
}

bool is_ascii_letter(uint32_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_digit(uint32_t c) {
    return c >= '0' && c <= '9';
}

int value_of(uint32_t c, bool hexadecimal) {
    if (is_digit(c)) {
        return int(c - '0');
    }
    const uint32_t lower = c | 0x20;
    return hexadecimal && lower >= 'a' && lower <= 'f' ? int(lower - 'a' + 10) : -1;
}

bool is_scalar(uint32_t code) {
    return code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
}

}  // namespace

bool shows_borders(uint32_t character) {
    return is_word_character(character) && !is_unspaced(character);
}

void read_character(spelling & at, spelling_rule rule, uint32_t character, std::vector<spelled_symbol> & out) {
    const uint32_t   alike = rule == SPELLING_LOOSE ? lookalike(character) : 0;
    folded_character spelled;
    spell_character(alike != 0 ? alike : character, spelled);
    for (int i = 0; i < spelled.n; ++i) {
        if (rule == SPELLING_LOOSE) {
            read_loosely(at, spelled.begin[i], out);
        } else {
            read_strictly(at, spelled.begin[i], out);
        }
    }
}

void settle_word(spelling & at, std::vector<spelled_symbol> & out) {
    settle_held(at, false, out);
    settle_marks(at, out);
}

void end_text(spelling & at, std::vector<spelled_symbol> & out) {
    settle_word(at, out);
    if (at.in_word) {
        out.push_back({ word_border, at.lettered });
    }
}

void read_markup(shown_markup & at, uint32_t c, std::vector<uint32_t> & out) {
    const int  longest      = 200;  // characters in brackets
    const auto back_to_text = [&] {
        at = shown_markup();
    };
    switch (at.place) {
        case shown_markup::TEXT:
            if (c == '<' || c == '[') {
                at.place  = shown_markup::TAG_OPENED;
                at.opener = c;
            } else if (c == '&') {
                at.place = shown_markup::REFERENCE_OPENED;
            } else if (c != '*' && c != '_' && c != '~' && c != '`') {
                out.push_back(c);
            }
            return;
        case shown_markup::TAG_OPENED:
            if (is_ascii_letter(c) || c == '/' || c == '!') {
                at.place = shown_markup::TAG;
                return;
            }
            out.push_back(at.opener);
            break;
        case shown_markup::TAG:
            if (c == (at.opener == '<' ? '>' : ']') || ++at.n >= longest) {
                back_to_text();
            }
            return;
        case shown_markup::REFERENCE_OPENED:
            if (c == '#') {
                at.place = shown_markup::DECIMAL;
                return;
            }
            if (is_ascii_letter(c)) {
                at.place = shown_markup::NAME;
                at.code  = c;
                return;
            }
            out.push_back('&');
            break;
        case shown_markup::DECIMAL:
        case shown_markup::HEXADECIMAL:
            {
                if (at.place == shown_markup::DECIMAL && at.n == 0 && (c == 'x' || c == 'X')) {
                    at.place = shown_markup::HEXADECIMAL;
                    return;
                }
                const bool hexadecimal = at.place == shown_markup::HEXADECIMAL;
                const int  value       = value_of(c, hexadecimal);
                if (value >= 0) {
                    at.n    = 1;
                    at.code = std::min<uint32_t>(at.code * (hexadecimal ? 16 : 10) + uint32_t(value), word_border);
                    return;
                }
                if (is_scalar(at.code)) {
                    out.push_back(at.code);
                }
                if (c == ';') {
                    back_to_text();
                    return;
                }
                break;
            }
        case shown_markup::NAME:
            {
                const uint32_t no_break_space = 'n' << 24 | 'b' << 16 | 's' << 8 | 'p';
                if ((is_ascii_letter(c) || is_digit(c)) && ++at.n < longest) {
                    at.code = at.code << 8 | c;
                    return;
                }
                if (at.code == no_break_space && at.n == 3) {
                    out.push_back(' ');
                }
                if (c == ';') {
                    back_to_text();
                    return;
                }
                break;
            }
    }
    back_to_text();
    read_markup(at, c, out);
}

// Browsers also display a character reference without its end.
void end_markup(shown_markup & at, std::vector<uint32_t> & out) {
    if (at.place == shown_markup::DECIMAL || at.place == shown_markup::HEXADECIMAL) {
        read_markup(at, ';', out);
    }
}

}  // namespace ig
