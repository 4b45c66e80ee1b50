// device_rows.h owns what is made of a step's rows where the model runs, inside llama.cpp's own graph: the most probable
// tokens with their logits, the log-sum-exp, and what a critic says of each row. Only that is copied to the host; a whole row is copied
// when it is asked for. It hangs in the graph as backend samplers, one per sequence, that sample nothing.
#pragma once

#include "engine/graph_critic.h"
#include "llama-cpp.h"
#include "serving/decoder.h"

#include <mutex>

namespace ig {

class device_rows {
  public:
    device_rows(int32_t n_vocab, const graph_critic * critic);

    // From now on the context's outputs are cut down. False where the device lacks an operation, or is no GPU and has to be
    // one: nothing has changed.
    bool attach(llama_context * context, int32_t n_sequences, bool only_gpu);

    // The context's outputs are copied to the host whole again.
    void detach(llama_context * context);

    // Before a decode: whether the critic is asked, and what it reads beside the model's outputs, [n_rows, n_critic_inputs].
    void expect(bool asks_critic, const std::vector<float> & critic_inputs);

    // After a decode of so many outputs: copies their heads to the host. False where the graph lacks what is read.
    bool copy_to_host(size_t n_rows);

    row_head      head(size_t row) const;
    const float * critic_output(size_t row) const;     // [n_critic_outputs], null where the critic was not asked
    void          whole_row(size_t row, float * out);  // [n_vocab], from any thread

  private:
    struct hook;

    const int32_t        n_vocab;
    const int32_t        n_head;
    const graph_critic * critic;

    std::vector<llama_sampler_ptr> chains;

    // of the graph that was built last
    bool          built         = false;
    ggml_tensor * logits        = nullptr;
    ggml_tensor * top_tokens    = nullptr;
    ggml_tensor * top_logits    = nullptr;
    ggml_tensor * first_log_p   = nullptr;  // of the most probable token, [1, n]
    ggml_tensor * critic_tensor = nullptr;
    ggml_tensor * inputs_tensor = nullptr;

    bool                 wants_critic = false;
    std::vector<float>   given_inputs;
    std::vector<int32_t> host_tokens;
    std::vector<float>   host_logits;
    std::vector<float>   host_log_p;
    std::vector<float>   host_critic_output;
    std::mutex           copying;

    std::vector<std::pair<float, int32_t>> order;  // of the head of a row

    ggml_backend_dev_t device = nullptr;           // that makes the outputs

    struct cut_rows {
        ggml_tensor * p;      // [n_vocab, n]
        ggml_tensor * order;  // [n_head, n] of the most probable tokens
        ggml_tensor * log_p;  // [n_head, n] in order
    };

    bool     device_fits(bool only_gpu);
    void     forget_graph();
    cut_rows cut_down(ggml_context * ctx, ggml_cgraph * graph, ggml_tensor * outputs);
    void     add_critic(ggml_context * ctx, ggml_cgraph * graph, ggml_tensor * hidden, const cut_rows & cut);
    void     build(ggml_context * ctx, ggml_cgraph * graph);
    void     set_inputs();
};

}  // namespace ig
