// assertions.h owns what happens if an assertion of ggml or llama.cpp fails. By default, that ends the process. On a
// thread that asks for it, it throws std::runtime_error instead, through C code that is compiled to let exceptions
// pass. It does not throw while several threads compute together, since the others would wait forever for the one that
// threw. A patch makes ggml report when they do.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// Between these two calls, failed assertions of this thread end the process.
void ggml_hold_assertions(void);
void ggml_release_assertions(void);

#ifdef __cplusplus
}

// Once per process.
void ggml_watch_assertions();

// While an instance exists, failed assertions of this thread throw.
class ggml_throwing_assertions {
  public:
    ggml_throwing_assertions();
    ~ggml_throwing_assertions();

    ggml_throwing_assertions(const ggml_throwing_assertions &)             = delete;
    ggml_throwing_assertions & operator=(const ggml_throwing_assertions &) = delete;

  private:
    bool before;
};
#endif
