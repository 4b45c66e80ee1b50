#include "support/canonical_form.h"

#include "support/unicode.h"
#include "support/utf8.h"

#include <algorithm>

namespace ig {

namespace {

// Sorts runs of combining characters by their classes.
void put_in_order(std::vector<uint32_t> & characters) {
    for (auto begin = characters.begin(); begin != characters.end();) {
        if (combining_rank(*begin) == 0) {
            ++begin;
            continue;
        }
        const auto end = std::find_if(begin, characters.end(), [](uint32_t c) { return combining_rank(c) == 0; });
        std::stable_sort(begin, end, [](uint32_t a, uint32_t b) { return combining_rank(a) < combining_rank(b); });
        begin = end;
    }
}

}  // namespace

std::vector<uint32_t> decomposed_form(const std::vector<uint32_t> & characters) {
    std::vector<uint32_t> form;
    form.reserve(characters.size());
    for (uint32_t code : characters) {
        append_decomposed(code, form);
    }
    put_in_order(form);
    return form;
}

std::string composed_form(const std::string & text) {
    if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
        return text;
    }
    std::vector<uint32_t> characters;
    for (size_t at = 0; at < text.size();) {
        characters.push_back(next_character(text, at));
    }
    std::vector<uint32_t> form;
    size_t                starter = SIZE_MAX;  // of `form`
    for (uint32_t code : decomposed_form(characters)) {
        const int rank = combining_rank(code);
        if (starter != SIZE_MAX) {
            // a character in between blocks the composition, unless it combines and sorts before this one
            const bool     adjacent = starter + 1 == form.size();
            const int      before   = combining_rank(form.back());
            const uint32_t whole    = adjacent || (before != 0 && before < rank) ? composed(form[starter], code) : 0;
            if (whole != 0) {
                form[starter] = whole;
                continue;
            }
        }
        if (rank == 0) {
            starter = form.size();
        }
        form.push_back(code);
    }
    std::string out;
    for (uint32_t code : form) {
        append_utf8(out, code);
    }
    return out;
}

}  // namespace ig
