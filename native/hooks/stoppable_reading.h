// stoppable_reading.h owns how another thread stops llama.cpp while it tokenises, which may take minutes for a long text.
// A patch has llama.cpp look for it in its loops over texts.
#pragma once

#include <atomic>
#include <exception>

// Throws what derives from std::exception once this thread's reading is to stop.
void llama_look_for_stop();

// While one lives, what this thread tokenises stops once `stop` is set. Null: it does not.
class llama_stoppable_reading {
  public:
    explicit llama_stoppable_reading(const std::atomic<bool> * stop);
    ~llama_stoppable_reading();

    llama_stoppable_reading(const llama_stoppable_reading &)             = delete;
    llama_stoppable_reading & operator=(const llama_stoppable_reading &) = delete;

  private:
    const std::atomic<bool> * before;
};
