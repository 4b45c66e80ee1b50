// assertions.h owns what happens where an assertion of ggml or llama.cpp fails. By itself that ends the process. On a thread that
// asked for it, it throws std::runtime_error, through C code that is compiled to let it pass; but not while several threads compute
// together: the others would wait forever for the one that threw. ggml says when they do, by a patch.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// Between the two, failed assertions of this thread end the process.
void ggml_hold_assertions(void);
void ggml_release_assertions(void);

#ifdef __cplusplus
}

// Once per process.
void ggml_watch_assertions();

// While it lives, failed assertions of this thread throw.
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
