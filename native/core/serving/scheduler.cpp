#include "serving/scheduler.h"

namespace ig {

namespace {

template <typename F> void attempt(slot_data & s, F work) {
    if (s.failure) {
        return;
    }
    try {
        s.holding.check();
        work();
    } catch (...) {
        s.failure = std::current_exception();
    }
}

}  // namespace

std::unique_ptr<slot> scheduler::open() {
    const std::lock_guard<std::mutex> guard(news.lock);
    return open_ahead();
}

std::unique_ptr<slot> scheduler::open_ahead() {
    std::list<std::shared_ptr<slot_data>> opened = { std::make_shared<slot_data>() };
    auto                                  made   = std::make_unique<slot>(*this, real, opened.front());
    slots.splice(slots.end(), opened);
    return made;
}

void scheduler::serve_request(const std::shared_ptr<slot_data> & s, slot_state waits_as) {
    std::unique_lock<std::mutex> guard(news.lock);
    const auto                   is_served = [&] {
        return s->state == SLOT_COMPUTING;
    };
    s->move_to(waits_as);
    s->failure = nullptr;
    if (waits_as == SLOT_WAITING_FOR_CELLS) {
        s->n_arrived        = n_arrived++;
        cells_may_have_come = true;
    }
    if (on_owner()) {
        guard.unlock();
        serve(is_served);
    } else {
        if (is_ready()) {
            news.changed.notify_all();
        }
        s->served.wait(guard, is_served);
    }
    if (s->failure) {
        std::rethrow_exception(s->failure);
    }
}

void scheduler::change_state(slot_data & s, slot_state next) {
    const std::lock_guard<std::mutex> guard(news.lock);
    s.move_to(next);
    if (next != SLOT_COMPUTING) {
        news.changed.notify_all();
    }
}

void scheduler::serve(const std::function<bool()> & done) {
    std::unique_lock<std::mutex> guard(news.lock);
    for (;;) {
        collect_closed();
        if (!closed.empty()) {
            guard.unlock();
            release_closed();
            guard.lock();
            cells_may_have_come = true;
        }
        if (take_up_work) {
            take_up_work();
        }
        if (done()) {
            return;
        }
        if (!is_ready()) {
            news.changed.wait(guard);
            continue;
        }
        if (!collect()) {
            continue;
        }
        guard.unlock();
        {
            const std::lock_guard<std::mutex> threads_are_ours(computing);
            admit();
            prepare();
            decode();
        }
        guard.lock();
        publish();
        guard.unlock();  // so that nobody wakes up only to wait for the lock
        for (const auto & s : served) {
            s->served.notify_all();
        }
        guard.lock();
    }
}

// Collects requests: nothing is served while a slot may still add one.
bool scheduler::is_ready() const {
    bool any = false;
    for (const auto & s : slots) {
        if (s->state == SLOT_COMPUTING) {
            return false;
        }
        any = any || s->state == SLOT_READY ||
              (s->state == SLOT_WAITING_FOR_CELLS && (cells_may_have_come || s->is_cancelled()));
    }
    return any;
}

void scheduler::collect_closed() {
    for (auto s = slots.begin(); s != slots.end();) {
        const auto next = std::next(s);
        if ((*s)->state == SLOT_CLOSED) {
            closed.splice(closed.end(), slots, s);
        }
        s = next;
    }
}

void scheduler::release_closed() {
    for (const auto & s : closed) {
        attempt(*s, [&] {
            cache.apply_changes(s->holding);
            if (s->kept >= 0 && !s->kept_tokens.empty()) {
                cache.keep(s->holding, s->kept, std::move(s->kept_tokens));
            }
        });
        cache.release(s->holding);
    }
    closed.clear();
}

// Allocates the memory for serving the requests. If there is none, the requests fail, and it returns false.
bool scheduler::collect() {
    try {
        for (std::vector<std::shared_ptr<slot_data>> * list : { &waiting, &ready, &served }) {
            list->clear();
            list->reserve(slots.size());
        }
        for (std::vector<slot_data *> * list : { &extending, &stepping }) {
            list->clear();
            list->reserve(slots.size());
        }
    } catch (const std::bad_alloc &) {
        for (const auto & s : slots) {
            if (s->state == SLOT_READY || s->state == SLOT_WAITING_FOR_CELLS) {
                s->failure = std::current_exception();
                s->move_to(SLOT_COMPUTING);
                s->served.notify_all();
            }
        }
        return false;
    }
    for (const auto & s : slots) {
        if (s->state == SLOT_READY) {
            ready.push_back(s);
        } else if (s->state == SLOT_WAITING_FOR_CELLS) {
            waiting.push_back(s);
        }
    }
    std::sort(waiting.begin(), waiting.end(),
              [](const auto & a, const auto & b) { return a->n_arrived < b->n_arrived; });
    may_admit           = cells_may_have_come;
    cells_may_have_come = false;
    return true;
}

// First come, first served; cancelled requests leave the queue.
void scheduler::admit() {
    for (const auto & s : waiting) {
        bool has_cells = true;  // otherwise it fails
        attempt(*s, [&] {
            s->check_cancel();
            has_cells = may_admit && cache.reserve(s->holding, *s->request.prompt);
        });
        may_admit = may_admit && has_cells;
        if (has_cells) {
            served.push_back(s);
        }
    }
}

void scheduler::prepare() {
    for (const auto & s : ready) {
        attempt(*s, [&] {
            s->check_cancel();
            cache.apply_changes(s->holding);
        });
    }
    for (const auto & s : ready) {  // before the others are examined, because their cells may be lost
        if (s->request.kind == REQUEST_WIDEN) {
            attempt(*s, [&] { s->request.n_wished = cache.widen(s->holding, s->request.n_wished); });
        }
    }
    for (const auto & s : ready) {
        attempt(*s, [&] { join_batch(*s); });
    }
}

void scheduler::join_batch(slot_data & s) {
    switch (s.request.kind) {
        case REQUEST_RESERVE:
        case REQUEST_WIDEN:
            break;
        case REQUEST_CALL:
            (*s.request.call)();
            break;
        case REQUEST_EXTEND:
            extending.push_back(&s);
            break;
        case REQUEST_STEP:
            if (s.request.wishes->critic_output && real.n_critic_outputs() == 0) {
                throw error("DECODE_FAILED",
                            "the critic found no place on the device when the KV cache moved; try again");
            }
            stepping.push_back(&s);
            break;
    }
}

void scheduler::decode() {
    next_batch.extend(extending);
    // other slots' steps wait for the step that follows a finished prompt, but not twice in a row
    const auto was_read = [](const slot_data * s) {
        return !s->failure && s->request.n_extended == s->request.items->size();
    };
    steps_wait = !steps_wait && !stepping.empty() && std::any_of(extending.begin(), extending.end(), was_read);
    if (!steps_wait) {
        next_batch.step(stepping);
    }
}

void scheduler::publish() {
    cells_may_have_come = cells_may_have_come || cache.was_narrowed();
    for (const auto & s : ready) {
        const slot_request & r    = s->request;
        const bool           more = !s->failure && ((r.kind == REQUEST_EXTEND && r.n_extended < r.items->size()) ||
                                                    (r.kind == REQUEST_STEP && steps_wait));
        if (!more) {
            served.push_back(s);
        }
    }
    for (const auto & s : served) {
        s->n_critic_outputs = real.n_critic_outputs();
        s->n_cells          = cache.n_cells();
        s->move_to(SLOT_COMPUTING);
    }
}

void scheduler::forget() {
    {
        const std::lock_guard<std::mutex> guard(news.lock);
        collect_closed();
    }
    release_closed();
    cache.forget();
}

}  // namespace ig
