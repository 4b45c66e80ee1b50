#include "search/trace.h"

namespace ig {

void search_trace::add(std::vector<path> & candidates, size_t position, int32_t round) {
    if (!wanted) {
        return;
    }
    const double unknown = std::numeric_limits<double>::quiet_NaN();
    for (path & p : candidates) {
        trace_node   node;
        const size_t n_before = position > 0 ? p.ends[position - 1].n_text : n_prefill;
        const bool   noted    = !p.notes.empty() && p.notes.back().n_tokens == p.tokens.size();
        node.parent           = p.node;
        node.round            = round;
        node.position         = int32_t(position);
        node.n_tokens         = int32_t(p.tokens.size() - position);
        node.text             = p.text.substr(n_before);
        node.cost             = p.estimated_cost;
        for (size_t c = 0; c < constraints.size(); ++c) {
            node.z.push_back(p.paid.z(c));
        }
        node.cost += p.paid.total_cost();
        node.reward    = p.rewarded ? p.reward : unknown;
        node.p_safe    = noted ? p.notes.back().p_safe : unknown;
        node.value     = noted ? p.notes.back().value : unknown;
        node.score     = is_rejected(p.judgement) ? unknown : p.score;
        node.finished  = p.finished();
        node.judgement = p.judgement;
        p.node         = int32_t(nodes.size());
        nodes.push_back(std::move(node));
    }
}

void search_trace::note(const path & p) {
    if (trace_node * node = node_of(p)) {
        node->judgement = p.judgement;
    }
}

int32_t search_trace::ancestor(const response & r, size_t n_tokens) const {
    int32_t node = wanted ? r.node : -1;
    while (node >= 0 && size_t(nodes[node].position) >= n_tokens) {
        node = nodes[node].parent;
    }
    return node;
}

void search_trace::answer(const path & p) {
    if (trace_node * node = node_of(p)) {
        node->answer = true;
    }
}

}  // namespace ig
