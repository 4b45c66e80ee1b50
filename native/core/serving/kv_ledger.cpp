#include "serving/kv_ledger.h"

namespace ig {

void kv_ledger::start(size_t n_sequences, int32_t n_prompt) {
    lengths.assign(n_sequences, 0);
    held.assign(n_sequences, {});
    holders.clear();
    free_cells.clear();
    n_behind_prompt = 0;
    lengths[0]      = n_prompt;
    most_held       = n_prompt;
}

void kv_ledger::fork(seq_id from, seq_id to) {
    cut(to, 0);
    lengths[to] = lengths[from];
    held[to]    = held[from];
    for (int32_t cell : held[to]) {
        ++holders[cell];
    }
}

void kv_ledger::append(seq_id seq) {
    ++lengths[seq];
    if (seq > 0) {
        if (free_cells.empty()) {
            free_cells.push_back(int32_t(holders.size()));
            holders.push_back(0);
        }
        held[seq].push_back(free_cells.back());
        holders[free_cells.back()] = 1;
        free_cells.pop_back();
        ++n_behind_prompt;
    }
    most_held = std::max(most_held, n_held());
}

void kv_ledger::cut(seq_id seq, int32_t length) {
    for (; lengths[seq] > length; --lengths[seq]) {
        if (held[seq].empty()) {
            lengths[seq] = length;
            return;
        }
        const int32_t cell = held[seq].back();
        held[seq].pop_back();
        if (--holders[cell] == 0) {
            free_cells.push_back(cell);
            --n_behind_prompt;
        }
    }
}

}  // namespace ig
