#include "engine/response_reader.h"

#include <algorithm>

namespace ig {

namespace {

const size_t most_at_once  = 64;    // responses
const size_t cells_at_once = 1024;  // for a wave of several responses

// responses that are read together
struct wave {
    std::vector<size_t> members;
    size_t              n_shared = 0;  // length of the prompts' common prefix
    size_t              n_apart  = 0;  // cells without any sharing

    size_t cells() const { return n_apart - n_shared * (members.size() - 1); }
};

// The wave with one more response.
wave widened(wave some, size_t member, const std::vector<given_response> & responses) {
    const given_response &        added    = responses[member];
    const std::vector<token_id> & first    = *responses[some.members.empty() ? member : some.members[0]].prompt;
    const size_t                  n_shared = shared_tokens(first, *added.prompt);
    some.n_shared                          = some.members.empty() ? n_shared : std::min(some.n_shared, n_shared);
    some.n_apart += added.prompt->size() + added.lengths.back();
    some.members.push_back(member);
    return some;
}

// Sorted, so that adjacent responses share the longest prompt prefixes.
std::vector<wave> waves_of(const std::vector<given_response> & responses) {
    std::vector<size_t> order;
    for (size_t i = 0; i < responses.size(); ++i) {
        if (!responses[i].lengths.empty()) {
            order.push_back(i);
        }
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return *responses[a].prompt < *responses[b].prompt; });
    std::vector<wave> waves;
    for (size_t i : order) {
        if (!waves.empty()) {
            wave wider = widened(waves.back(), i, responses);
            if (wider.members.size() <= most_at_once && wider.cells() <= cells_at_once) {
                waves.back() = std::move(wider);
                continue;
            }
        }
        waves.push_back(widened({}, i, responses));
    }
    return waves;
}

// Sequence 0 holds the shared prefix of the prompts.
class wave_reader {
  public:
    wave_reader(decoder &                           model,
                const std::vector<given_response> & responses,
                const wave &                        own,
                bool                                with_hidden,
                const cancel_flag &                 cancel) :
        model(model),
        responses(responses),
        own(own),
        with_hidden(with_hidden),
        cancel(cancel),
        n_read(own.members.size(), own.n_shared),
        sums(own.members.size()) {}

    void read(const state_visitor & visit) {
        read_shared();
        for (size_t length = 0; begin(length); ++length) {
            model.extend(
                items, [&](size_t index, const float * row) { sum_of(items[index]).add(row, model.n_residual()); },
                cancel);
            if (with_hidden) {
                step(length, visit);
                continue;
            }
            for (size_t member = 0; member < own.members.size(); ++member) {
                if (length < response(member).lengths.size()) {
                    visit({ own.members[member], length, sums[member], nullptr });
                }
            }
        }
    }

  private:
    decoder &                           model;
    const std::vector<given_response> & responses;
    const wave &                        own;
    bool                                with_hidden;
    const cancel_flag &                 cancel;
    std::vector<size_t>                 n_read;  // tokens of each member, including its prompt's
    std::vector<residual_sum>           sums;    // per member
    std::vector<decode_item>            items;
    std::vector<decode_item>            ends;    // items whose states are requested

    static size_t member_of(const decode_item & item) { return size_t(item.seq) - 1; }

    const given_response & response(size_t member) const { return responses[own.members[member]]; }

    residual_sum & sum_of(const decode_item & item) { return sums[member_of(item)]; }

    void read_shared() {
        const std::vector<token_id> & prompt = *response(0).prompt;
        std::vector<token_id>         shared(prompt.begin(), prompt.begin() + std::ptrdiff_t(own.n_shared));
        const kv_plan                 plan = { int32_t(own.members.size()) + 1, int64_t(own.cells()) };
        for (size_t i = size_t(model.reserve(plan, shared, cancel)); i < shared.size(); ++i) {
            items.push_back({ 0, int32_t(i), shared[i] });
        }
        model.extend(items, nullptr, cancel);
        for (size_t member = 0; member < own.members.size(); ++member) {
            model.fork(0, seq_id(member) + 1);
        }
        model.keep(0, std::move(shared));
    }

    // False if no response is that long.
    bool begin(size_t length) {
        items.clear();
        ends.clear();
        bool any = false;
        for (size_t member = 0; member < own.members.size(); ++member) {
            const given_response & given = response(member);
            if (length >= given.lengths.size()) {
                continue;
            }
            any                   = true;
            const size_t n_prompt = given.prompt->size();
            const size_t n        = n_prompt + given.lengths[length];
            for (size_t & i = n_read[member]; i < n; ++i) {
                const token_id token  = i < n_prompt ? (*given.prompt)[i] : (*given.tokens)[i - n_prompt];
                const bool     is_end = with_hidden && i + 1 == n;
                (is_end ? ends : items)
                    .push_back({ seq_id(member) + 1, int32_t(i), token, i >= n_prompt && model.n_residual() > 0 });
            }
        }
        return any;
    }

    void step(size_t length, const state_visitor & visit) {
        step_wishes wishes;
        wishes.hidden = true;
        model.step(
            ends, wishes,
            [&](const output_row & row) {
                residual_sum & sum = sum_of(ends[row.index]);
                if (row.residual != nullptr) {
                    sum.add(row.residual, model.n_residual());
                }
                visit({ own.members[member_of(ends[row.index])], length, sum, row.hidden });
            },
            cancel);
    }
};

}  // namespace

void read_responses(const open_decoder &                open,
                    const std::vector<given_response> & responses,
                    bool                                with_hidden,
                    const state_visitor &               visit,
                    const cancel_flag &                 cancel) {
    for (const wave & some : waves_of(responses)) {
        wave_reader(*open(), responses, some, with_hidden, cancel).read(visit);
    }
}

}  // namespace ig
