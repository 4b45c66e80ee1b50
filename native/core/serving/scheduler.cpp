#include "serving/scheduler.h"

#include <algorithm>

namespace ig {

namespace {

const size_t  piece_of_prompt = 512;  // tokens between two steps of the others
const int32_t spare_sequences = int32_t(prefix_cache::max_entries);

const cancel_flag never;

}  // namespace

std::unique_ptr<slot> scheduler::open() {
    const std::lock_guard<std::mutex> guard(news.lock);
    return open_ahead();
}

std::unique_ptr<slot> scheduler::open_ahead() {
    auto data = std::make_shared<slot_data>();
    slots.push_back(data);
    for (std::vector<std::shared_ptr<slot_data>> * list : { &ready, &served }) {
        list->reserve(slots.size());  // to serve them takes no memory then
    }
    for (std::vector<slot_data *> * list : { &extending, &stepping }) {
        list->reserve(slots.size());
    }
    return std::make_unique<slot>(*this, data);
}

void scheduler::request(const std::shared_ptr<slot_data> & l, slot_state state) {
    std::unique_lock<std::mutex> guard(news.lock);
    const auto                   is_served = [&] {
        return l->state == SLOT_COMPUTING;
    };
    l->state   = state;
    l->failure = nullptr;
    if (state == SLOT_WAITS_FOR_ROOM) {
        waiting_for_room.push_back(l);
        room_may_have_come = true;
    }
    if (on_owner()) {
        guard.unlock();
        serve(is_served);
    } else {
        if (is_ready()) {
            news.changed.notify_all();
        }
        l->served.wait(guard, is_served);
    }
    if (l->failure) {
        std::rethrow_exception(l->failure);
    }
}

void scheduler::serve(const std::function<bool()> & done) {
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

// Steps are gathered: nothing is served while a slot may still come with another one.
bool scheduler::is_ready() const {
    bool any = room_may_have_come && !waiting_for_room.empty();
    for (const auto & l : slots) {
        if (l->state == SLOT_COMPUTING) {
            return false;
        }
        any = any || l->state == SLOT_READY || (l->state == SLOT_WAITS_FOR_ROOM && l->cancel->requested);
    }
    return any;
}

template <typename F> void scheduler::attempt(slot_data & l, F work) {
    if (l.failure) {
        return;
    }
    try {
        if (l.lost) {
            throw error(
                "OUT_OF_MEMORY",
                "the KV cache was lost while it grew for another generation: there is not enough memory for both; "
                "run fewer generations at once, or lower candidates, beams or maxTokens");
        }
        work();
    } catch (...) {
        l.failure = std::current_exception();
    }
}

void scheduler::serve_ready(std::unique_lock<std::mutex> & guard) {
    ready.clear();
    served.clear();
    for (const auto & l : slots) {
        if (l->state == SLOT_READY) {
            ready.push_back(l);
        }
    }
    give_room(guard);
    guard.unlock();
    std::unique_lock<std::mutex> threads_are_ours(computing);
    extending.clear();
    stepping.clear();
    for (const auto & l : ready) {
        attempt(*l, [&] {
            l->cancel->check();
            apply_changes(*l);
        });
    }
    for (const auto & l : ready) {  // before the others are looked at: what they hold may be lost
        if (l->kind == REQUEST_WIDEN) {
            attempt(*l, [&] { widen(*l); });
        }
    }
    for (const auto & l : ready) {
        attempt(*l, [&] { take_part(*l); });
    }
    extend_some();
    // what a prompt was read for is a step of its own: those of the others wait for it, though not twice in a row
    const auto was_read = [](const slot_data * l) {
        return !l->failure && l->n_extended == l->items->size();
    };
    steps_wait = !steps_wait && !stepping.empty() && std::any_of(extending.begin(), extending.end(), was_read);
    if (!steps_wait) {
        step_all();
    }
    threads_are_ours.unlock();
    guard.lock();
    room_may_have_come = room_may_have_come || narrowed;
    narrowed           = false;
    for (const auto & l : ready) {
        const bool more = !l->failure && ((l->kind == REQUEST_EXTEND && l->n_extended < l->items->size()) ||
                                          (l->kind == REQUEST_STEP && steps_wait));
        if (!more) {
            served.push_back(l);
        }
    }
    for (const auto & l : served) {
        l->state    = SLOT_COMPUTING;
        l->n_judged = real.n_judged();
        l->n_cells  = size.n_cells;
    }
    guard.unlock();  // so that nobody wakes up to wait for the lock
    for (const auto & l : served) {
        l->served.notify_all();
    }
    guard.lock();
    ready.clear();
    served.clear();
}

void scheduler::take_part(slot_data & l) {
    switch (l.kind) {
        case REQUEST_WIDEN:
            break;
        case REQUEST_CALL:
            (*l.call)();
            break;
        case REQUEST_EXTEND:
            extending.push_back(&l);
            break;
        case REQUEST_STEP:
            if (l.wishes->judged && real.n_judged() == 0) {
                throw error("DECODE_FAILED",
                            "the critic found no place on the device when the KV cache moved; try again");
            }
            stepping.push_back(&l);
            break;
    }
}

// First come, first served; the aborted ones leave the queue.
void scheduler::give_room(std::unique_lock<std::mutex> & guard) {
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
        const std::shared_ptr<slot_data> l      = waiting_for_room.front();
        const room                       others = granted_to_slots();
        guard.unlock();
        bool has_room = true;
        attempt(*l, [&] {
            const std::lock_guard<std::mutex> threads_are_ours(computing);
            has_room = start(*l, others);
        });
        guard.lock();
        room_may_have_come = has_room;
        if (has_room) {
            waiting_for_room.pop_front();
            served.push_back(l);
        }
    }
}

scheduler::room scheduler::granted_to_slots() const {
    room all;
    for (const auto & l : slots) {
        all = all + l->granted;
    }
    return all;
}

// False where the slots at work leave too little; throws KV_CAPACITY where nobody else holds anything. The decoder becomes large
// enough for the slot at its widest, so that one that is alone never lacks anything later.
bool scheduler::start(slot_data & l, const room & others) {
    const bool alone = others.n_sequences == 0;
    if (alone) {
        refused.reset();
    }
    const room          own    = l.with_wider(0);
    const room          widest = l.with_wider(l.plan.n_more);
    prefix_cache::match begun;
    const auto          needed = [&] {
        begun               = kept.find(*l.prompt, real.can_cut());
        const room kept_too = kept_beside(begun);
        return room{ std::max(others.n_sequences + own.n_sequences + kept_too.n_sequences, widest.n_sequences),
                     std::max(others.n_cells + own.n_cells, widest.n_cells) + kept_too.n_cells };
    };
    try {
        if (!provide(needed)) {
            if (alone) {
                throw error("INTERNAL", "the search needs more sequences than the decoder has");
            }
            return false;
        }
    } catch (const error & e) {
        if (e.code != "KV_CAPACITY" || alone) {
            throw;
        }
        return false;
    }
    l.ids.assign(size_t(widest.n_sequences), -1);
    l.granted = own;
    borrow(l, begun);
    return true;
}

void scheduler::widen(slot_data & l) {
    room others;
    {
        const std::lock_guard<std::mutex> guard(news.lock);
        others = granted_to_slots();
    }
    others            = { others.n_sequences - l.granted.n_sequences, others.n_cells - l.granted.n_cells };
    l.n_wished        = std::min(l.n_wished, real.max_sequences() - others.n_sequences - l.plan.n_sequences);
    const auto needed = [&] {
        return others + l.with_wider(l.n_wished) + kept_beside({});
    };
    bool all = false;
    try {
        all = provide(needed);
    } catch (const error & e) {
        if (e.code != "KV_CAPACITY") {
            throw;
        }
    }
    if (!all) {
        const room free = { size.n_sequences - others.n_sequences - l.plan.n_sequences,
                            size.n_cells - others.n_cells - l.plan.n_cells };
        l.n_wished = int32_t(std::min<int64_t>({ l.n_wished, free.n_sequences, free.n_cells / l.plan.cells_each }));
    }
    l.granted = l.with_wider(l.n_wished);
}

// Whether the decoder can be made as large as is needed; what is kept gives way, and then less is needed. False where there are too
// few sequences or as much was refused before, KV_CAPACITY where it is refused now.
bool scheduler::provide(const std::function<room()> & needed) {
    for (;;) {
        const room need = needed();
        if (need.n_sequences <= size.n_sequences && need.n_cells <= size.n_cells) {
            return true;
        }
        const bool in_vain = refused && need.n_sequences >= refused->n_sequences && need.n_cells >= refused->n_cells;
        if (need.n_sequences <= real.max_sequences() && !in_vain) {
            try {
                grow_to(need);
                return true;
            } catch (const error & e) {
                if (e.code != "KV_CAPACITY") {
                    throw;
                }
                refused = need;
                if (kept.size() == 0) {
                    throw;
                }
            }
        }
        const bool may_suffice = need.n_sequences - int32_t(kept.size()) <= real.max_sequences();
        if (!may_suffice || !drop_oldest_kept()) {
            return false;
        }
    }
}

// By half at least, so that a chat that grows does not move its cache with every turn, nor every further generation.
void scheduler::grow_to(const room & needed) {
    const int32_t most_sequences = real.max_sequences();
    const auto    try_size       = [&](const room & larger) {
        try {
            size = { larger.n_sequences, real.make_room(larger.n_sequences, larger.n_cells) };
        } catch (const error & e) {
            if (e.code == "OUT_OF_MEMORY") {
                lose_everything();
            }
            throw;
        }
    };
    const room least    = { std::max(needed.n_sequences, size.n_sequences), std::max(needed.n_cells, size.n_cells) };
    room       generous = least;
    if (needed.n_sequences > size.n_sequences) {
        generous.n_sequences =
            std::min(most_sequences, std::max(needed.n_sequences + spare_sequences, size.n_sequences * 3 / 2));
    }
    if (needed.n_cells > size.n_cells) {
        generous.n_cells = std::max(needed.n_cells, size.n_cells * 3 / 2);
    }
    try {
        try_size(generous);
    } catch (const error & e) {
        if (e.code != "KV_CAPACITY" ||
            (generous.n_sequences == least.n_sequences && generous.n_cells == least.n_cells)) {
            throw;
        }
        try_size(least);
    }
}

void scheduler::lose_everything() {
    size = {};
    kept.clear();
    taken.clear();
    const std::lock_guard<std::mutex> guard(news.lock);
    for (const auto & l : slots) {
        l->lost = l->lost || !l->ids.empty();
        l->ids.clear();
        l->granted = {};
    }
}

bool scheduler::drop_oldest_kept() {
    const std::optional<seq_id> id = kept.remove_oldest();
    if (id) {
        free_id(*id);
    }
    return id.has_value();
}

void scheduler::free_id(seq_id id) {
    real.drop(id);
    taken[id] = false;
}

// What is kept takes beside the slots, and beside one that begins so: tokens that both hold are counted once.
scheduler::room scheduler::kept_beside(const prefix_cache::match & begun) const {
    return { int32_t(kept.size()), kept.n_own_cells(begun) };
}

void scheduler::forget() {
    {
        std::unique_lock<std::mutex> guard(news.lock);
        close_finished(guard);
    }
    while (drop_oldest_kept()) {
    }
}

void scheduler::borrow(slot_data & l, const prefix_cache::match & begun) {
    l.n_reused = begun.n_tokens;
    if (begun.n_tokens == 0) {
        return;
    }
    real.fork(begun.source, id_of(l, 0));
    if (!begun.whole) {
        real.cut(l.ids[0], l.n_reused);
    }
    kept.lend(begun, &l);
}

// A sequence takes an id with its first token.
seq_id scheduler::id_of(slot_data & l, seq_id seq) {
    if (l.ids[seq] < 0) {
        const auto n_used = std::count_if(l.ids.begin(), l.ids.end(), [](seq_id id) { return id >= 0; });
        if (n_used >= l.granted.n_sequences) {
            throw error("INTERNAL",
                        format("the search holds more than the %d sequences that were granted", l.granted.n_sequences));
        }
        taken.resize(size_t(size.n_sequences), false);
        l.ids[seq]           = seq_id(std::find(taken.begin(), taken.end(), false) - taken.begin());
        taken.at(l.ids[seq]) = true;
    }
    return l.ids[seq];
}

void scheduler::give_back(slot_data & l, seq_id seq) {
    if (l.ids[seq] >= 0) {
        free_id(l.ids[seq]);
        l.ids[seq] = -1;
    }
}

void scheduler::close_finished(std::unique_lock<std::mutex> & guard) {
    std::vector<std::shared_ptr<slot_data>> closed;
    for (auto at = slots.begin(); at != slots.end();) {
        if ((*at)->state == SLOT_CLOSED) {
            closed.push_back(*at);
            at = slots.erase(at);
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
        kept.give_back(l.get());
        for (size_t seq = 0; seq < l->ids.size(); ++seq) {
            if (seq_id(seq) == l->kept && !l->kept_tokens.empty() && !l->failure) {
                for (seq_id id : kept.keep(l->ids[seq], std::move(l->kept_tokens))) {
                    free_id(id);
                }
            } else {
                give_back(*l, seq_id(seq));
            }
        }
    }
    refused.reset();
    guard.lock();
    room_may_have_come = true;
}

void scheduler::apply_changes(slot_data & l) {
    applied.clear();
    applied.swap(l.changes);
    for (const change & c : applied) {
        switch (c.kind) {
            case CHANGE_FORK:
                real.fork(id_of(l, c.seq), id_of(l, c.to));
                break;
            case CHANGE_DROP:
                give_back(l, c.seq);
                break;
            case CHANGE_CUT:
                real.cut(id_of(l, c.seq), c.n);
                break;
            case CHANGE_NARROW:
                l.granted = l.with_wider(c.n);
                narrowed  = true;
                break;
        }
    }
}

namespace {

// One slot may abort a decode of its own, but not that of others.
template <typename L> const cancel_flag & cancel_of(const std::vector<L *> & some) {
    return some.size() == 1 ? *some[0]->cancel : never;
}

}  // namespace

void scheduler::add_to_batch(slot_data & l, size_t index) {
    decode_item item = (*l.items)[index];
    item.seq         = id_of(l, item.seq);
    batch.push_back(item);
    places.push_back({ &l, index });
}

void scheduler::extend_some() {
    if (extending.empty()) {
        return;
    }
    const size_t share = std::max<size_t>(1, piece_of_prompt / extending.size());
    const auto   visit = [&](size_t index, const float * residual) {
        const place & p = places[index];
        (*p.owner->visit_residual)(p.index, residual);
    };
    try {
        places.clear();
        batch.clear();
        for (slot_data * l : extending) {
            const size_t end = std::min(l->items->size(), l->n_extended + share);
            for (; l->n_extended < end; ++l->n_extended) {
                add_to_batch(*l, l->n_extended);
            }
        }
        real.extend(batch, visit, cancel_of(extending));
    } catch (...) {
        for (slot_data * l : extending) {
            l->failure = std::current_exception();
        }
    }
}

void scheduler::step_all() {
    if (stepping.empty()) {
        return;
    }
    places.clear();
    batch.clear();
    wishes.hidden = wishes.judged = false;
    wishes.beside.clear();
    const auto visit = [&](const output_row & row) {
        const place & p   = places[row.index];
        output_row    own = row;
        own.index         = p.index;
        own.hidden        = p.owner->wishes->hidden ? row.hidden : nullptr;
        own.judged        = p.owner->wishes->judged ? row.judged : nullptr;
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
        for (slot_data * l : stepping) {
            l->failure = std::current_exception();
        }
    }
}

void scheduler::gather() {
    size_t n_beside = 0;  // values per item
    for (slot_data * l : stepping) {
        for (size_t i = 0; i < l->items->size(); ++i) {
            add_to_batch(*l, i);
        }
        wishes.hidden = wishes.hidden || l->wishes->hidden;
        wishes.judged = wishes.judged || l->wishes->judged;
        n_beside      = std::max(n_beside, l->wishes->beside.size() / std::max<size_t>(1, l->items->size()));
    }
    for (slot_data * l : stepping) {  // a slot that does not ask the critic gives it zeros
        const std::vector<float> & beside = l->wishes->beside;
        wishes.beside.insert(wishes.beside.end(), beside.begin(), beside.end());
        wishes.beside.resize(wishes.beside.size() + l->items->size() * n_beside - beside.size(), 0);
    }
}

slot::~slot() {
    const std::lock_guard<std::mutex> guard(shared.news.lock);
    data->state = scheduler::SLOT_CLOSED;
    shared.news.changed.notify_all();
}

int32_t slot::reserve(const room_plan & plan, const std::vector<token_id> & prompt, const cancel_flag & cancel) {
    data->plan   = plan;
    data->prompt = &prompt;
    data->cancel = &cancel;
    shared.request(data, scheduler::SLOT_WAITS_FOR_ROOM);
    n_wider = 0;
    ledger.start(size_t(plan.n_sequences + plan.n_more), data->n_reused);
    return data->n_reused;
}

int32_t slot::widen(int32_t n, const cancel_flag & cancel) {
    cancel.check();
    if (n < n_wider) {
        data->changes.push_back({ scheduler::CHANGE_NARROW, 0, 0, n });
        n_wider = n;
    } else if (n > n_wider) {
        data->kind     = scheduler::REQUEST_WIDEN;
        data->n_wished = n;
        data->cancel   = &cancel;
        shared.request(data, scheduler::SLOT_READY);
        n_wider = data->n_wished;
    }
    return n_wider;
}

void slot::fork(seq_id from, seq_id to) {
    data->changes.push_back({ scheduler::CHANGE_FORK, from, to, 0 });
    ledger.fork(from, to);
}

void slot::drop(seq_id seq) {
    data->changes.push_back({ scheduler::CHANGE_DROP, seq, 0, 0 });
    ledger.cut(seq, 0);
}

void slot::cut(seq_id seq, int32_t length) {
    data->changes.push_back({ scheduler::CHANGE_CUT, seq, 0, length });
    ledger.cut(seq, length);
}

void slot::appended(const std::vector<decode_item> & items) {
    for (const decode_item & item : items) {
        ledger.append(item.seq);
        if (ledger.n_held() > data->granted.n_cells) {
            throw error("INTERNAL", format("the search holds %lld cells, but %lld were granted",
                                           (long long) ledger.n_held(), (long long) data->granted.n_cells));
        }
    }
}

void slot::keep(seq_id seq, std::vector<token_id> tokens) {
    data->kept        = seq;
    data->kept_tokens = std::move(tokens);
}

void slot::extend(const std::vector<decode_item> & items, const residual_visitor & visit, const cancel_flag & cancel) {
    cancel.check();
    if (items.empty()) {
        return;
    }
    data->kind           = scheduler::REQUEST_EXTEND;
    data->items          = &items;
    data->n_extended     = 0;
    data->visit_residual = &visit;
    data->cancel         = &cancel;
    shared.request(data, scheduler::SLOT_READY);
    appended(items);
}

void slot::step(const std::vector<decode_item> & items,
                const step_wishes &              wishes,
                const row_visitor &              visit,
                const cancel_flag &              cancel) {
    cancel.check();
    data->kind   = scheduler::REQUEST_STEP;
    data->items  = &items;
    data->wishes = &wishes;
    data->visit  = &visit;
    data->cancel = &cancel;
    shared.request(data, scheduler::SLOT_READY);
    appended(items);
}

std::vector<float> slot::project(const std::vector<float> & hidden,
                                 const std::vector<float> & known_hidden,
                                 const std::vector<float> & known_logits) {
    std::vector<float>          result;
    const std::function<void()> call = [&] {
        result = shared.real.project(hidden, known_hidden, known_logits);
    };
    data->kind = scheduler::REQUEST_CALL;
    data->call = &call;
    shared.request(data, scheduler::SLOT_READY);
    return result;
}

void slot::leave() {
    const std::lock_guard<std::mutex> guard(shared.news.lock);
    data->state = scheduler::SLOT_AWAY;
    shared.news.changed.notify_all();
}

void slot::come_back() {
    const std::lock_guard<std::mutex> guard(shared.news.lock);
    data->state = scheduler::SLOT_COMPUTING;
}

}  // namespace ig
