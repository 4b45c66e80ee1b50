#include "engine/markup.h"

#include "support/error.h"

#include <algorithm>

namespace ig {

namespace {

const size_t shortest_affixes = 3;  // bytes: "<" and ">" alone occur in many templates

// by llama.cpp's rule for spaces next to a marker
bool is_ascii_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

size_t size_of_first_character(const std::string & text) {
    size_t size = 1;
    while (size < text.size() && (text[size] & 0xc0) == 0x80) {
        ++size;
    }
    return size;
}

bool is_word(char c) {
    return c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

// Whether a template composes a marker, such as '<|' + role + '|>' or <|{{ role }}|>.
bool is_composed_in(const std::string & source, const std::string & marker_text) {
    const auto first = std::find_if(marker_text.begin(), marker_text.end(), is_word);
    const auto last  = std::find_if(marker_text.rbegin(), marker_text.rend(), is_word).base();
    if (first == marker_text.begin() || last == marker_text.end() || first >= last ||
        !std::all_of(first, last, is_word)) {
        return false;
    }
    const std::string before(marker_text.begin(), first), after(last, marker_text.end());
    if (before.size() + after.size() < shortest_affixes) {
        return false;
    }
    const auto holds = [&](const std::string & text) {
        return source.find(text) != std::string::npos;
    };
    const bool opens = holds(before + "'") || holds(before + "\"") || holds(before + "{{");
    return opens && (holds("'" + after) || holds("\"" + after) || holds("}}" + after));
}

}  // namespace

marker_table::marker_table(std::vector<marker> given) : markers(std::move(given)), lengths(256) {
    for (size_t i = 0; i < markers.size(); ++i) {
        const std::string & text = markers[i].text;
        by_text.emplace(text, i);
        by_token.emplace(markers[i].token, i);
        std::vector<size_t> & known = lengths[uint8_t(text[0])];
        if (std::find(known.begin(), known.end(), text.size()) == known.end()) {
            known.push_back(text.size());
        }
    }
    for (std::vector<size_t> & known : lengths) {
        std::sort(known.rbegin(), known.rend());
    }
}

const marker * marker_table::find(const std::string & text) const {
    const auto found = by_text.find(text);
    return found == by_text.end() ? nullptr : &markers[found->second];
}

const marker * marker_table::of(token_id token) const {
    const auto found = by_token.find(token);
    return found == by_token.end() ? nullptr : &markers[found->second];
}

void markup::use_text(const std::string & template_text) {
    for (size_t at = 0; at < template_text.size(); ++at) {
        table->visit_at(template_text, at, [&](const marker & m) {
            if (m.kind == MARKER_DEFINED) {
                used.insert(m.token);
            }
            return false;
        });
    }
}

void markup::use_source(const std::string & source) {
    use_text(source);
    for (const marker & m : table->all()) {
        if (m.kind == MARKER_DEFINED && is_composed_in(source, m.text)) {
            used.insert(m.token);
        }
    }
}

bool markup::is_forbidden(const marker & m) const {
    return m.kind == MARKER_CONTROL || (m.kind == MARKER_DEFINED && used.count(m.token) != 0);
}

std::vector<std::string> markup::texts() const {
    std::vector<std::string> all;
    for (const marker & m : table->all()) {
        if (is_forbidden(m)) {
            all.push_back(m.text);
        }
    }
    return all;
}

std::vector<token_id> markup::plain_tokens(const std::string & text, const plain_tokenizer & tokenize) const {
    std::vector<token_id> tokens = tokenize(text);
    const auto            meant  = std::find_if(tokens.begin(), tokens.end(), [&](token_id token) {
        const marker * m = table->of(token);
        return m != nullptr && is_forbidden(*m);
    });
    if (meant == tokens.end()) {
        return tokens;
    }
    std::vector<size_t> cuts;
    for (size_t at = 0; at < text.size(); ++at) {
        table->visit_at(text, at, [&](const marker & m) {
            const size_t first = size_of_first_character(m.text);
            const bool   cut   = is_forbidden(m) && first < m.text.size();
            if (cut) {
                cuts.push_back(at + first);
            }
            return cut;
        });
    }
    if (cuts.empty()) {
        throw error("SPECIAL_TOKEN_TEXT",
                    "expected plain text, but the model's tokenizer reads its control token \"" +
                        table->of(*meant)->text +
                        "\" in it however it is cut; remove it, or give token ids as the prompt where you mean it");
    }
    cuts.push_back(text.size());
    std::sort(cuts.begin(), cuts.end());
    tokens.clear();
    size_t begin = 0;
    for (size_t end : cuts) {
        const std::vector<token_id> piece = plain_tokens(text.substr(begin, end - begin), tokenize);
        tokens.insert(tokens.end(), piece.begin(), piece.end());
        begin = end;
    }
    return tokens;
}

std::vector<token_id> begun_with(token_id beginning, std::vector<token_id> tokens) {
    if (beginning >= 0 && (tokens.empty() || tokens[0] != beginning)) {
        tokens.insert(tokens.begin(), beginning);
    }
    return tokens;
}

void marked_text::add_plain(char c) {
    skips_space = skips_space && is_ascii_space(c);
    if (!skips_space) {
        stretch += c;
    }
}

void marked_text::add_content(const std::string & text) {
    for (char c : text) {
        add_plain(c);
    }
}

void marked_text::add_template(const std::string & text) {
    for (size_t at = 0; at < text.size();) {
        const marker * here = nullptr;
        rules->markers().visit_at(text, at, [&](const marker & m) {
            here = &m;
            return true;
        });
        if (here != nullptr) {
            add_marker(*here);
            at += here->text.size();
        } else {
            add_plain(text[at++]);
        }
    }
}

void marked_text::add_marker(const marker & m) {
    while (m.strips_left && !stretch.empty() && is_ascii_space(stretch.back())) {
        stretch.pop_back();
    }
    close_stretch();
    tokens.push_back(m.token);
    skips_space = m.strips_right;
}

void marked_text::close_stretch() {
    if (!stretch.empty()) {
        const std::vector<token_id> plain = rules->plain_tokens(stretch, *tokenize);
        tokens.insert(tokens.end(), plain.begin(), plain.end());
        stretch.clear();
    }
}

std::vector<token_id> marked_text::finish() {
    close_stretch();
    return std::move(tokens);
}

}  // namespace ig
