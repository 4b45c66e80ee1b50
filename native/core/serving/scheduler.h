// scheduler.h owns one decoder for several searches at once. Each search has a slot. The thread that owns the decoder
// serves the slots, also while it waits in a slot of its own: it collects the requests of all slots, reserves cells for
// those that wait for them, assembles and decodes one batch, and publishes the results. Long prompts are processed in
// pieces between the steps of other slots. Nothing else in this folder takes a lock.
#pragma once

#include "serving/batch.h"
#include "support/rendezvous.h"

#include <list>
#include <thread>

namespace ig {

class scheduler : public slot_server {
  public:
    // Called on the owner's thread. `news`, and `computing`, which is locked while the decoder is used, outlive it.
    scheduler(real_decoder & real, rendezvous & news, std::mutex & computing) :
        real(real),
        news(news),
        computing(computing),
        owner(std::this_thread::get_id()),
        cache(real),
        next_batch(real, cache) {}

    std::unique_ptr<slot> open();

    // Under the lock: opens a slot for work that is about to begin; the other slots wait for it.
    std::unique_ptr<slot> open_ahead();

    bool on_owner() const { return std::this_thread::get_id() == owner; }

    // Owner's thread: serves the slots until `done`, which is evaluated under the lock.
    void serve(const std::function<bool()> & done);

    // Called under the lock while slots are served: starts waiting work, on slots of its own.
    std::function<void()> take_up_work;

    // Owner's thread: drops what finished searches left in the cache.
    void forget();

  private:
    real_decoder &        real;
    rendezvous &          news;
    std::mutex &          computing;
    const std::thread::id owner;

    // under the lock
    std::list<std::shared_ptr<slot_data>> slots;
    uint64_t                              n_arrived           = 0;      // slots that have waited for cells
    bool                                  cells_may_have_come = false;  // since the last attempt

    // of the owner's thread
    kv_allocator                            cache;
    batch                                   next_batch;
    bool                                    steps_wait = false;  // for the steps that follow the prompts just processed
    std::list<std::shared_ptr<slot_data>>   closed;
    std::vector<std::shared_ptr<slot_data>> waiting;             // for cells, first come, first served
    bool                                    may_admit = false;
    std::vector<std::shared_ptr<slot_data>> ready, served;
    std::vector<slot_data *>                extending, stepping;

    void serve_request(const std::shared_ptr<slot_data> & s, slot_state waits_as) override;
    void change_state(slot_data & s, slot_state next) override;

    // under the lock
    bool is_ready() const;
    void collect_closed();
    bool collect();
    void publish();

    // without it, on the owner's thread
    void release_closed();
    void admit();
    void prepare();
    void decode();
    void join_batch(slot_data & s);
};

}  // namespace ig
