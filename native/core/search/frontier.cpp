#include "search/frontier.h"

namespace ig {

namespace {

size_t shared_tokens(const std::vector<path> & beams) {
    size_t shared = beams[0].tokens.size();
    for (const path & beam : beams) {
        const auto end = std::mismatch(beam.tokens.begin(), beam.tokens.end(), beams[0].tokens.begin(),
                                       beams[0].tokens.begin() + shared);
        shared = end.second - beams[0].tokens.begin();
    }
    return shared;
}

}

const checkpoint * frontier::checkpoint_at(const path & p, size_t n_tokens) const {
    for (const checkpoint & c : p.checkpoints) {
        if (c.n_tokens == n_tokens) {
            return &c;
        }
    }
    return nullptr;
}

bool frontier::may_end(const path & p, size_t n_tokens) const {
    if (!options.enforces_budget()) {
        return true;
    }
    for (const constraint & c : models.constraints) {
        if (c.whole_text && checkpoint_at(p, n_tokens) == nullptr) {
            return false;
        }
    }
    return p.ends[n_tokens - 1].stoppable;
}

void frontier::advance(const std::vector<path> & beams) {
    const path & p = beams[0];
    size_t end = shared_tokens(beams);
    while (end > tokens.size() && !may_end(p, end)) {
        --end;
    }
    if (end <= tokens.size()) {
        return;
    }
    tokens.assign(p.tokens.begin(), p.tokens.begin() + end);
    for (size_t t = log_likelihoods.size(); t < end; ++t) {
        log_likelihoods.push_back(p.ends[t].log_likelihood);
    }
    const checkpoint * accepted = checkpoint_at(p, end);
    accepted_estimates = accepted ? accepted->estimates : std::vector<double>(models.constraints.size(), 0);
    hand_out(p.text, p.ends[end - 1].n_text);
}

void frontier::finish(const std::string & text) {
    hand_out(text, text.size());
}

void frontier::hand_out(const std::string & text, size_t n_text) {
    if (n_text > n_handed_out) {
        commit(text.substr(n_handed_out, n_text - n_handed_out));
        n_handed_out = n_text;
    }
}

}
