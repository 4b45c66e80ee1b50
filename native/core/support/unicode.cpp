#include "support/unicode.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

namespace ig {

namespace {

struct unicode_folding {
    uint32_t code;
    uint16_t offset;
    uint16_t n;
};

struct unicode_range {
    uint32_t first;
    uint32_t last;
};

struct unicode_rank {
    uint32_t code;
    int      rank;
};

struct unicode_lookalike {
    uint32_t code;
    uint32_t alike;
};

struct unicode_pair {
    uint32_t first, second;
    uint32_t composed;
};

#include "unicode_tables.inc"

// the Unicode Standard, section 3.12
const uint32_t hangul_first = 0xac00, hangul_last = 0xd7a3;
const uint32_t first_lead = 0x1100, first_vowel = 0x1161, before_tails = 0x11a7;
const uint32_t n_leads = 19, n_vowels = 21, n_tails = 28;

bool is_hangul(uint32_t code) {
    return code >= hangul_first && code <= hangul_last;
}

// Returns the syllable's number of letters.
int split_hangul(uint32_t code, uint32_t letters[3]) {
    const uint32_t index = code - hangul_first;
    letters[0]           = first_lead + index / (n_vowels * n_tails);
    letters[1]           = first_vowel + index % (n_vowels * n_tails) / n_tails;
    letters[2]           = before_tails + index % n_tails;
    return index % n_tails == 0 ? 2 : 3;
}

// the entry of a sorted table, or null
template <typename T, size_t n> const T * find_in(const T (&table)[n], uint32_t code) {
    if (code < table[0].code) {
        return nullptr;
    }
    const T * entry = std::lower_bound(table, table + n, code, [](const T & e, uint32_t c) { return e.code < c; });
    return entry != table + n && entry->code == code ? entry : nullptr;
}

}  // namespace

template <size_t n> static bool is_in(const unicode_range (&ranges)[n], uint32_t code) {
    if (code < ranges[0].first) {
        return false;  // the common case
    }
    const auto before = [](const unicode_range & range, uint32_t c) {
        return range.last < c;
    };
    const unicode_range * range = std::lower_bound(ranges, ranges + n, code, before);
    return range != ranges + n && range->first <= code;
}

void fold_character(uint32_t code, folded_character & folded) {
    folded.begin = folded.buffer;
    if (is_hangul(code)) {
        folded.n = split_hangul(code, folded.buffer);
        return;
    }
    if (const unicode_folding * entry = find_in(foldings, code)) {
        folded.begin = folding_targets + entry->offset;
        folded.n     = entry->n;
        return;
    }
    folded.buffer[0] = code;
    folded.n         = 1;
}

void spell_character(uint32_t code, folded_character & spelled) {
    if (const unicode_folding * entry = find_in(spellings, code)) {
        spelled.begin = spelling_targets + entry->offset;
        spelled.n     = entry->n;
        return;
    }
    fold_character(code, spelled);
}

bool is_optional_mark(uint32_t letter, uint32_t mark) {
    const uint32_t grave = 0x300, acute = 0x301, dot_above = 0x307, diaeresis = 0x308;
    const uint32_t ghe = 0x433, ie = 0x435, ka = 0x43a;
    if (mark == dot_above && is_in(soft_dotted_ranges, letter)) {
        return true;
    }
    if (is_in(cyrillic_ranges, letter)) {
        const bool stress = (mark == grave || mark == acute) && letter != ghe && letter != ka;
        return stress || (mark == diaeresis && letter == ie);
    }
    return is_in(greek_ranges, letter) && is_accent(mark);  // capitals have no accents
}

uint32_t lookalike(uint32_t code) {
    const unicode_lookalike * entry = find_in(lookalikes, code);
    return entry != nullptr ? entry->alike : 0;
}

bool is_gap(uint32_t code) {
    return is_in(gap_ranges, code);
}

bool is_accent(uint32_t code) {
    return is_in(accent_ranges, code);
}

bool is_word_character(uint32_t code) {
    return is_in(word_ranges, code);
}

bool is_unspaced(uint32_t code) {
    return is_in(unspaced_ranges, code);
}

bool is_mark(uint32_t code) {
    return is_in(mark_ranges, code);
}

bool is_space(uint32_t code) {
    return code == ' ' || (code >= 0x09 && code <= 0x0d) || code == 0x85 || code == 0x1680 || code == 0x2028 ||
           code == 0x2029;
}

void append_decomposed(uint32_t code, std::vector<uint32_t> & out) {
    if (is_hangul(code)) {
        uint32_t letters[3];
        out.insert(out.end(), letters, letters + split_hangul(code, letters));
    } else if (const unicode_folding * entry = find_in(decompositions, code)) {
        out.insert(out.end(), decomposition_targets + entry->offset, decomposition_targets + entry->offset + entry->n);
    } else {
        out.push_back(code);
    }
}

void append_lower_case(uint32_t code, std::vector<uint32_t> & out) {
    if (const unicode_folding * entry = find_in(lower_cases, code)) {
        out.insert(out.end(), lower_case_targets + entry->offset, lower_case_targets + entry->offset + entry->n);
    } else {
        out.push_back(code);
    }
}

int combining_rank(uint32_t code) {
    const unicode_rank * entry = find_in(combining_ranks, code);
    return entry != nullptr ? entry->rank : 0;
}

uint32_t composed(uint32_t first, uint32_t second) {
    if (first >= first_lead && first < first_lead + n_leads && second >= first_vowel &&
        second < first_vowel + n_vowels) {
        return hangul_first + ((first - first_lead) * n_vowels + second - first_vowel) * n_tails;
    }
    if (is_hangul(first) && (first - hangul_first) % n_tails == 0 && second > before_tails &&
        second < before_tails + n_tails) {
        return first + second - before_tails;
    }
    const auto before = [](const unicode_pair & a, const unicode_pair & b) {
        return a.first != b.first ? a.first < b.first : a.second < b.second;
    };
    const unicode_pair   wanted = { first, second, 0 };
    const unicode_pair * pair   = std::lower_bound(std::begin(compositions), std::end(compositions), wanted, before);
    return pair != std::end(compositions) && pair->first == first && pair->second == second ? pair->composed : 0;
}

bool is_nonspacing_mark(uint32_t code) {
    return is_in(nonspacing_ranges, code);
}

bool is_punctuation(uint32_t code) {
    return is_in(punctuation_ranges, code);
}

bool is_invisible(uint32_t code) {
    return is_in(invisible_ranges, code);
}

bool is_white_space(uint32_t code) {
    return is_in(white_space_ranges, code);
}

}  // namespace ig
