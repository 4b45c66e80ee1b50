#include "search/frontier.h"

namespace ig {

namespace {

size_t shared_by_all(const std::vector<path> & beams) {
    size_t shared = beams[0].tokens.size();
    for (const path & beam : beams) {
        shared = std::min(shared, shared_tokens(beam.tokens, beams[0].tokens));
    }
    return shared;
}

}  // namespace

bool frontier::may_stop_here(const path & p, size_t n_tokens) const {
    const bool can_be_judged =
        models.model.n_residual() == 0 || p.residual.before(n_tokens, p.tokens.size()) != nullptr;
    return !options.enforces_budget() || (can_be_judged && p.ends[n_tokens - 1].may_stop_here);
}

// Asks the whole-text cost models what they charge if the response ended with this prefix.
bool frontier::accepts_whole(const path & p, size_t n_tokens) {
    std::vector<double> costs(models.constraints.size(), 0);
    if (!options.enforces_budget()) {
        return true;
    }
    response prefix;
    prefix.text = p.text.substr(0, p.ends[n_tokens - 1].n_text);
    prefix.tokens.assign(p.tokens.begin(), p.tokens.begin() + n_tokens);
    const text_view view = { &prefix.text, &prefix.tokens,
                             true,         p.ends[n_tokens - 1].log_likelihood,
                             nullptr,      p.residual.before(n_tokens, p.tokens.size()) };
    for (size_t i = 0; i < models.constraints.size(); ++i) {
        const constraint & c = models.constraints[i];
        if (!c.whole_text) {
            continue;
        }
        costs[i] = models.session->cost(i).scores({ view }).at(0);
        if (!ledger::allows_whole(c, costs[i])) {
            return false;
        }
    }
    whole_text_costs = costs;
    return true;
}

void frontier::advance(const std::vector<path> & beams) {
    const path & p   = beams[0];
    size_t       end = shared_by_all(beams);
    while (end > tokens.size() && !may_stop_here(p, end)) {
        --end;
    }
    if (end <= tokens.size() || !accepts_whole(p, end)) {
        return;
    }
    tokens.assign(p.tokens.begin(), p.tokens.begin() + end);
    for (size_t t = likelihood_sums.size(); t < end; ++t) {
        likelihood_sums.push_back(p.ends[t].log_likelihood);
    }
    if (const residual_sum * known = p.residual.before(end, p.tokens.size())) {
        committed_residual = *known;
    }
    committed_notes.clear();
    for (const critic_note & note : p.notes) {
        if (note.n_tokens <= end) {
            committed_notes.push_back(note);
        }
    }
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

}  // namespace ig
