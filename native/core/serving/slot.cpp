#include "serving/slot.h"

namespace ig {

bool leads_to(slot_state from, slot_state to) {
    switch (to) {
        case SLOT_COMPUTING:
            return from == SLOT_WAITING_FOR_CELLS || from == SLOT_READY || from == SLOT_AWAY;
        case SLOT_WAITING_FOR_CELLS:
        case SLOT_READY:
        case SLOT_AWAY:
            return from == SLOT_COMPUTING;
        case SLOT_CLOSED:
            return from != SLOT_CLOSED;
    }
    return false;
}

void slot_data::move_to(slot_state next) {
    if (!leads_to(state, next)) {
        throw error("INTERNAL", format("a slot cannot go from state %d to %d", int(state), int(next)));
    }
    state = next;
}

void slot_data::check_cancel() const {
    if (request.cancel != nullptr) {
        request.cancel->check();
    }
}

slot::~slot() {
    server.change_state(*data, SLOT_CLOSED);
}

void slot::request(slot_request wanted) {
    data->request = wanted;
    server.serve_request(data, wanted.kind == REQUEST_RESERVE ? SLOT_WAITING_FOR_CELLS : SLOT_READY);
}

int32_t slot::reserve(const kv_plan & plan, const std::vector<token_id> & prompt, const cancel_flag & cancel) {
    data->holding.plan = plan;
    slot_request wanted;
    wanted.kind   = REQUEST_RESERVE;
    wanted.cancel = &cancel;
    wanted.prompt = &prompt;
    request(wanted);
    n_wider = 0;
    ledger.start(size_t(plan.n_sequences + plan.n_more), data->holding.n_reused);
    return data->holding.n_reused;
}

int32_t slot::widen(int32_t n, const cancel_flag & cancel) {
    cancel.check();
    if (n < n_wider) {
        data->holding.changes.push_back({ CHANGE_NARROW, 0, 0, n });
        n_wider = n;
    } else if (n > n_wider) {
        slot_request wanted;
        wanted.kind     = REQUEST_WIDEN;
        wanted.cancel   = &cancel;
        wanted.n_wished = n;
        request(wanted);
        n_wider = data->request.n_wished;
    }
    return n_wider;
}

void slot::fork(seq_id from, seq_id to) {
    data->holding.changes.push_back({ CHANGE_FORK, from, to, 0 });
    ledger.fork(from, to);
}

void slot::drop(seq_id seq) {
    data->holding.changes.push_back({ CHANGE_DROP, seq, 0, 0 });
    ledger.cut(seq, 0);
}

void slot::cut(seq_id seq, int32_t length) {
    data->holding.changes.push_back({ CHANGE_CUT, seq, 0, length });
    ledger.cut(seq, length);
}

void slot::appended(const std::vector<decode_item> & items) {
    for (const decode_item & item : items) {
        ledger.append(item.seq);
        if (ledger.n_held() > data->holding.reserved.n_cells) {
            throw error("INTERNAL", format("the search holds %lld cells, but reserved %lld",
                                           (long long) ledger.n_held(), (long long) data->holding.reserved.n_cells));
        }
    }
}

void slot::keep(seq_id seq, std::vector<token_id> tokens) {
    data->kept        = seq;
    data->kept_tokens = std::move(tokens);
}

void slot::extend(const std::vector<decode_item> & items,
                  const residual_processor &       process,
                  const cancel_flag &              cancel) {
    cancel.check();
    if (items.empty()) {
        return;
    }
    slot_request wanted;
    wanted.kind             = REQUEST_EXTEND;
    wanted.cancel           = &cancel;
    wanted.items            = &items;
    wanted.process_residual = &process;
    request(wanted);
    appended(items);
}

void slot::step(const std::vector<decode_item> & items,
                const step_wishes &              wishes,
                const row_processor &            process,
                const cancel_flag &              cancel) {
    cancel.check();
    slot_request wanted;
    wanted.kind    = REQUEST_STEP;
    wanted.cancel  = &cancel;
    wanted.items   = &items;
    wanted.wishes  = &wishes;
    wanted.process = &process;
    request(wanted);
    appended(items);
}

std::vector<float> slot::project(const std::vector<float> & hidden,
                                 const std::vector<float> & known_hidden,
                                 const std::vector<float> & known_logits) {
    std::vector<float>          result;
    const std::function<void()> call = [&] {
        result = real.project(hidden, known_hidden, known_logits);
    };
    slot_request wanted;
    wanted.kind = REQUEST_CALL;
    wanted.call = &call;
    request(wanted);
    return result;
}

void slot::call(const std::function<void()> & work, const cancel_flag & cancel) {
    slot_request wanted;
    wanted.kind   = REQUEST_CALL;
    wanted.call   = &work;
    wanted.cancel = &cancel;
    request(wanted);
}

void slot::leave() {
    server.change_state(*data, SLOT_AWAY);
}

void slot::come_back() {
    server.change_state(*data, SLOT_COMPUTING);
}

}  // namespace ig
