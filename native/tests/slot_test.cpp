#include "serving/slot.h"

#include "tabular.h"

#include <doctest/doctest.h>

using namespace ig;

namespace {

const cancel_flag not_cancelled;

// Serves every request at once, on the search's own thread.
class direct_server : public slot_server {
  public:
    std::vector<slot_state>          states;  // successive states of the slots
    std::function<void(slot_data &)> serving = [](slot_data &) {
    };

    void serve_request(const std::shared_ptr<slot_data> & data, slot_state waits_as) override {
        change_state(*data, waits_as);
        serving(*data);
        change_state(*data, SLOT_COMPUTING);
    }

    void change_state(slot_data & data, slot_state next) override {
        data.move_to(next);
        states.push_back(next);
    }
};

struct one_slot {
    tabular_model              model;
    tabular_decoder            decoder{ model };
    direct_server              server;
    std::shared_ptr<slot_data> data = std::make_shared<slot_data>();
    std::unique_ptr<slot>      search;

    one_slot() : search(std::make_unique<slot>(server, decoder, data)) {}

    void step(const std::vector<decode_item> & items) {
        search->step(items, {}, [](const output_row &) {}, not_cancelled);
    }

    template <typename F> static std::string code_of(F work) {
        try {
            work();
        } catch (const error & e) {
            return e.code;
        }
        return "";
    }
};

const std::vector<slot_state> all_states = { SLOT_COMPUTING, SLOT_WAITING_FOR_CELLS, SLOT_READY, SLOT_AWAY,
                                             SLOT_CLOSED };

}  // namespace

TEST_CASE("a slot's states follow its search") {
    one_slot one;
    one.search->reserve({ 1, 10 }, { 1, 2 }, not_cancelled);
    one.data->holding.reserved = { 1, 10 };
    one.step({
        { 0, 0, 1 }
    });
    one.search->leave();
    one.search->come_back();
    one.search->extend(
        {
            { 0, 1, 2 }
    },
        nullptr, not_cancelled);
    one.search.reset();
    CHECK(one.server.states == std::vector<slot_state>{ SLOT_WAITING_FOR_CELLS, SLOT_COMPUTING, SLOT_READY,
                                                        SLOT_COMPUTING, SLOT_AWAY, SLOT_COMPUTING, SLOT_READY,
                                                        SLOT_COMPUTING, SLOT_CLOSED });
}

TEST_CASE("a slot that is away has to come back before it asks for anything") {
    one_slot one;
    one.search->leave();
    CHECK(one_slot::code_of([&] {
              one.step({
                  { 0, 0, 1 }
              });
          }) == "INTERNAL");
    CHECK(one_slot::code_of([&] { one.search->leave(); }) == "INTERNAL");
    one.search->come_back();
    CHECK(one_slot::code_of([&] { one.search->come_back(); }) == "INTERNAL");
}

TEST_CASE("only computing waits for something, everything may end, and nothing follows the end") {
    for (slot_state from : all_states) {
        CHECK(leads_to(from, SLOT_CLOSED) == (from != SLOT_CLOSED));
        CHECK(leads_to(from, SLOT_COMPUTING) == (from != SLOT_CLOSED && from != SLOT_COMPUTING));
        for (slot_state to : { SLOT_WAITING_FOR_CELLS, SLOT_READY, SLOT_AWAY }) {
            CHECK(leads_to(from, to) == (from == SLOT_COMPUTING));
        }
    }
}

TEST_CASE("what a search does to its sequences comes in order with its next request") {
    one_slot               one;
    std::vector<kv_change> seen;
    one.server.serving = [&](slot_data & data) {
        data.holding.reserved = { 3, 100 };
        seen.swap(data.holding.changes);
    };
    one.search->reserve({ 3, 100 }, { 1 }, not_cancelled);
    one.search->fork(0, 1);
    one.search->cut(0, 0);
    one.search->drop(1);
    CHECK(seen.empty());
    one.step({
        { 0, 0, 1 }
    });
    REQUIRE(seen.size() == 3);
    CHECK(seen[0].kind == CHANGE_FORK);
    CHECK(seen[0].to == 1);
    CHECK(seen[1].kind == CHANGE_CUT);
    CHECK(seen[2].kind == CHANGE_DROP);
    CHECK(seen[2].seq == 1);
}

TEST_CASE("a search may hold as many cells as it reserved, and not one more") {
    for (int32_t n_cells : { 1, 5 }) {
        one_slot one;
        one.server.serving = [&](slot_data & data) {
            data.holding.reserved = { 1, n_cells };
        };
        one.search->reserve({ 1, n_cells }, { 1 }, not_cancelled);
        for (int32_t i = 0; i < n_cells; ++i) {
            one.step({
                { 0, i, 1 }
            });
        }
        CHECK(one_slot::code_of([&] {
                  one.step({
                      { 0, n_cells, 1 }
                  });
              }) == "INTERNAL");
    }
}

TEST_CASE("a search that was stopped asks for nothing more") {
    one_slot    one;
    cancel_flag stopped;
    stopped.requested = true;
    CHECK(one_slot::code_of([&] {
              one.search->extend(
                  {
                      { 0, 0, 1 }
              },
                  nullptr, stopped);
          }) == "ABORTED");
    CHECK(one_slot::code_of([&] {
              one.search->step(
                  {
                      { 0, 0, 1 }
              },
                  {}, [](const output_row &) {}, stopped);
          }) == "ABORTED");
    CHECK(one_slot::code_of([&] { one.search->widen(1, stopped); }) == "ABORTED");
    CHECK(one.server.states.empty());
}
