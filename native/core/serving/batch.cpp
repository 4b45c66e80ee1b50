#include "serving/batch.h"

namespace ig {

namespace {

const size_t piece_of_prompt = 512;  // prompt tokens between two steps of other slots

const cancel_flag never;

// A slot may abort its own decode, but not one that it shares.
const cancel_flag & cancel_of(const std::vector<slot_data *> & slots) {
    return slots.size() == 1 ? *slots[0]->request.cancel : never;
}

void fail_all(const std::vector<slot_data *> & slots) {
    for (slot_data * s : slots) {
        s->failure = std::current_exception();
    }
}

}  // namespace

void batch::clear() {
    items.clear();
    places.clear();
}

void batch::add(slot_data & s, size_t index) {
    decode_item item = (*s.request.items)[index];
    item.seq         = cache.id_of(s.holding, item.seq);
    items.push_back(item);
    places.push_back({ &s, index });
}

void batch::extend(const std::vector<slot_data *> & slots) {
    if (slots.empty()) {
        return;
    }
    const size_t share   = std::max<size_t>(1, piece_of_prompt / slots.size());
    const auto   process = [&](size_t index, const float * residual) {
        const place & p = places[index];
        (*p.owner->request.process_residual)(p.index, residual);
    };
    try {
        clear();
        for (slot_data * s : slots) {
            slot_request & r   = s->request;
            const size_t   end = std::min(r.items->size(), r.n_extended + share);
            for (; r.n_extended < end; ++r.n_extended) {
                add(*s, r.n_extended);
            }
        }
        real.extend(items, process, cancel_of(slots));
    } catch (...) {
        fail_all(slots);
    }
}

void batch::step(const std::vector<slot_data *> & slots) {
    if (slots.empty()) {
        return;
    }
    try {
        clear();
        assemble(slots);
        failures.assign(items.size(), nullptr);
        real.step(items, wishes, [&](const output_row & row) { process_row(row); }, cancel_of(slots));
        for (size_t i = 0; i < items.size(); ++i) {
            if (failures[i]) {
                places[i].owner->failure = failures[i];
            }
        }
    } catch (...) {
        fail_all(slots);
    }
}

void batch::assemble(const std::vector<slot_data *> & slots) {
    size_t n_inputs = 0;  // values per item
    wishes.hidden = wishes.critic_output = false;
    wishes.critic_inputs.clear();
    for (slot_data * s : slots) {
        const step_wishes & own = *s->request.wishes;
        const size_t        n   = s->request.items->size();
        for (size_t i = 0; i < n; ++i) {
            add(*s, i);
        }
        wishes.hidden        = wishes.hidden || own.hidden;
        wishes.critic_output = wishes.critic_output || own.critic_output;
        n_inputs             = std::max(n_inputs, own.critic_inputs.size() / std::max<size_t>(1, n));
    }
    for (const slot_data * s : slots) {  // a slot that does not ask the critic gets zeros
        const std::vector<float> & own = s->request.wishes->critic_inputs;
        wishes.critic_inputs.insert(wishes.critic_inputs.end(), own.begin(), own.end());
        wishes.critic_inputs.resize(wishes.critic_inputs.size() + s->request.items->size() * n_inputs - own.size(), 0);
    }
}

// Called by several threads, for different rows.
void batch::process_row(const output_row & row) {
    const place &        p     = places[row.index];
    const slot_request & asked = p.owner->request;
    output_row           own   = row;
    own.index                  = p.index;
    own.hidden                 = asked.wishes->hidden ? row.hidden : nullptr;
    own.critic_output          = asked.wishes->critic_output ? row.critic_output : nullptr;
    try {
        (*asked.process)(own);
    } catch (...) {
        failures[row.index] = std::current_exception();
    }
}

}  // namespace ig
