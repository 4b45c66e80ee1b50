// scheduler.h owns one decoder for several searches at once. Each works on a slot, which is a whole decoder to it. The
// thread that owns the model serves them: the steps of all slots that are ready go into one decode, long prompts in pieces
// between them. A slot of the owner's own thread serves the others while it waits. What a finished search leaves behind is kept as
// long as there is room, so that a prompt that begins with it need not be read again.
#pragma once

#include "serving/kv_ledger.h"
#include "serving/prefix_cache.h"
#include "support/rendezvous.h"

#include <deque>
#include <exception>
#include <memory>
#include <thread>

namespace ig {

class slot;

class scheduler {
  public:
    // Made on the owner's thread; `news` and `computing`, which is held while the decoder is used, outlive it.
    scheduler(real_decoder & real, rendezvous & news, std::mutex & computing) :
        real(real),
        news(news),
        computing(computing),
        owner(std::this_thread::get_id()) {}

    std::unique_ptr<slot> open();

    // Under the lock: for work that is about to begin, which the others wait for.
    std::unique_ptr<slot> open_ahead();

    bool on_owner() const { return std::this_thread::get_id() == owner; }

    // Owner's thread: serves the slots until `done`, which is asked under the lock.
    void serve(const std::function<bool()> & done);

    // Called under the lock while slots are served: starts work that is waiting, on slots of its own.
    std::function<void()> take_up_work;

    // Owner's thread: forgets what finished searches left behind.
    void forget();

  private:
    friend class slot;

    enum slot_state {
        SLOT_COMPUTING,
        SLOT_WAITS_FOR_ROOM,
        SLOT_READY,  // to be served
        SLOT_AWAY,   // waits for something else, such as a function of the caller
        SLOT_CLOSED,
    };

    enum request_kind { REQUEST_EXTEND, REQUEST_STEP, REQUEST_WIDEN, REQUEST_CALL };

    enum change_kind { CHANGE_FORK, CHANGE_DROP, CHANGE_CUT, CHANGE_NARROW };

    // before the next request
    struct change {
        change_kind kind;
        seq_id      seq;
        seq_id      to;  // of a fork
        int32_t     n;   // tokens that a cut leaves; sequences that narrowing leaves beside the slot's own
    };

    struct room {
        int32_t n_sequences = 0;
        int64_t n_cells     = 0;

        room operator+(const room & other) const {
            return { n_sequences + other.n_sequences, n_cells + other.n_cells };
        }
    };

    struct slot_data {
        slot_state              state = SLOT_COMPUTING;
        std::condition_variable served;
        std::exception_ptr      failure;
        bool                    lost = false;  // the decoder no longer holds its sequences

        room_plan           plan;
        room                granted;       // nothing before it starts
        size_t              n_judged = 0;  // of the decoder, when the slot was served
        int64_t             n_cells  = 0;
        std::vector<seq_id> ids;           // of the slot's sequences in the decoder; -1: not in use
        std::vector<change> changes;

        request_kind                     kind;
        const std::vector<decode_item> * items;
        size_t                           n_extended;  // of the items
        const step_wishes *              wishes;
        const row_visitor *              visit;
        const residual_visitor *         visit_residual;  // of an extension
        const cancel_flag *              cancel;
        const std::function<void()> *    call;
        const std::vector<token_id> *    prompt;
        int32_t                          n_wished;  // sequences beside the slot's own; what there is, once served
        int32_t                          n_reused;

        room with_wider(int32_t n) const { return { plan.n_sequences + n, plan.n_cells + n * plan.cells_each }; }

        seq_id                kept = -1;  // of the slot's sequences, to be left behind
        std::vector<token_id> kept_tokens;
    };

    real_decoder &                          real;
    rendezvous &                            news;
    std::mutex &                            computing;
    const std::thread::id                   owner;
    std::vector<std::shared_ptr<slot_data>> slots;                       // under the lock
    std::deque<std::shared_ptr<slot_data>>  waiting_for_room;            // under the lock, first come first served
    bool                                    room_may_have_come = false;  // since the last try

    // an item of a batch
    struct place {
        slot_data * owner;
        size_t      index;  // among the owner's items
    };

    // the owner's
    std::vector<bool>   taken;    // ids
    prefix_cache        kept;
    room                size;     // of the decoder
    std::optional<room> refused;  // size that the decoder could not have, since a slot closed
    std::vector<change> applied;  // changes

    // the owner's, of the requests that are being served
    std::vector<std::shared_ptr<slot_data>> ready, served;
    std::vector<slot_data *>                extending, stepping;
    std::vector<decode_item>                batch;
    std::vector<place>                      places;              // of the batch
    step_wishes                             wishes;              // of all in the batch
    bool                                    steps_wait = false;  // for those that follow the prompts just read
    bool                                    narrowed   = false;  // a slot needs less
    std::mutex                              failing;             // of a slot, in a visit

    void                              request(const std::shared_ptr<slot_data> & l, slot_state state);
    bool                              is_ready() const;
    void                              serve_ready(std::unique_lock<std::mutex> & guard);
    void                              close_finished(std::unique_lock<std::mutex> & guard);
    void                              give_room(std::unique_lock<std::mutex> & guard);
    void                              take_part(slot_data & l);
    room                              granted_to_slots() const;
    bool                              start(slot_data & l, const room & others);
    void                              widen(slot_data & l);
    bool                              provide(const std::function<room()> & needed);
    template <typename F> static void attempt(slot_data & l, F work);
    void                              grow_to(const room & needed);
    void                              lose_everything();
    room                              kept_beside(const prefix_cache::match & begun) const;
    seq_id                            id_of(slot_data & l, seq_id seq);
    void                              give_back(slot_data & l, seq_id seq);
    void                              borrow(slot_data & l, const prefix_cache::match & begun);
    bool                              drop_oldest_kept();
    void                              free_id(seq_id id);
    void                              apply_changes(slot_data & l);
    void                              add_to_batch(slot_data & l, size_t index);
    void                              extend_some();
    void                              step_all();
    void                              gather();
};

// One search's view of the decoder. It may be used from one thread, which may be any.
class slot : public decoder {
  public:
    slot(scheduler & shared, std::shared_ptr<scheduler::slot_data> data) : shared(shared), data(std::move(data)) {}

    ~slot() override;

    int32_t n_vocab() const override { return shared.real.n_vocab(); }

    int32_t n_embd() const override { return shared.real.n_embd(); }

    bool is_end(token_id token) const override { return shared.real.is_end(token); }

    const std::string & piece(token_id token) override { return shared.real.piece(token); }

    int32_t max_sequences() const override { return shared.real.max_sequences(); }

    size_t n_visitors() const override { return shared.real.n_visitors(); }

    size_t n_residual() const override { return shared.real.n_residual(); }

    bool can_cut() const override { return shared.real.can_cut(); }

    int32_t reserve(const room_plan & plan, const std::vector<token_id> & prompt, const cancel_flag & cancel) override;
    int32_t widen(int32_t n, const cancel_flag & cancel) override;
    void    fork(seq_id from, seq_id to) override;
    void    drop(seq_id seq) override;
    void    cut(seq_id seq, int32_t length) override;
    void    keep(seq_id seq, std::vector<token_id> tokens) override;
    void    extend(const std::vector<decode_item> & items,
                   const residual_visitor &         visit,
                   const cancel_flag &              cancel) override;
    void    step(const std::vector<decode_item> & items,
                 const step_wishes &              wishes,
                 const row_visitor &              visit,
                 const cancel_flag &              cancel) override;

    const float * logits(const output_row & row) override { return shared.real.logits(row); }

    size_t n_judged() const override { return data->n_judged; }

    std::vector<float> project(const std::vector<float> & hidden,
                               const std::vector<float> & known_hidden,
                               const std::vector<float> & known_logits) override;

    cell_use cells() const override { return { data->n_cells, ledger.peak() }; }

    // While this thread waits for something that no decode brings, the others need not wait for it.
    void leave();
    void come_back();

  private:
    scheduler &                           shared;
    std::shared_ptr<scheduler::slot_data> data;
    int32_t                               n_wider = 0;  // sequences beside those that were reserved
    kv_ledger                             ledger;

    void appended(const std::vector<decode_item> & items);
};

}  // namespace ig
