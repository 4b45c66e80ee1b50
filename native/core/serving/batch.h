// batch.h owns how the tokens of several slots become one call of the decoder, and how each row of its output finds the way back to its
// slot. Where the call fails, all of its slots fail; what a slot throws over a row ends that slot's search alone.
#pragma once

#include "serving/slot.h"

namespace ig {

class batch {
  public:
    batch(real_decoder & real, kv_allocator & cache) : real(real), cache(cache) {}

    // Reads the next piece of the prompt of each slot.
    void extend(const std::vector<slot_data *> & slots);

    // Takes the step of each slot.
    void step(const std::vector<slot_data *> & slots);

  private:
    // where an item comes from
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
