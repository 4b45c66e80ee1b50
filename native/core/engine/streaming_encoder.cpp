#include "engine/streaming_encoder.h"

#include "support/error.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace ig {

namespace {

const size_t      most_bytes    = 128 << 20;     // limit of the cache
const size_t      rows_per_pass = 512;           // a pass with this many rows takes no further text
const ggml_fp16_t visible = 0, hidden = 0xFC00;  // 0 and minus infinity in half precision

size_t tokens_held(const encoder_weights & weights) {
    const size_t states = 2 * weights.n_layers() * sizeof(ggml_fp16_t), sums = weights.members.size() * sizeof(float);
    return most_bytes / ((states + sums) * size_t(weights.width));
}

bool contains(const std::vector<stretch *> & some, const stretch * s) {
    return std::find(some.begin(), some.end(), s) != some.end();
}

void mark_held(stretch & unread, std::vector<stretch *> & held) {
    size_t n = unread.n_of_parent;
    for (stretch * s = unread.parent; s != nullptr; n = s->n_of_parent, s = s->parent) {
        if (s->said.empty()) {
            continue;
        }
        if (contains(held, s)) {
            s->n_rows = std::max(s->n_rows, n);
        } else {
            s->n_rows = n;
            held.push_back(s);
        }
    }
}

}  // namespace

streaming_encoder::streaming_encoder(const tensor_file &              file,
                                     std::shared_ptr<ggml_threadpool> threads,
                                     int32_t                          n_threads,
                                     std::mutex &                     computing) :
    weights(file),
    graph(weights, std::move(threads), n_threads),
    memory(tokens_held(weights)),
    computing(computing) {}

std::vector<encoder_verdict> streaming_encoder::read(const std::vector<encoder_text> & texts,
                                                     const cancel_flag *               cancel) {
    const std::lock_guard<std::mutex> guard(computing);
    std::vector<encoder_verdict>      verdicts;
    while (verdicts.size() < texts.size()) {
        if (cancel != nullptr) {
            cancel->check();
        }
        try {
            read_some(texts, verdicts);
        } catch (...) {
            memory.clear();  // planned stretches were not read
            throw;
        }
        memory.shrink();
    }
    return verdicts;
}

// Reads as many of the texts without a verdict as fit into one pass.
void streaming_encoder::read_some(const std::vector<encoder_text> & texts, std::vector<encoder_verdict> & verdicts) {
    memory.tick();
    pass                         p;
    std::vector<const stretch *> ends;
    for (size_t i = verdicts.size(); i < texts.size() && p.n_new < rows_per_pass; ++i) {
        ends.push_back(&plan(texts[i], p));
    }
    if (!p.unread.empty()) {
        compute(p);
        keep(p);
    }
    for (const stretch * end : ends) {
        encoder_verdict verdict;
        const auto      n = std::ptrdiff_t(weights.n_outputs);
        for (auto said = end->said.begin(); said != end->said.end(); said += n) {
            verdict.response.emplace_back(said, said + n);
        }
        verdict.prompt = end->prompt().said;
        verdicts.push_back(std::move(verdict));
    }
}

// The stretch that ends where the text ends.
stretch & streaming_encoder::plan(const encoder_text & text, pass & p) {
    const auto add_to_pass = [&](stretch & s) {
        s.n_rows = s.tokens.size();
        p.n_new += s.n_rows;
        p.unread.push_back(&s);
    };
    stretch & prompt = memory.tree_of(*text.prompt);
    if (prompt.said.empty() && !contains(p.unread, &prompt)) {
        add_to_pass(prompt);
    }
    place  behind  = memory.longest_beginning(prompt, text.response);
    size_t n_known = behind.in->position + behind.n - prompt.end();
    if (n_known == text.response.size()) {
        if (behind.n == behind.in->tokens.size()) {
            return *behind.in;
        }
        --n_known;  // the heads' output at the last token is unknown
        behind = behind.n > 1 ? place{ behind.in, behind.n - 1 } : place{ behind.in->parent, behind.in->n_of_parent };
    }
    stretch & rest = memory.add(behind, { text.response.begin() + std::ptrdiff_t(n_known), text.response.end() });
    add_to_pass(rest);
    return rest;
}

void streaming_encoder::compute(pass & p) {
    for (stretch * s : p.unread) {
        mark_held(*s, p.held);
    }
    for (stretch * s : p.held) {
        s->row = p.n_past;
        p.n_past += s->n_rows;
    }
    size_t n_rows = p.n_past;
    for (stretch * s : p.unread) {
        s->row = n_rows;
        n_rows += s->n_rows;
    }
    graph.begin(p.n_past, p.n_new);
    const size_t width = size_t(weights.width);
    for (const stretch * s : p.held) {
        for (size_t kind = 0; kind < graph.n_states(); ++kind) {
            graph.set_states(kind, s->row, s->n_rows, &s->states[kind * s->tokens.size() * width]);
        }
    }
    std::vector<int32_t>     tokens, positions;
    std::vector<ggml_fp16_t> mask(p.n_new * n_rows, hidden);
    for (const stretch * s : p.unread) {
        for (size_t i = 0; i < s->n_rows; ++i) {
            ggml_fp16_t * seen = &mask[tokens.size() * n_rows];
            size_t        n    = s->parent == nullptr ? s->n_rows : i + 1;  // a prompt attends in both directions
            for (const stretch * at = s; at != nullptr; n = at->n_of_parent, at = at->parent) {
                std::fill_n(seen + at->row, n, visible);
            }
            tokens.push_back(s->tokens[i]);
            positions.push_back(int32_t(s->position + i));
        }
    }
    graph.compute(tokens, positions, mask);
}

void streaming_encoder::keep(const pass & p) {
    std::vector<std::vector<float>> outputs;
    for (size_t m = 0; m < weights.members.size(); ++m) {
        outputs.push_back(graph.output(m));
    }
    const size_t width = size_t(weights.width);
    for (stretch * s : p.unread) {
        s->states.resize(graph.n_states() * s->n_rows * width);
        for (size_t kind = 0; kind < graph.n_states(); ++kind) {
            graph.get_states(kind, s->row, s->n_rows, &s->states[kind * s->n_rows * width]);
        }
        const size_t row = s->row - p.n_past;
        add_up(*s, row, outputs);
        speak(*s, row, outputs);
    }
}

// Adds up the states of a response to a sum for each token.
void streaming_encoder::add_up(stretch & s, size_t row, const std::vector<std::vector<float>> & outputs) const {
    if (s.parent == nullptr) {
        return;
    }
    const size_t             width = size_t(weights.width), n = outputs.size() * width;
    const std::vector<float> zero(n, 0);
    const float * before = s.parent->parent == nullptr ? zero.data() : &s.parent->sums[(s.n_of_parent - 1) * n];
    s.sums.resize(s.n_rows * n);
    for (size_t i = 0; i < s.n_rows; ++i) {
        float * sum = &s.sums[i * n];
        for (size_t m = 0; m < outputs.size(); ++m) {
            const float * state = &outputs[m][(row + i) * width];
            std::transform(state, state + width, before + m * width, sum + m * width, std::plus<float>());
        }
        before = sum;
    }
}

void streaming_encoder::speak(stretch & s, size_t row, const std::vector<std::vector<float>> & outputs) const {
    const size_t width    = size_t(weights.width);
    const size_t n_summed = s.end() - s.prompt().end();  // tokens of the response
    for (size_t m = 0; m < outputs.size(); ++m) {
        const encoder_member & member = weights.members[m];
        const float *          last   = &outputs[m][(row + s.n_rows - 1) * width];
        std::vector<float>     in(last, last + width);
        std::vector<float>     out;
        if (s.parent == nullptr) {
            out = member.prompt(in);
        } else {
            const float * sum = &s.sums[((s.n_rows - 1) * outputs.size() + m) * width];
            std::transform(sum, sum + width, std::back_inserter(in), [&](float x) { return x / float(n_summed); });
            std::vector<float> inner = member.hidden(in);
            std::transform(inner.begin(), inner.end(), inner.begin(), [](float x) { return std::tanh(x); });
            out = member.output(inner);
        }
        s.said.insert(s.said.end(), out.begin(), out.end());
    }
    if (!std::all_of(s.said.begin(), s.said.end(), [](float x) { return std::isfinite(x); })) {
        throw error("INVALID_COST_MODEL",
                    "expected finite numbers of the encoder that judges texts, got others; make its file again");
    }
}

}  // namespace ig
