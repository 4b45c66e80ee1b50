// bounded_wait.h is included in front of ggml's threads (ggml-cpu.c): where they would wait on a CPU as long as it takes, they do so
// for a while and then let others have it. It tells ggml's function that relaxes a waiting CPU from its calls, by what stands between
// the parentheses.
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

static inline void ggml_relax_cpu(void);

static inline void ggml_relax_or_sleep(void) {
    ggml_relax_cpu();
    if (++ggml_wait_turns % 32 == 0) {  // barriers take less: nothing but this may stand in their way
        ggml_wait_bounded();
    }
}

#    define ggml_thread_cpu_relax(parameters) ggml_thread_cpu_relax_##parameters
#    define ggml_thread_cpu_relax_void        ggml_relax_cpu(void)   // its definition
#    define ggml_thread_cpu_relax_            ggml_relax_or_sleep()  // a call
#endif
