// batch.h owns the merging of several slots' tokens into one decoder call, and the routing of each output row back to
// its slot. If the call fails, all of its slots fail. An exception that a slot throws while it processes a row ends
// only that slot's search.
#pragma once

#include "serving/slot.h"

namespace ig {

class batch {
  public:
    batch(real_decoder & real, kv_allocator & cache) : real(real), cache(cache) {}

    // Processes the next piece of each slot's prompt.
    void extend(const std::vector<slot_data *> & slots);

    // Takes one step for each slot.
    void step(const std::vector<slot_data *> & slots);

  private:
    // the origin of an item
    struct place {
        slot_data * owner;
        size_t      index;  // among the owner's items
    };

    real_decoder &                  real;
    kv_allocator &                  cache;
    std::vector<decode_item>        items;
    std::vector<place>              places;    // of the items
    std::vector<std::exception_ptr> failures;  // of the items' rows
    step_wishes                     wishes;    // of all slots

    void clear();
    void add(slot_data & s, size_t index);
    void assemble(const std::vector<slot_data *> & slots);
    void process_row(const output_row & row);
};

}  // namespace ig
