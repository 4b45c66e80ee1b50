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

#include "unicode_tables.inc"

// the Unicode Standard, section 3.12
const uint32_t hangul_first = 0xac00, hangul_last = 0xd7a3;

}

void fold_character(uint32_t code, folded_character & folded) {
    folded.begin = folded.buffer;
    if (code >= hangul_first && code <= hangul_last) {
        const uint32_t index = code - hangul_first;
        folded.buffer[0] = 0x1100 + index / (21 * 28);
        folded.buffer[1] = 0x1161 + index % (21 * 28) / 28;
        folded.buffer[2] = 0x11a7 + index % 28;
        folded.n = index % 28 == 0 ? 2 : 3;
        return;
    }
    const auto before = [](const unicode_folding & entry, uint32_t c) { return entry.code < c; };
    const auto entry = std::lower_bound(std::begin(foldings), std::end(foldings), code, before);
    if (entry != std::end(foldings) && entry->code == code) {
        folded.begin = folding_targets + entry->offset;
        folded.n = entry->n;
        return;
    }
    folded.buffer[0] = code;
    folded.n = 1;
}

template <size_t n> static bool is_in(const unicode_range (&ranges)[n], uint32_t code) {
    const auto before = [](const unicode_range & range, uint32_t c) { return range.last < c; };
    const unicode_range * range = std::lower_bound(ranges, ranges + n, code, before);
    return range != ranges + n && range->first <= code;
}

bool is_word_character(uint32_t code) { return is_in(word_ranges, code); }

bool is_mark(uint32_t code) { return is_in(mark_ranges, code); }

bool is_space(uint32_t code) {
    return code == ' ' || (code >= 0x09 && code <= 0x0d) || code == 0x85 || code == 0x1680 || code == 0x2028 || code == 0x2029;
}

}
