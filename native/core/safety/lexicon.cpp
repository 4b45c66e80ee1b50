#include "safety/lexicon.h"

#include "support/decimal.h"
#include "support/error.h"
#include "support/unicode.h"
#include "support/utf8.h"

#include <algorithm>
#include <deque>
#include <map>

namespace ig {

namespace {

const uint32_t border = 0x110000; // behind the last code point

bool shows_borders(uint32_t character) { return is_word_character(character) && !is_unspaced(character); }

// the symbols of a term without its asterisks: folded characters, with a border wherever a word begins or ends inside
std::vector<uint32_t> term_symbols(std::string_view text, bool open_start, bool open_end) {
    std::vector<uint32_t> folded;
    size_t at = 0;
    while (at < text.size()) {
        folded_character character;
        fold_character(next_character(text, at), character);
        for (int i = 0; i < character.n; ++i) {
            const uint32_t c = is_space(character.begin[i]) ? ' ' : character.begin[i];
            if (c != ' ' || folded.empty() || folded.back() != ' ') {
                folded.push_back(c);
            }
        }
    }
    for (auto begin = folded.begin(); begin != folded.end();) {
        const auto end = std::find_if_not(begin, folded.end(), is_mark);
        std::sort(begin, end);
        begin = end == folded.end() ? end : end + 1;
    }
    std::vector<uint32_t> symbols;
    bool in_word = false;
    for (size_t i = 0; i < folded.size(); ++i) {
        const bool word = shows_borders(folded[i]);
        const bool at_open_start = i == 0 && open_start;
        if (word != in_word && !at_open_start) {
            symbols.push_back(border);
        }
        symbols.push_back(folded[i]);
        in_word = word;
    }
    if (in_word && !open_end) {
        symbols.push_back(border);
    }
    return symbols;
}

std::string quoted(const std::string & text) { return "\"" + text + "\""; }

std::string joined(const std::vector<std::string> & parts, const char * between) {
    std::string text;
    for (const std::string & part : parts) {
        text += (text.empty() ? "" : between) + part;
    }
    return text;
}

// the first ten
std::string first_of(std::vector<std::string> found) {
    const size_t n_shown = 10;
    if (found.size() > n_shown) {
        const size_t n_more = found.size() - n_shown;
        found.resize(n_shown);
        found.push_back(format("%zu more", n_more));
    }
    return joined(found, "; ");
}

bool have_other_weights(const std::vector<const lexicon_term *> & same) {
    return std::any_of(same.begin(), same.end(), [&](const lexicon_term * term) { return term->weight != same[0]->weight; });
}

std::string with_weights(const std::vector<const lexicon_term *> & same) {
    std::vector<std::string> found;
    for (const lexicon_term * term : same) {
        found.push_back(quoted(term->text) + format(" (%g)", term->weight));
    }
    return joined(found, " and ");
}

}

lexicon::lexicon(const std::vector<lexicon_term> & terms) : nodes(1) {
    std::map<int32_t, std::vector<const lexicon_term *>> spellings; // by the node where they end
    for (const lexicon_term & term : terms) {
        spellings[add(term.text)].push_back(&term);
    }
    const auto invisible = spellings.find(0);
    if (invisible != spellings.end()) {
        std::vector<std::string> found;
        for (const lexicon_term * term : invisible->second) {
            found.push_back(quoted(term->text));
        }
        throw error("INVALID_LEXICON", "expected lexicon terms with at least one visible character, got " + first_of(found) +
                                           "; remove them from the lexicon");
    }
    std::vector<std::string> contradictions;
    for (const auto & [end, same] : spellings) {
        nodes[end].weight = same[0]->weight;
        if (have_other_weights(same)) {
            contradictions.push_back(with_weights(same));
        }
    }
    if (!contradictions.empty()) {
        throw error("INVALID_LEXICON", "expected one weight per lexicon term, whatever its case and its form, got " +
                                           first_of(contradictions) + "; keep one of each");
    }
    link();
}

int32_t lexicon::add(std::string_view text) {
    const bool open_start = !text.empty() && text.front() == '*';
    if (open_start) {
        text.remove_prefix(1);
    }
    const bool open_end = !text.empty() && text.back() == '*';
    if (open_end) {
        text.remove_suffix(1);
    }
    const std::vector<uint32_t> symbols = term_symbols(text, open_start, open_end);
    bool has_text = false;
    for (uint32_t symbol : symbols) {
        has_text = has_text || (symbol != border && symbol != ' ');
    }
    if (!has_text) {
        return 0;
    }
    int32_t at = 0;
    for (uint32_t symbol : symbols) {
        const auto known = nodes[at].next.find(symbol);
        if (known != nodes[at].next.end()) {
            at = known->second;
            continue;
        }
        const int32_t fresh = int32_t(nodes.size());
        nodes[at].next[symbol] = fresh;
        nodes.emplace_back();
        at = fresh;
    }
    return at;
}

void lexicon::link() {
    std::deque<int32_t> queue;
    for (const auto & [symbol, child] : nodes[0].next) {
        queue.push_back(child);
    }
    while (!queue.empty()) {
        const int32_t at = queue.front();
        queue.pop_front();
        nodes[at].weight = sum_up(nodes[at].weight, nodes[nodes[at].fallback].weight);
        for (const auto & [symbol, child] : nodes[at].next) {
            nodes[child].fallback = follow(nodes[at].fallback, symbol);
            queue.push_back(child);
        }
    }
}

int32_t lexicon::follow(int32_t from, uint32_t symbol) const {
    for (;;) {
        const auto next = nodes[from].next.find(symbol);
        if (next != nodes[from].next.end()) {
            return next->second;
        }
        if (from == 0) {
            return 0;
        }
        from = nodes[from].fallback;
    }
}

double lexicon::advance(cost_state & state, uint32_t symbol) const {
    state.node = follow(state.node, symbol);
    return nodes[state.node].weight;
}

double lexicon::read(cost_state & state, uint32_t character) const {
    folded_character folded;
    fold_character(character, folded);
    double cost = 0;
    for (int i = 0; i < folded.n; ++i) {
        const uint32_t c = folded.begin[i];
        if (!is_mark(c) || state.n_marks == cost_state::max_marks) {
            cost = sum_up(cost, settle_marks(state));
        }
        if (is_mark(c)) {
            state.marks[state.n_marks++] = c;
        } else {
            cost = sum_up(cost, read_folded(state, c));
        }
    }
    return cost;
}

// Unicode leaves the order of most marks free; any fixed order will do as long as terms are read in the same way.
double lexicon::settle_marks(cost_state & state) const {
    std::sort(state.marks, state.marks + state.n_marks);
    double cost = 0;
    for (int i = 0; i < state.n_marks; ++i) {
        cost = sum_up(cost, read_folded(state, state.marks[i]));
    }
    state.n_marks = 0;
    return cost;
}

double lexicon::read_folded(cost_state & state, uint32_t character) const {
    const bool space = is_space(character);
    if (space && state.in_space) {
        return 0;
    }
    double cost = 0;
    const bool word = shows_borders(character);
    if (word != state.in_word) {
        cost = advance(state, border);
    }
    cost = sum_up(cost, advance(state, space ? ' ' : character));
    state.in_word = word;
    state.in_space = space;
    return cost;
}

double lexicon::charge(cost_state & state, token_id, std::string_view text) const {
    double cost = 0;
    size_t at = 0;
    while (at < text.size()) {
        cost = sum_up(cost, read(state, next_character(text, at)));
    }
    return cost;
}

double lexicon::charge_end(const cost_state & state) const {
    cost_state end = state;
    const double cost = settle_marks(end);
    return end.in_word ? sum_up(cost, advance(end, border)) : cost;
}

std::vector<double> lexicon::rewards(const std::vector<text_view> & texts) {
    std::vector<double> sums;
    for (const text_view & view : texts) {
        cost_state state;
        const double charged = charge(state, 0, *view.text);
        sums.push_back(sum_up(charged, charge_end(state)));
    }
    return sums;
}

}
