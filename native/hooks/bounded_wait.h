// bounded_wait.h owns the limit on how long a ggml thread keeps its CPU while it waits for others. A patch counts the
// turns of ggml's wait loops, which give the CPU up after a while.
#pragma once

#ifdef __cplusplus
extern "C"
#endif
    void ggml_wait_bounded(void);  // called now and then by a thread that waits for others in a loop

#ifndef __cplusplus
#    ifdef _MSC_VER
static __declspec(thread) unsigned ggml_wait_turns;
#    else
static _Thread_local unsigned ggml_wait_turns;
#    endif

// One turn of a loop that waits for other threads.
static inline void ggml_wait_turn(void) {
    if (++ggml_wait_turns % 32 == 0) {  // barriers are shorter, and nothing else may delay them
        ggml_wait_bounded();
    }
}
#endif
