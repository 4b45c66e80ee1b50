// bounded_wait.h owns how long a thread of ggml keeps its CPU while it waits for others: ggml's loops that wait, in which a patch counts
// the turns, give it up after a while.
#pragma once

#ifdef __cplusplus
extern "C"
#endif
    void ggml_wait_bounded(void);  // to be called now and then by a thread that turns in a loop and waits for others

#ifndef __cplusplus
#    ifdef _MSC_VER
static __declspec(thread) unsigned ggml_wait_turns;
#    else
static _Thread_local unsigned ggml_wait_turns;
#    endif

// One turn of a loop that waits for other threads.
static inline void ggml_wait_turn(void) {
    if (++ggml_wait_turns % 32 == 0) {  // barriers take less: nothing but this may stand in their way
        ggml_wait_bounded();
    }
}
#endif
