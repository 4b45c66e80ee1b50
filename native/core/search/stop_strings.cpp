#include "search/stop_strings.h"

#include <algorithm>

namespace ig {

// Each string is found as by Knuth, Morris and Pratt (1977).
stop_strings::stop_strings(std::vector<std::string> given) : strings(std::move(given)) {
    for (size_t s = 0; s < strings.size(); ++s) {
        borders.push_back({ 0, 0 });
        for (size_t n = 1; n < strings[s].size(); ++n) {
            borders[s].push_back(advance(s, borders[s][n], strings[s][n]));
        }
    }
}

size_t stop_strings::advance(size_t s, size_t n_matched, char next) const {
    while (n_matched > 0 && strings[s][n_matched] != next) {
        n_matched = borders[s][n_matched];
    }
    return strings[s][n_matched] == next ? n_matched + 1 : 0;
}

bool stop_strings::append(std::string_view added, open_end & end, std::string & text) const {
    if (strings.empty()) {
        end.bytes.push(added, text);
        return false;
    }
    std::string characters;
    end.bytes.push(added, characters);
    end.n_matched.resize(strings.size(), 0);
    for (const char next : characters) {
        size_t n_begun = 0, n_complete = 0;
        for (size_t s = 0; s < strings.size(); ++s) {
            end.n_matched[s] = advance(s, end.n_matched[s], next);
            n_begun          = std::max(n_begun, end.n_matched[s]);
            n_complete       = std::max(n_complete, end.n_matched[s] == strings[s].size() ? strings[s].size() : 0);
        }
        end.held += next;
        const size_t n_text = end.held.size() - (n_complete > 0 ? n_complete : n_begun);
        text.append(end.held, 0, n_text);
        end.held.erase(0, n_text);
        if (n_complete > 0) {
            end.held.clear();
            return true;
        }
    }
    return false;
}

}  // namespace ig
