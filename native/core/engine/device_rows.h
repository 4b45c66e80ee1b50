// device_rows.h owns the reduction of a step's rows on the model's device, inside llama.cpp's own graph: the most
// probable tokens with their logits, the log-sum-exp, and the critic's output for each row. Only these are copied to
// the host; a whole row is copied on request. It is implemented as backend samplers, one per sequence, that sample
// nothing: the only hook by which llama.cpp adds nodes to its graph.
#pragma once

#include "engine/graph_critic.h"
#include "llama-cpp.h"
#include "serving/decoder.h"

#include <mutex>

namespace ig {

class device_rows {
  public:
    device_rows(int32_t n_vocab, const graph_critic * critic);

    // Starts the reduction of the context's outputs. False if the device lacks an operation, or only_gpu is set and it
    // is not a GPU. Then nothing has changed.
    bool attach(llama_context * context, int32_t n_sequences, bool only_gpu);

    // Ends the reduction: whole outputs are copied to the host again.
    void detach(llama_context * context);

    // Before a decode: whether the critic is asked, and what it reads besides the model's outputs, [n_rows,
    // n_critic_inputs].
    void expect(bool asks_critic, const std::vector<float> & critic_inputs);

    // After a decode of n_rows outputs: copies their heads to the host. False if the graph lacks what is read.
    bool copy_to_host(size_t n_rows);

    row_head      head(size_t row) const;
    const float * critic_output(size_t row) const;     // [n_critic_outputs]; null if the critic was not asked
    void          whole_row(size_t row, float * out);  // [n_vocab], from any thread

  private:
    struct hook;

    const int32_t        n_vocab;
    const int32_t        n_head;
    const graph_critic * critic;

    std::vector<llama_sampler_ptr> chains;

    // of the last graph
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

    std::vector<std::pair<float, int32_t>> order;  // of a row's head

    ggml_backend_dev_t device = nullptr;           // that computes the outputs

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
