// slot.h owns a search's place in the batch. To the search, a slot is a whole decoder. Its calls become requests that a
// scheduler serves. It is used from one thread, which may be any. The slot's state determines who may write its data,
// the search's thread or the scheduler's:
//
//     COMPUTING -- a request ------> READY or WAITING_FOR_CELLS -- served ----> COMPUTING
//     COMPUTING -- leave ----------> AWAY ----------------------- come_back --> COMPUTING
//     any state -- it is deleted --> CLOSED
//
// The search's thread may write while the state is COMPUTING or AWAY, the scheduler's in the other states.
#pragma once

#include "serving/kv_allocator.h"
#include "serving/kv_ledger.h"

#include <condition_variable>
#include <exception>
#include <memory>

namespace ig {

enum slot_state {
    SLOT_COMPUTING,          // the search runs on its own thread
    SLOT_WAITING_FOR_CELLS,  // until its planned cells can be reserved
    SLOT_READY,              // for the next batch
    SLOT_AWAY,               // the search waits for something other than a batch, such as a function of the caller
    SLOT_CLOSED,             // the search is over
};

// Whether the transition is allowed.
bool leads_to(slot_state from, slot_state to);

enum request_kind { REQUEST_RESERVE, REQUEST_WIDEN, REQUEST_EXTEND, REQUEST_STEP, REQUEST_CALL };

// a search's request; its pointers stay valid until it is served
struct slot_request {
    request_kind                  kind   = REQUEST_CALL;
    const cancel_flag *           cancel = nullptr;  // null: it cannot be cancelled
    const std::vector<token_id> * prompt = nullptr;  // of a reservation
    int32_t n_wished                     = 0;  // sequences besides the search's own; when served, the number available
    const std::vector<decode_item> * items            = nullptr;  // of an extension or a step
    size_t                           n_extended       = 0;        // of the items
    const residual_processor *       process_residual = nullptr;  // of an extension
    const step_wishes *              wishes           = nullptr;
    const row_processor *            process          = nullptr;
    const std::function<void()> *    call             = nullptr;
};

// data that both threads use
struct slot_data {
    slot_state              state = SLOT_COMPUTING;
    std::condition_variable served;
    std::exception_ptr      failure;  // of the last request
    slot_request            request;
    kv_holding              holding;
    size_t                  n_critic_outputs = 0;   // of the decoder, when the slot was last served
    int64_t                 n_cells          = 0;   // of the decoder, likewise
    uint64_t                n_arrived        = 0;   // its number in the queue for cells
    seq_id                  kept             = -1;  // sequence that moves to the prefix cache; -1: none
    std::vector<token_id>   kept_tokens;

    // Throws INTERNAL if the transition is not allowed.
    void move_to(slot_state next);

    // Throws ABORTED.
    void check_cancel() const;

    bool is_cancelled() const { return request.cancel != nullptr && request.cancel->requested; }
};

// serves slots
class slot_server {
  public:
    virtual ~slot_server() = default;

    // Returns once the slot's request is served. Throws what the request threw.
    virtual void serve_request(const std::shared_ptr<slot_data> & data, slot_state waits_as) = 0;

    virtual void change_state(slot_data & data, slot_state next) = 0;
};

class slot : public decoder {
  public:
    slot(slot_server & server, real_decoder & real, std::shared_ptr<slot_data> data) :
        server(server),
        real(real),
        data(std::move(data)) {}

    ~slot() override;

    int32_t n_vocab() const override { return real.n_vocab(); }

    int32_t n_embd() const override { return real.n_embd(); }

    bool is_end(token_id token) const override { return real.is_end(token); }

    const std::string & piece(token_id token) override { return real.piece(token); }

    int32_t max_sequences() const override { return real.max_sequences(); }

    size_t n_row_threads() const override { return real.n_row_threads(); }

    size_t n_residual() const override { return real.n_residual(); }

    bool can_cut() const override { return real.can_cut(); }

    int32_t reserve(const kv_plan & plan, const std::vector<token_id> & prompt, const cancel_flag & cancel) override;
    int32_t widen(int32_t n, const cancel_flag & cancel) override;
    void    fork(seq_id from, seq_id to) override;
    void    drop(seq_id seq) override;
    void    cut(seq_id seq, int32_t length) override;
    void    keep(seq_id seq, std::vector<token_id> tokens) override;
    void    extend(const std::vector<decode_item> & items,
                   const residual_processor &       process,
                   const cancel_flag &              cancel) override;
    void    step(const std::vector<decode_item> & items,
                 const step_wishes &              wishes,
                 const row_processor &            process,
                 const cancel_flag &              cancel) override;

    const float * logits(const output_row & row) override { return real.logits(row); }

    size_t n_critic_outputs() const override { return data->n_critic_outputs; }

    std::vector<float> project(const std::vector<float> & hidden,
                               const std::vector<float> & known_hidden,
                               const std::vector<float> & known_logits) override;

    cell_use cells() const override { return { data->n_cells, ledger.peak() }; }

    // Runs `work` on the decoder's thread, between batches.
    void call(const std::function<void()> & work, const cancel_flag & cancel);

    // While the search waits for something other than a batch, other searches do not wait for it.
    void leave();
    void come_back();

  private:
    slot_server &              server;
    real_decoder &             real;
    std::shared_ptr<slot_data> data;
    int32_t                    n_wider = 0;  // sequences besides the planned ones
    kv_ledger                  ledger;

    void request(slot_request wanted);
    void appended(const std::vector<decode_item> & items);
};

}  // namespace ig
