#include "engine/tabular_decoder.h"

#include <set>

namespace ig {

int64_t tabular_decoder::make_room(int32_t n_sequences, int64_t n_cells) {
    sequences.resize(std::max(sequences.size(), size_t(n_sequences)));
    capacity = std::max(capacity, n_cells);
    return capacity;
}

void tabular_decoder::fork(seq_id from, seq_id to) {
    sequences.at(to) = sequences.at(from);
}

void tabular_decoder::drop(seq_id seq) {
    sequences.at(seq).clear();
}

void tabular_decoder::cut(seq_id seq, int32_t length) {
    sequences.at(seq).resize(size_t(length));
}

void tabular_decoder::append(const std::vector<decode_item> & items) {
    for (const decode_item & item : items) {
        std::vector<cell> & sequence = sequences.at(item.seq);
        if (item.position != int32_t(sequence.size())) {
            throw error("INTERNAL", format("sequence %d is %zu tokens long, but position %d was decoded", item.seq,
                                           sequence.size(), item.position));
        }
        sequence.push_back(std::make_shared<token_id>(item.token));
    }
    std::set<token_id *> cells;
    for (const std::vector<cell> & sequence : sequences) {
        for (const cell & c : sequence) {
            cells.insert(c.get());
        }
    }
    if (int64_t(cells.size()) > capacity) {
        throw error("INTERNAL",
                    format("the search holds %zu cells, but reserved %lld", cells.size(), (long long) capacity));
    }
}

void tabular_decoder::extend(const std::vector<decode_item> & items,
                             const residual_processor &,
                             const cancel_flag & cancel) {
    cancel.check();
    append(items);
}

void tabular_decoder::step(const std::vector<decode_item> & items,
                           const step_wishes &              wishes,
                           const row_processor &            process,
                           const cancel_flag &              cancel) {
    cancel.check();
    append(items);
    rows.clear();
    for (const decode_item & item : items) {
        rows.push_back(item.token);
    }
    std::vector<float> hidden(model.pieces.size(), 0);
    for (size_t i = 0; i < rows.size(); ++i) {
        hidden[rows[i]] = 1;
        process({ i, i, 0, {}, hidden.data(), nullptr, nullptr });
        hidden[rows[i]] = 0;
    }
}

std::vector<float> tabular_decoder::project(const std::vector<float> & hidden,
                                            const std::vector<float> &,
                                            const std::vector<float> &) {
    const size_t       n = model.pieces.size();
    std::vector<float> result(hidden.size(), 0);
    for (size_t row = 0; row < hidden.size(); row += n) {
        for (size_t last = 0; last < n; ++last) {
            for (size_t next = 0; next < n; ++next) {
                result[row + next] += hidden[row + last] * model.logits[last * n + next];
            }
        }
    }
    return result;
}

}  // namespace ig
