#include "safety/lexicon.h"

#include "safety/cost_kind.h"
#include "support/decimal.h"
#include "support/error.h"
#include "support/unicode.h"
#include "support/utf8.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>

namespace ig {

namespace {

using symbol_list = std::vector<spelled_symbol>;

symbol_list symbols_of(std::string_view text, spelling_rule rule) {
    const bool open_start = !text.empty() && text.front() == '*';
    if (open_start) {
        text.remove_prefix(1);
    }
    const bool open_end = !text.empty() && text.back() == '*';
    if (open_end) {
        text.remove_suffix(1);
    }
    symbol_list symbols;
    spelling    at;
    for (size_t i = 0; i < text.size();) {
        read_character(at, rule, next_character(text, i), symbols);
    }
    if (open_end) {
        settle_word(at, symbols);
    } else {
        end_text(at, symbols);
    }
    if (open_start && !symbols.empty() && symbols.front().code == word_border) {
        symbols.erase(symbols.begin());
    }
    return symbols;
}

bool shows(const spelled_symbol & symbol) {
    return symbol.code != word_border && symbol.code != ' ';
}

bool is_letter(const spelled_symbol & symbol) {
    return symbol.code != word_border && is_word_character(symbol.code);
}

// The term's letters without gaps. Nothing if they have gaps already, or are so few that ordinary text contains such a
// series of single letters.
symbol_list letters_of(const symbol_list & symbols) {
    const auto both_letters = [](const spelled_symbol & a, const spelled_symbol & b) {
        return is_letter(a) && is_letter(b);
    };
    if (std::adjacent_find(symbols.begin(), symbols.end(), both_letters) == symbols.end()) {
        return {};
    }
    symbol_list letters;
    std::copy_if(symbols.begin(), symbols.end(), std::back_inserter(letters), is_letter);
    const bool unspaced =
        std::all_of(letters.begin(), letters.end(), [](const spelled_symbol & s) { return is_unspaced(s.code); });
    const size_t fewest = unspaced ? 2 : 3;
    return letters.size() < fewest ? symbol_list() : letters;
}

std::string quoted(const std::string & text) {
    return "\"" + text + "\"";
}

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
    return std::any_of(same.begin(), same.end(),
                       [&](const lexicon_term * term) { return term->weight != same[0]->weight; });
}

std::string with_weights(const std::vector<const lexicon_term *> & same) {
    std::vector<std::string> found;
    for (const lexicon_term * term : same) {
        found.push_back(quoted(term->text) + format(" (%g)", term->weight));
    }
    return joined(found, " and ");
}

// A hit whose letters all belong to the prompt is not charged to the response.
void follow_symbols(text_reading & reading, const term_automaton & automaton, const symbol_list & symbols) {
    for (const spelled_symbol & symbol : symbols) {
        reading.of_prompt   = reading.of_prompt && (symbol.code == word_border || is_mark(symbol.code));
        const double weight = automaton.advance(reading.node, symbol.code);
        reading.lead        = sum_up(reading.lead, symbol.lettered && !reading.of_prompt ? weight : 0);
    }
}

void read_on(text_reading &         reading,
             const term_automaton & automaton,
             spelling_rule          rule,
             uint32_t               character,
             symbol_list &          symbols) {
    symbols.clear();
    const int n_marks = reading.at.n_marks;
    read_character(reading.at, rule, character, symbols);
    reading.of_prompt = reading.of_prompt && reading.at.n_marks <= n_marks;
    follow_symbols(reading, automaton, symbols);
}

// A letter counts once the next character shows that it stands alone.
void end_word(letter_reading & reading, double & lead) {
    lead              = sum_up(lead, reading.n_in_word == 1 ? reading.undecided : 0);
    reading.undecided = 0;
    reading.n_in_word = 0;
}

// Finds words with spaced-out letters in a text that has the given lead.
void join_letters(letter_reading &       reading,
                  const term_automaton & automaton,
                  const symbol_list &    symbols,
                  double &               lead) {
    for (const spelled_symbol & symbol : symbols) {
        if (!is_letter(symbol)) {
            end_word(reading, lead);
            continue;
        }
        const bool unspaced = is_unspaced(symbol.code);
        if (unspaced) {
            end_word(reading, lead);
        } else if (!is_mark(symbol.code) && reading.n_in_word < 2) {
            ++reading.n_in_word;
        }
        if (reading.n_in_word == 2) {
            reading = { 0, 2, false, 0, reading.lead };
            continue;
        }
        reading.lettered    = reading.lettered || symbol.lettered;
        const double weight = automaton.advance(reading.node, symbol.code);
        double &     found  = unspaced ? reading.lead : reading.undecided;
        found               = sum_up(found, reading.lettered ? weight : 0);
    }
}

uint32_t gap_or(uint32_t character) {
    return is_gap(character) ? ' ' : character;
}

}  // namespace

int32_t term_automaton::add(const symbol_list & symbols) {
    int32_t at = 0;
    for (const spelled_symbol & symbol : symbols) {
        const auto known = nodes[at].next.find(symbol.code);
        if (known != nodes[at].next.end()) {
            at = known->second;
            continue;
        }
        const int32_t fresh         = int32_t(nodes.size());
        nodes[at].next[symbol.code] = fresh;
        nodes.emplace_back();
        at = fresh;
    }
    return at;
}

void term_automaton::raise_weight(int32_t node, double weight) {
    nodes[node].weight = std::max(nodes[node].weight, weight);
}

void term_automaton::link() {
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

int32_t term_automaton::follow(int32_t from, uint32_t symbol) const {
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

double term_automaton::advance(int32_t & node, uint32_t symbol) const {
    node = follow(node, symbol);
    return nodes[node].weight;
}

lexicon::lexicon(const std::vector<lexicon_term> & terms, spelling_rule rule) : rule(rule) {
    std::map<int32_t, std::vector<const lexicon_term *>> spellings;  // by their end node
    std::vector<std::string>                             invisible;
    for (const lexicon_term & term : terms) {
        const symbol_list symbols = symbols_of(term.text, SPELLING_STRICT);
        if (std::none_of(symbols.begin(), symbols.end(), shows)) {
            invisible.push_back(quoted(term.text));
            continue;
        }
        spellings[strict.add(symbols)].push_back(&term);
        if (rule == SPELLING_LOOSE) {
            add_loosely(term);
        }
    }
    if (!invisible.empty()) {
        throw error("INVALID_LEXICON", "expected lexicon terms with at least one visible character, got " +
                                           first_of(invisible) + "; remove them from the lexicon");
    }
    std::vector<std::string> contradictions;
    for (const auto & [end, same] : spellings) {
        strict.set_weight(end, same[0]->weight);
        if (have_other_weights(same)) {
            contradictions.push_back(with_weights(same));
        }
    }
    if (!contradictions.empty()) {
        throw error("INVALID_LEXICON", "expected one weight per lexicon term, whatever its case and its form, got " +
                                           first_of(contradictions) + "; keep one of each");
    }
    strict.link();
    loose.link();
    letters.link();
}

// Digits and signs alone are not a disguised word.
void lexicon::add_loosely(const lexicon_term & term) {
    const symbol_list symbols = symbols_of(term.text, SPELLING_LOOSE);
    if (std::none_of(symbols.begin(), symbols.end(), [](const spelled_symbol & s) { return shows(s) && s.lettered; })) {
        return;
    }
    loose.raise_weight(loose.add(symbols), term.weight);
    const symbol_list apart = letters_of(symbols);
    if (!apart.empty()) {
        letters.raise_weight(letters.add(apart), term.weight);
    }
}

void lexicon::read(cost_state & state, std::string_view text) const {
    symbol_list           symbols;
    std::vector<uint32_t> shown;
    for (size_t i = 0; i < text.size();) {
        const uint32_t character = next_character(text, i);
        shown.clear();
        if (rule == SPELLING_LOOSE) {
            read_markup(state.tags, character, shown);
        }
        const bool has_gap = is_gap(character) || std::any_of(shown.begin(), shown.end(), is_gap);
        if (has_gap && !state.has_gap) {
            state.gapped       = state.plain;
            state.loose_gapped = state.loose;
            state.has_gap      = true;
        }
        read_on(state.plain, strict, SPELLING_STRICT, character, symbols);
        if (state.has_gap) {
            read_on(state.gapped, strict, SPELLING_STRICT, gap_or(character), symbols);
        }
        if (rule == SPELLING_STRICT) {
            continue;
        }
        read_by_likeness(state.loose.likeness, state.loose.apart, character);
        read_bare(state.loose, shown);
        if (state.has_gap) {
            read_by_likeness(state.loose_gapped.likeness, state.loose_gapped.apart, gap_or(character));
            std::transform(shown.begin(), shown.end(), shown.begin(), gap_or);
            read_bare(state.loose_gapped, shown);
        }
    }
}

void lexicon::read_by_likeness(text_reading & reading, letter_reading & apart, uint32_t character) const {
    symbol_list symbols;
    read_on(reading, loose, SPELLING_LOOSE, character, symbols);
    join_letters(apart, letters, symbols, reading.lead);
}

void lexicon::read_bare(loose_reading & reading, const std::vector<uint32_t> & shown) const {
    for (uint32_t character : shown) {
        read_by_likeness(reading.bare, reading.bare_apart, character);
    }
}

void lexicon::end(cost_state & state) const {
    symbol_list symbols;
    const auto  finish = [&](text_reading & reading, const term_automaton & automaton) {
        symbols.clear();
        end_text(reading.at, symbols);
        follow_symbols(reading, automaton, symbols);
    };
    std::vector<uint32_t> shown;
    end_markup(state.tags, shown);
    finish(state.plain, strict);
    finish(state.gapped, strict);
    for (loose_reading * reading : { &state.loose, &state.loose_gapped }) {
        finish(reading->likeness, loose);
        end_word(reading->apart, reading->likeness.lead);
        read_bare(*reading, shown);
        finish(reading->bare, loose);
        end_word(reading->bare_apart, reading->bare.lead);
    }
}

// Returns how much the costliest reading found above what was charged so far.
double lexicon::settle(cost_state & state) const {
    std::array<double *, 10> leads = { &state.plain.lead };  // those of the readings that are made
    size_t                   n     = 1;
    if (state.has_gap) {
        leads[n++] = &state.gapped.lead;
    }
    for (loose_reading * r : { &state.loose, &state.loose_gapped }) {
        if (rule == SPELLING_LOOSE && (r == &state.loose || state.has_gap)) {
            for (double * lead : { &r->likeness.lead, &r->apart.lead, &r->bare.lead, &r->bare_apart.lead }) {
                leads[n++] = lead;
            }
        }
    }
    double most = state.plain.lead;
    for (size_t i = 1; i < n; ++i) {
        most = std::max(most, *leads[i]);
    }
    for (size_t i = 0; i < n; ++i) {
        *leads[i] = std::min(sum_up(*leads[i], -most), 0.0);  // rounded up, but not above the costliest reading
    }
    return most;
}

cost_state lexicon::state_behind(std::string_view before) const {
    cost_state state;
    read(state, before);
    const auto begin = [](text_reading & reading) {
        reading.lead      = 0;
        reading.of_prompt = true;
    };
    begin(state.plain);
    begin(state.gapped);
    for (loose_reading * loose : { &state.loose, &state.loose_gapped }) {
        begin(loose->likeness);
        begin(loose->bare);
        for (letter_reading * reading : { &loose->apart, &loose->bare_apart }) {
            reading->lead      = 0;
            reading->undecided = 0;
        }
    }
    return state;
}

double lexicon::charge(cost_state & state, token_id, std::string_view text) const {
    read(state, text);
    return settle(state);
}

double lexicon::charge_end(const cost_state & state) const {
    cost_state ended = state;
    end(ended);
    return settle(ended);
}

std::unique_ptr<scoring_session> lexicon::open(const session_scope &) const {
    return std::make_unique<plain_session>([this](const std::vector<text_view> & texts) {
        std::vector<double> sums;
        for (const text_view & view : texts) {
            cost_state   state;
            const double charged = charge(state, 0, *view.text);
            sums.push_back(charged + charge_end(state));
        }
        return sums;
    });
}

namespace {

void make_lexicon(constraint & made, const constraint_spec & spec, size_t, cost_materials &) {
    made.per_token = std::make_unique<lexicon>(spec.lexicon, spec.spelling);
}

}  // namespace

const cost_kind lexicon_kind = { "lexicon", false, make_lexicon };

}  // namespace ig
