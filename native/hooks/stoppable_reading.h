// stoppable_reading.h owns the way for another thread to stop llama.cpp while it tokenizes, which may take minutes for
// a long text. A patch makes llama.cpp check for it in its loops over text.
#pragma once

#include <atomic>
#include <exception>

// Throws an exception derived from std::exception if this thread should stop reading.
void llama_look_for_stop();

// While an instance exists, tokenization on this thread stops once `stop` is set. Null: it does not stop.
class llama_stoppable_reading {
  public:
    explicit llama_stoppable_reading(const std::atomic<bool> * stop);
    ~llama_stoppable_reading();

    llama_stoppable_reading(const llama_stoppable_reading &)             = delete;
    llama_stoppable_reading & operator=(const llama_stoppable_reading &) = delete;

  private:
    const std::atomic<bool> * before;
};
