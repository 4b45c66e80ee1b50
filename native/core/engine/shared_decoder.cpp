#include "engine/shared_decoder.h"

#include <algorithm>

namespace ig {

namespace {

const size_t  piece_of_prompt = 512; // tokens between two steps of the others
const size_t  most_kept = 4;
const int32_t spare_sequences = int32_t(most_kept);

const cancel_flag never;

}

std::unique_ptr<lane> shared_decoder::open() {
    auto data = std::make_shared<lane_data>();
    const std::lock_guard<std::mutex> guard(news.lock);
    lanes.push_back(data);
    return std::make_unique<lane>(*this, data);
}

void shared_decoder::request(const std::shared_ptr<lane_data> & l, lane_state state) {
    std::unique_lock<std::mutex> guard(news.lock);
    const auto is_served = [&] { return l->state == LANE_COMPUTING; };
    l->state = state;
    l->failure = nullptr;
    if (state == LANE_WAITS_FOR_ROOM) {
        waiting_for_room.push_back(l);
        room_may_have_come = true;
    }
    if (on_owner()) {
        guard.unlock();
        serve(is_served);
    } else {
        news.changed.notify_all();
        l->served.wait(guard, is_served);
    }
    if (l->failure) {
        std::rethrow_exception(l->failure);
    }
}

void shared_decoder::serve(const std::function<bool()> & done) {
    std::unique_lock<std::mutex> guard(news.lock);
    for (;;) {
        close_finished(guard);
        if (take_up_work) {
            take_up_work();
        }
        if (done()) {
            return;
        }
        if (is_ready()) {
            serve_ready(guard);
        } else {
            news.changed.wait(guard);
        }
    }
}

// Steps are gathered: nothing is served while a lane may still come with another one.
bool shared_decoder::is_ready() const {
    bool any = room_may_have_come && !waiting_for_room.empty();
    for (const auto & l : lanes) {
        if (l->state == LANE_COMPUTING) {
            return false;
        }
        any = any || l->state == LANE_READY || (l->state == LANE_WAITS_FOR_ROOM && l->cancel->requested);
    }
    return any;
}

template <typename F> void shared_decoder::attempt(lane_data & l, F work) {
    try {
        if (l.lost) {
            throw error("OUT_OF_MEMORY", "the KV cache was lost while it grew for another generation: there is not enough memory for both; "
                                         "run fewer generations at once, or lower candidates, beams or maxTokens");
        }
        work();
    } catch (...) {
        l.failure = std::current_exception();
    }
}

void shared_decoder::serve_ready(std::unique_lock<std::mutex> & guard) {
    ready.clear();
    served.clear();
    served.reserve(lanes.size());
    for (const auto & l : lanes) {
        if (l->state == LANE_READY) {
            ready.push_back(l);
        }
    }
    give_room(guard);
    guard.unlock();
    extending.clear();
    stepping.clear();
    for (const auto & l : ready) {
        attempt(*l, [&] {
            l->cancel->check();
            apply_changes(*l);
            switch (l->kind) {
                case REQUEST_CALL:
                    (*l->call)();
                    break;
                case REQUEST_EXTEND:
                    extending.push_back(l.get());
                    break;
                case REQUEST_STEP:
                    stepping.push_back(l.get());
                    break;
            }
        });
    }
    extend_some();
    step_all();
    guard.lock();
    for (const auto & l : ready) {
        const bool more = l->kind == REQUEST_EXTEND && !l->failure && l->n_extended < l->items->size();
        if (!more) {
            served.push_back(l);
        }
    }
    for (const auto & l : served) {
        l->state = LANE_COMPUTING;
        l->served.notify_all();
    }
    ready.clear();
    served.clear();
}

// First come, first served; the aborted ones leave the queue.
void shared_decoder::give_room(std::unique_lock<std::mutex> & guard) {
    for (auto at = waiting_for_room.begin(); at != waiting_for_room.end();) {
        if ((*at)->cancel->requested) {
            attempt(**at, [&] { (*at)->cancel->check(); });
            served.push_back(*at);
            at = waiting_for_room.erase(at);
        } else {
            ++at;
        }
    }
    while (room_may_have_come && !waiting_for_room.empty()) {
        const std::shared_ptr<lane_data> l = waiting_for_room.front();
        int64_t n_planned = 0;
        for (const auto & other : lanes) {
            n_planned += other->n_planned;
        }
        guard.unlock();
        bool has_room = true;
        attempt(*l, [&] { has_room = make_room(*l, n_planned); });
        guard.lock();
        room_may_have_come = has_room;
        if (has_room) {
            l->n_planned = l->failure ? 0 : l->n_wanted;
            waiting_for_room.pop_front();
            served.push_back(l);
        }
    }
}

// False where the lanes at work leave too little; throws KV_CAPACITY where nobody else holds anything.
bool shared_decoder::make_room(lane_data & l, int64_t n_planned) {
    const bool alone = n_planned == 0;
    beginning  begun;
    for (;;) {
        begun = find_beginning(*l.prompt);
        const int32_t n_ids = int32_t(std::count(taken.begin(), taken.end(), true)) + l.n_sequences;
        const int64_t n_needed = n_planned + cells_for(l, begun);
        if (n_ids <= n_sequences && n_needed <= n_cells) {
            break;
        }
        if (n_ids <= real.max_sequences()) {
            try {
                grow_to(std::min(real.max_sequences(), n_ids + spare_sequences), n_needed);
                continue;
            } catch (const error & e) {
                if (e.code != "KV_CAPACITY" || (alone && kept.empty())) {
                    throw;
                }
            }
        }
        if (!kept.empty()) {
            const bool spares_first = kept.size() > 1 && kept[0].id == begun.source;
            drop_kept(spares_first ? 1 : 0);
        } else if (!alone) {
            return false;
        } else {
            throw error("INTERNAL", "the search needs more sequences than the decoder has");
        }
    }
    l.ids.clear();
    for (size_t id = 0; int32_t(l.ids.size()) < l.n_sequences; ++id) {
        taken.resize(std::max(taken.size(), id + 1), false);
        if (!taken[id]) {
            taken[id] = true;
            l.ids.push_back(seq_id(id));
        }
    }
    borrow(l, begun);
    return true;
}

// By half at least, so that a chat that grows does not move its cache with every turn.
void shared_decoder::grow_to(int32_t sequences, int64_t cells) {
    sequences = std::max(sequences, n_sequences);
    const int64_t generous = std::max(cells, cells > n_cells ? n_cells * 3 / 2 : n_cells);
    const auto try_cells = [&](int64_t n) {
        try {
            real.make_room(sequences, n);
        } catch (const error & e) {
            if (e.code == "OUT_OF_MEMORY") {
                lose_everything();
            }
            throw;
        }
        n_cells = n;
        n_sequences = sequences;
    };
    try {
        try_cells(generous);
    } catch (const error & e) {
        const int64_t least = std::max(cells, n_cells);
        if (e.code != "KV_CAPACITY" || generous == least) {
            throw;
        }
        try_cells(least);
    }
}

void shared_decoder::lose_everything() {
    n_sequences = 0;
    n_cells = 0;
    kept.clear();
    taken.clear();
    const std::lock_guard<std::mutex> guard(news.lock);
    for (const auto & l : lanes) {
        l->lost = l->lost || !l->ids.empty();
        l->ids.clear();
    }
}

void shared_decoder::drop_kept(size_t i) {
    real.drop(kept[i].id);
    taken[kept[i].id] = false;
    kept.erase(kept.begin() + std::ptrdiff_t(i));
}

int64_t shared_decoder::remains::n_lent() const {
    int32_t most = 0;
    for (const lane_data * borrower : borrowers) {
        most = std::max(most, borrower->n_reused);
    }
    return most;
}

// With what is kept beside it; tokens that both hold are counted once.
int64_t shared_decoder::cells_for(const lane_data & l, const beginning & begun) const {
    int64_t n = l.n_wanted;
    for (const remains & r : kept) {
        const int64_t n_shared = r.id == begun.source ? begun.n_tokens : 0;
        n += int64_t(r.tokens.size()) - std::max(r.n_lent(), n_shared);
    }
    return n;
}

void shared_decoder::forget() {
    {
        std::unique_lock<std::mutex> guard(news.lock);
        close_finished(guard);
    }
    while (!kept.empty()) {
        drop_kept(0);
    }
}

// The last token of a prompt is decoded in any case: its output is needed.
shared_decoder::beginning shared_decoder::find_beginning(const std::vector<token_id> & prompt) const {
    beginning best;
    for (const remains & r : kept) {
        const size_t n = prompt.empty() ? 0 : std::min(shared_tokens(r.tokens, prompt), prompt.size() - 1);
        if (int32_t(n) > best.n_tokens && (n == r.tokens.size() || real.can_cut())) {
            best = { r.id, int32_t(n) };
        }
    }
    return best;
}

void shared_decoder::borrow(lane_data & l, const beginning & begun) {
    l.n_reused = begun.n_tokens;
    if (begun.n_tokens == 0) {
        return;
    }
    const auto source = std::find_if(kept.begin(), kept.end(), [&](const remains & r) { return r.id == begun.source; });
    real.fork(source->id, l.ids[0]);
    if (size_t(begun.n_tokens) < source->tokens.size()) {
        real.cut(l.ids[0], l.n_reused);
    }
    source->borrowers.push_back(&l);
    std::rotate(source, source + 1, kept.end());
}

void shared_decoder::close_finished(std::unique_lock<std::mutex> & guard) {
    std::vector<std::shared_ptr<lane_data>> closed;
    for (auto at = lanes.begin(); at != lanes.end();) {
        if ((*at)->state == LANE_CLOSED) {
            closed.push_back(*at);
            at = lanes.erase(at);
        } else {
            ++at;
        }
    }
    if (closed.empty()) {
        return;
    }
    guard.unlock();
    for (const auto & l : closed) {
        attempt(*l, [&] { apply_changes(*l); });
        for (remains & r : kept) {
            r.borrowers.erase(std::remove(r.borrowers.begin(), r.borrowers.end(), l.get()), r.borrowers.end());
        }
        for (size_t seq = 0; seq < l->ids.size(); ++seq) {
            const seq_id id = l->ids[seq];
            if (seq_id(seq) == l->kept && !l->kept_tokens.empty() && !l->failure) {
                keep_remains({ id, std::move(l->kept_tokens), {} });
            } else {
                real.drop(id);
                taken[id] = false;
            }
        }
    }
    guard.lock();
    room_may_have_come = true;
}

void shared_decoder::keep_remains(remains left) {
    for (size_t i = kept.size(); i-- > 0;) { // what the new one begins with needs no copy of its own
        if (shared_tokens(kept[i].tokens, left.tokens) == kept[i].tokens.size()) {
            drop_kept(i);
        }
    }
    kept.push_back(std::move(left));
    while (kept.size() > most_kept) {
        drop_kept(0);
    }
}

void shared_decoder::apply_changes(lane_data & l) {
    applied.clear();
    applied.swap(l.changes);
    for (const change & c : applied) {
        switch (c.kind) {
            case CHANGE_FORK:
                real.fork(l.ids[c.seq], l.ids[c.to]);
                break;
            case CHANGE_DROP:
                real.drop(l.ids[c.seq]);
                break;
            case CHANGE_CUT:
                real.cut(l.ids[c.seq], c.length);
                break;
        }
    }
}

namespace {

// One lane may abort a decode of its own, but not that of others.
template <typename L> const cancel_flag & cancel_of(const std::vector<L *> & some) {
    return some.size() == 1 ? *some[0]->cancel : never;
}

}

void shared_decoder::extend_some() {
    if (extending.empty()) {
        return;
    }
    const size_t share = std::max<size_t>(1, piece_of_prompt / extending.size());
    try {
        batch.clear();
        for (lane_data * l : extending) {
            const size_t end = std::min(l->items->size(), l->n_extended + share);
            for (; l->n_extended < end; ++l->n_extended) {
                const decode_item & item = (*l->items)[l->n_extended];
                batch.push_back({ l->ids[item.seq], item.position, item.token });
            }
        }
        real.extend(batch, cancel_of(extending));
    } catch (...) {
        for (lane_data * l : extending) {
            l->failure = std::current_exception();
        }
    }
}

void shared_decoder::step_all() {
    if (stepping.empty()) {
        return;
    }
    places.clear();
    batch.clear();
    wishes.hidden = wishes.judged = false;
    wishes.beside.clear();
    const auto visit = [&](const output_row & row) {
        const place & p = places[row.index];
        output_row    own = row;
        own.index = p.index;
        own.hidden = p.owner->wishes->hidden ? row.hidden : nullptr;
        own.judged = p.owner->wishes->judged ? row.judged : nullptr;
        try {
            (*p.owner->visit)(own);
        } catch (...) {
            const std::lock_guard<std::mutex> guard(failing);
            p.owner->failure = std::current_exception();
        }
    };
    try {
        gather();
        real.step(batch, wishes, visit, cancel_of(stepping));
    } catch (...) {
        for (lane_data * l : stepping) {
            l->failure = std::current_exception();
        }
    }
}

void shared_decoder::gather() {
    size_t n_beside = 0; // values per item
    for (lane_data * l : stepping) {
        for (size_t i = 0; i < l->items->size(); ++i) {
            const decode_item & item = (*l->items)[i];
            batch.push_back({ l->ids[item.seq], item.position, item.token });
            places.push_back({ l, i });
        }
        wishes.hidden = wishes.hidden || l->wishes->hidden;
        wishes.judged = wishes.judged || l->wishes->judged;
        n_beside = std::max(n_beside, l->wishes->beside.size() / std::max<size_t>(1, l->items->size()));
    }
    for (lane_data * l : stepping) { // a lane that does not ask the critic gives it zeros
        const std::vector<float> & beside = l->wishes->beside;
        wishes.beside.insert(wishes.beside.end(), beside.begin(), beside.end());
        wishes.beside.resize(wishes.beside.size() + l->items->size() * n_beside - beside.size(), 0);
    }
}

lane::~lane() {
    const std::lock_guard<std::mutex> guard(shared.news.lock);
    data->state = shared_decoder::LANE_CLOSED;
    shared.news.changed.notify_all();
}

int32_t lane::reserve(int32_t n_sequences, int64_t n_cells, const std::vector<token_id> & prompt, const cancel_flag & cancel) {
    data->n_sequences = n_sequences;
    data->n_wanted = n_cells;
    data->prompt = &prompt;
    data->cancel = &cancel;
    shared.request(data, shared_decoder::LANE_WAITS_FOR_ROOM);
    judged = shared.real.n_judged();
    lengths.assign(size_t(n_sequences), 0);
    held.assign(size_t(n_sequences), {});
    holders.clear();
    free_cells.clear();
    n_live = 0;
    lengths[0] = data->n_reused;
    use = { shared.n_cells, data->n_reused };
    return data->n_reused;
}

void lane::fork(seq_id from, seq_id to) {
    drop(to);
    data->changes.push_back({ shared_decoder::CHANGE_FORK, from, to, 0 });
    lengths[to] = lengths[from];
    held[to] = held[from];
    for (int32_t cell : held[to]) {
        ++holders[cell];
    }
}

void lane::drop(seq_id seq) {
    if (lengths[seq] > 0) {
        data->changes.push_back({ shared_decoder::CHANGE_DROP, seq, 0, 0 });
        let_go(seq, 0);
    }
}

void lane::cut(seq_id seq, int32_t length) {
    data->changes.push_back({ shared_decoder::CHANGE_CUT, seq, 0, length });
    let_go(seq, length);
}

// The prompt's own cells are counted by its length, all others by who holds them.
void lane::hold(seq_id seq) {
    ++lengths[seq];
    if (seq > 0) {
        if (free_cells.empty()) {
            free_cells.push_back(int32_t(holders.size()));
            holders.push_back(0);
        }
        held[seq].push_back(free_cells.back());
        holders[free_cells.back()] = 1;
        free_cells.pop_back();
        ++n_live;
    }
    use.peak = std::max(use.peak, n_live + lengths[0]);
}

void lane::let_go(seq_id seq, int32_t length) {
    for (; lengths[seq] > length; --lengths[seq]) {
        if (held[seq].empty()) {
            lengths[seq] = length;
            return;
        }
        const int32_t cell = held[seq].back();
        held[seq].pop_back();
        if (--holders[cell] == 0) {
            free_cells.push_back(cell);
            --n_live;
        }
    }
}

void lane::keep(seq_id seq, std::vector<token_id> tokens) {
    data->kept = seq;
    data->kept_tokens = std::move(tokens);
}

void lane::extend(const std::vector<decode_item> & items, const cancel_flag & cancel) {
    cancel.check();
    if (items.empty()) {
        return;
    }
    data->kind = shared_decoder::REQUEST_EXTEND;
    data->items = &items;
    data->n_extended = 0;
    data->cancel = &cancel;
    shared.request(data, shared_decoder::LANE_READY);
    for (const decode_item & item : items) {
        hold(item.seq);
    }
}

void lane::step(const std::vector<decode_item> & items, const step_wishes & wishes, const row_visitor & visit,
                const cancel_flag & cancel) {
    cancel.check();
    data->kind = shared_decoder::REQUEST_STEP;
    data->items = &items;
    data->wishes = &wishes;
    data->visit = &visit;
    data->cancel = &cancel;
    shared.request(data, shared_decoder::LANE_READY);
    for (const decode_item & item : items) {
        hold(item.seq);
    }
}

std::vector<float> lane::project(const std::vector<float> & hidden, const std::vector<float> & known_hidden,
                                 const std::vector<float> & known_logits) {
    std::vector<float>          result;
    const std::function<void()> call = [&] { result = shared.real.project(hidden, known_hidden, known_logits); };
    data->kind = shared_decoder::REQUEST_CALL;
    data->call = &call;
    shared.request(data, shared_decoder::LANE_READY);
    return result;
}

void lane::leave() {
    const std::lock_guard<std::mutex> guard(shared.news.lock);
    data->state = shared_decoder::LANE_AWAY;
    shared.news.changed.notify_all();
}

void lane::come_back() {
    const std::lock_guard<std::mutex> guard(shared.news.lock);
    data->state = shared_decoder::LANE_COMPUTING;
}

}
