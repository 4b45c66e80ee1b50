// trace.h owns the optional record of a search: every candidate, its place in the tree, its judgement, and why it was
// not continued. Paths carry the number of their node. Without a trace it is -1, and nothing is recorded.
#pragma once

#include "search/tree.h"

namespace ig {

struct trace_node {
    int32_t             parent;    // -1: the prompt or the committed text
    int32_t             round;
    int32_t             position;  // response tokens before the block
    int32_t             n_tokens;
    std::string         text;      // of the block
    std::vector<double> z;         // [constraint]
    double              cost;      // including the estimate for an unfinished text
    double              reward;    // NaN: not asked for
    double              p_safe;    // NaN: the critic was not asked
    double              value;
    double              score;     // NaN: rejected
    bool                finished;
    verdict             judgement;
    bool                answer = false;
};

class search_trace {
  public:
    // n_prefill: bytes of text that responses begin with.
    search_trace(const std::vector<constraint> & constraints, size_t n_prefill, bool wanted) :
        constraints(constraints),
        n_prefill(n_prefill),
        wanted(wanted) {}

    // Adds the judged candidates of one round. position: number of response tokens before their block.
    void add(std::vector<path> & candidates, size_t position, int32_t round);

    // Updates the verdict on a candidate.
    void note(const path & p);

    void answer(const path & p);

    // The node of the response's first n tokens.
    int32_t ancestor(const response & r, size_t n_tokens) const;

    std::vector<trace_node> take() { return std::move(nodes); }

  private:
    const std::vector<constraint> & constraints;
    size_t                          n_prefill;
    bool                            wanted;
    std::vector<trace_node>         nodes;

    trace_node * node_of(const path & p) { return wanted && p.node >= 0 ? &nodes[p.node] : nullptr; }
};

}  // namespace ig
