// trace.h owns the record of a search that was asked to keep one: every candidate with its place in the tree, what was said
// of it, and why it was not continued. Paths carry the number of their node; without a trace it is -1 and nothing is kept.
#pragma once

#include "search/tree.h"

namespace ig {

struct trace_node {
    int32_t             parent;    // -1: the prompt, or what is committed
    int32_t             round;
    int32_t             position;  // response tokens before the block
    int32_t             n_tokens;
    std::string         text;      // of the block
    std::vector<double> z;         // [constraint]
    double              cost;      // with the estimate for an unfinished text
    double              reward;    // not a number: not asked for
    double              p_safe;    // not a number: the critic was not asked
    double              value;
    double              score;     // not a number: rejected
    bool                finished;
    verdict             judgement;
    bool                answer = false;
};

class search_trace {
  public:
    search_trace(const std::vector<constraint> & constraints, bool wanted) : constraints(constraints), wanted(wanted) {}

    // Candidates of one round that were judged; position: response tokens before their block.
    void add(std::vector<path> & candidates, size_t position, int32_t round);

    // Another verdict on a candidate.
    void note(const path & p);

    void answer(const path & p);

    // The node of what the response's first n tokens are.
    int32_t ancestor(const response & r, size_t n_tokens) const;

    std::vector<trace_node> take() { return std::move(nodes); }

  private:
    const std::vector<constraint> & constraints;
    bool                            wanted;
    std::vector<trace_node>         nodes;

    trace_node * node_of(const path & p) { return wanted && p.node >= 0 ? &nodes[p.node] : nullptr; }
};

}  // namespace ig
