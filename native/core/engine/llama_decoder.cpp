#include "engine/llama_decoder.h"

#include "engine/llama_backend.h"

#include <algorithm>
#include <cmath>

namespace ig {

llama_decoder::llama_decoder(loaded_model &                   model,
                             std::shared_ptr<ggml_threadpool> threads,
                             const decoder_options &          options) :
    model(model),
    options(options),
    with_hidden(!llama_model_is_recurrent(model.get()) && !llama_model_is_hybrid(model.get())),
    threads(std::move(threads)),
    team(this->threads, options.n_threads),
    batch(llama_batch_init(tokens_per_decode, 0, 1)),
    whole_rows(n_row_threads()) {}

llama_decoder::~llama_decoder() {
    llama_batch_free(batch);
}

// What the cache holds is copied to the host while it moves.
void llama_decoder::check_memory(int64_t more_cells, uint64_t copied_bytes) const {
    memory_need       cells = model.memory_for(more_cells, available_bytes);
    const memory_need copy  = { copied_bytes, available_bytes };
    if (model.first_gpu() == nullptr) {
        cells.needed_bytes += copied_bytes;
    }
    for (const memory_need & need : { cells, copy }) {
        if (!need.fits()) {
            throw error(
                "KV_CAPACITY",
                format("this generation needs %.1f GiB more for the KV cache, but %.1f GiB of memory are free; lower "
                       "candidates, beams, blockLength or maxTokens",
                       need.needed_gib(), need.free_gib()));
        }
    }
}

int64_t llama_decoder::make_room(int32_t sequences, int64_t cells) {
    if (options.max_cells > 0 && cells > options.max_cells) {
        throw error(
            "KV_CAPACITY",
            format("this generation needs %lld KV cells (prompt + live beams and candidates), but kvCells allows "
                   "%lld; raise kvCells or lower candidates, beams, blockLength or maxTokens",
                   (long long) cells, (long long) options.max_cells));
    }
    if (context && sequences <= n_sequences && cells <= n_cells) {
        return usable_cells();
    }
    const int32_t  old_sequences = n_sequences;
    const int64_t  old_cells     = n_cells;
    const uint64_t n_bytes       = held_bytes();
    check_memory(std::max(cells, old_cells) - old_cells, n_bytes);
    const held_tokens held = save_held(n_bytes);
    try {
        reopen(std::max(sequences, old_sequences), std::max(cells, old_cells), held);
    } catch (...) {
        if (old_sequences > 0) {
            put_back(old_sequences, old_cells, held);
        } else {
            lose_context();
        }
        throw;
    }
    return usable_cells();
}

// llama.cpp rounds the requested size up.
int64_t llama_decoder::usable_cells() const {
    return options.max_cells > 0 ? std::min(n_cells, options.max_cells) : n_cells;
}

void llama_decoder::put_back(int32_t sequences, int64_t cells, const held_tokens & held) {
    try {
        reopen(sequences, cells, held);
    } catch (...) {
        lose_context();
        throw error("OUT_OF_MEMORY",
                    "there is not enough memory for a larger KV cache, nor any more for the one there was; run fewer "
                    "generations at once, or lower candidates, beams or maxTokens");
    }
}

void llama_decoder::reopen(int32_t sequences, int64_t cells, const held_tokens & held) {
    lose_context();
    make_context(sequences, cells);
    restore(held);
}

// 0 if nothing is held.
uint64_t llama_decoder::held_bytes() const {
    if (std::all_of(lengths.begin(), lengths.end(), [](int32_t n) { return n == 0; })) {
        return 0;
    }
    clear_llama_errors();
    const size_t n_bytes = llama_state_get_size(context.get());
    if (n_bytes == 0) {
        throw error("KV_CAPACITY",
                    "llama.cpp could not save the KV cache to move it to a larger one: " + llama_errors());
    }
    return n_bytes;
}

llama_decoder::held_tokens llama_decoder::save_held(uint64_t n_bytes) {
    held_tokens held = { lengths, {} };
    try {
        held.state.resize(n_bytes);
    } catch (const std::bad_alloc &) {
        throw error("KV_CAPACITY",
                    "there is not enough memory to move the KV cache to a larger one; run fewer generations at once");
    }
    clear_llama_errors();
    if (n_bytes > 0 && llama_state_get_data(context.get(), held.state.data(), n_bytes) != n_bytes) {
        throw error("KV_CAPACITY",
                    "llama.cpp could not save the KV cache to move it to a larger one: " + llama_errors());
    }
    return held;
}

void llama_decoder::restore(const held_tokens & held) {
    if (held.state.empty()) {
        return;
    }
    size_t n_read = 0;
    try {
        n_read = llama_state_set_data(context.get(), held.state.data(), held.state.size());
    } catch (const std::exception &) {
    }
    if (n_read != held.state.size()) {
        throw error("KV_CAPACITY", "llama.cpp could not move the KV cache to a larger one: " + llama_errors());
    }
    std::copy(held.lengths.begin(), held.lengths.end(), lengths.begin());
}

void llama_decoder::lose_context() {
    context.reset();
    rows.reset();
    n_sequences = 0;
    n_cells     = 0;
    lengths.clear();
}

void llama_decoder::make_context(int32_t sequences, int64_t cells) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx                = uint32_t(model.context_cells(cells, tokens_per_decode));
    params.n_batch              = tokens_per_decode;
    params.n_ubatch             = tokens_per_decode;
    params.n_seq_max            = sequences;
    params.n_outputs_max        = sequences;
    params.n_threads            = options.n_threads;
    params.n_threads_batch      = options.n_threads;
    params.kv_unified           = true;
    params.flash_attn_type      = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    params.embeddings           = false;
    if (tap) {
        tap->attach(params);
    }
    context = make_llama_context(model.get(), params, threads.get(), &current_cancel);
    if (!context) {
        throw error("KV_CAPACITY", format("llama.cpp could not create a context of %lld KV cells and %d sequences: %s",
                                          (long long) cells, sequences, llama_errors().c_str()));
    }
    if (llama_get_memory(context.get()) == nullptr) {
        context.reset();
        throw error("UNSUPPORTED_MODEL",
                    "expected a model that generates text left to right, but this one keeps no memory "
                    "of what it has read: it is an encoder or embedding model");
    }
    steering_is_set = steering.empty();
    n_sequences     = sequences;
    n_cells         = llama_n_ctx(context.get());
    lengths.assign(size_t(sequences), 0);
    if (options.rows != ROWS_ON_HOST && !cut_rows()) {
        rows.reset();
        if (options.rows == ROWS_ON_DEVICE) {
            lose_context();
            throw error("UNSUPPORTED_MODEL",
                        "expected a model whose outputs can be cut down on the device, but its architecture or the "
                        "device does not allow it; load it with outputs: \"auto\" or \"host\"");
        }
        options.rows = ROWS_ON_HOST;
    }
    rows_are_cut = rows != nullptr;
}

bool llama_decoder::cut_rows() {
    if (llama_model_is_recurrent(model.get())) {
        return false;  // a step may be split into several graphs
    }
    rows = std::make_unique<device_rows>(n_vocab(), on_device);
    if (!rows->attach(context.get(), n_sequences, /*only_gpu =*/options.rows == ROWS_AUTO)) {
        return false;
    }
    if (!cuts_proven) {
        cuts_proven = first_rows_are_cut();
    }
    if (!cuts_proven) {
        rows->detach(context.get());
    }
    return cuts_proven;
}

// Only a step shows whether the architecture's graph names the tensors needed, and whether non-adjacent sequences share
// a graph.
bool llama_decoder::first_rows_are_cut() {
    llama_set_embeddings(context.get(), with_hidden);
    rows->expect(/*asks_critic =*/true, {});
    const decode_item ends[] = {
        { 0,               0, 0 },
        { n_sequences - 1, 0, 0 }
    };
    const size_t n = n_sequences > 1 ? 2 : 1;
    decode(ends, n, /*outputs =*/true, cancel_flag());
    llama_memory_clear(llama_get_memory(context.get()), /*data =*/false);
    lengths.assign(size_t(n_sequences), 0);
    return rows->copy_to_host(n);
}

void llama_decoder::read_residual(const std::vector<int32_t> & layers) {
    if (!with_hidden) {
        throw error(
            "UNSUPPORTED_MODEL",
            "expected a model whose residual stream can be read token by token, got a recurrent one; use a cost "
            "model and a critic that read none");
    }
    tap = std::make_unique<residual_tap>(layers, llama_model_n_embd(model.get()));
}

void llama_decoder::steer(std::vector<float> directions) {
    if (directions != steering) {
        steering        = std::move(directions);
        steering_is_set = false;
    }
}

void llama_decoder::set_steering() {
    const int32_t n_layers = llama_model_n_layer(model.get());
    const int32_t width    = llama_model_n_embd(model.get());
    const float * data     = steering.empty() ? nullptr : steering.data();
    clear_llama_errors();
    if (llama_set_adapter_cvec(context.get(), data, steering.size(), width, 1, n_layers - 1) != 0) {
        throw error("UNSUPPORTED_MODEL",
                    "llama.cpp could not take the control vector for this model: " + llama_errors());
    }
    steering_is_set = true;
}

void llama_decoder::fork(seq_id from, seq_id to) {
    drop(to);
    llama_memory_seq_cp(llama_get_memory(context.get()), from, to, -1, -1);
    lengths[to] = lengths[from];
}

// To remove a sequence, even an empty one, llama.cpp visits all cells.
void llama_decoder::drop(seq_id seq) {
    if (lengths[seq] > 0) {
        llama_memory_seq_rm(llama_get_memory(context.get()), seq, -1, -1);
        lengths[seq] = 0;
    }
}

void llama_decoder::cut(seq_id seq, int32_t length) {
    llama_memory_seq_rm(llama_get_memory(context.get()), seq, length, -1);
    lengths[seq] = length;
}

void llama_decoder::extend(const std::vector<decode_item> & items,
                           const residual_processor &       process,
                           const cancel_flag &              cancel) {
    if (items.empty()) {
        return;
    }
    llama_set_embeddings(context.get(), false);
    for (size_t begin = 0; begin < items.size(); begin += tokens_per_decode) {
        const size_t n = std::min<size_t>(tokens_per_decode, items.size() - begin);
        decode(&items[begin], n, false, cancel);
        for (size_t i = 0; i < n; ++i) {
            if (const float * residual = residual_of(i)) {
                process(begin + i, residual);
            }
        }
    }
}

// The critic's part of the graph comes and goes with the hidden states. Their setting makes llama.cpp rebuild the
// graph.
void llama_decoder::step(const std::vector<decode_item> & items,
                         const step_wishes &              wishes,
                         const row_processor &            process,
                         const cancel_flag &              cancel) {
    const bool asks_critic = n_critic_outputs() > 0 && wishes.critic_output;
    llama_set_embeddings(context.get(), with_hidden && (wishes.hidden || asks_critic));
    if (rows) {
        rows->expect(asks_critic || wishes.hidden || !with_hidden, wishes.critic_inputs);
    }
    decode(items.data(), items.size(), true, cancel);
    if (rows && !rows->copy_to_host(items.size())) {
        throw error("INTERNAL", "a step's outputs were not cut down on the device as the first one's were");
    }
    host_logits = rows ? nullptr : llama_get_logits(context.get());  // reorders rows: not safe on several threads
    const float * hidden = wishes.hidden && with_hidden ? llama_get_embeddings(context.get()) : nullptr;
    const auto    read   = [&](size_t i, size_t thread) {
        output_row row = {
            i, i, thread, {}, hidden != nullptr ? hidden + i * size_t(n_embd()) : nullptr, nullptr, residual_of(i)
        };
        if (rows) {
            row.head          = rows->head(i);
            row.critic_output = asks_critic ? rows->critic_output(i) : nullptr;
        }
        process(row);
    };
    team.run(items.size(), std::ref(read));
}

void llama_decoder::decode(const decode_item * items, size_t n, bool outputs, const cancel_flag & cancel) {
    cancel.check();
    if (!steering_is_set) {
        set_steering();
    }
    if (n == 0 || n > size_t(tokens_per_decode) || (outputs && n > size_t(n_sequences))) {
        throw error("INTERNAL", format("a step of %zu tokens was asked of a context for %d sequences", n, n_sequences));
    }
    batch.n_tokens = int32_t(n);
    for (size_t i = 0; i < n; ++i) {
        if (items[i].seq < 0 || items[i].seq >= n_sequences || items[i].token < 0 || items[i].token >= n_vocab()) {
            throw error("INTERNAL", format("token %d of sequence %d is out of range", items[i].token, items[i].seq));
        }
        batch.token[i]     = items[i].token;
        batch.pos[i]       = items[i].position;
        batch.n_seq_id[i]  = 1;
        batch.seq_id[i][0] = items[i].seq;
        batch.logits[i]    = outputs;
    }
    if (tap) {
        tap->expect(items, n);
    }
    current_cancel =
        with_hidden ? &cancel : nullptr;  // within a decode, recurrent memory moves other sequences' states
    const int32_t status = decode_batch(context.get(), batch);
    current_cancel       = nullptr;
    if (status == 0) {
        for (size_t i = 0; i < n; ++i) {
            lengths[items[i].seq] = items[i].position + 1;
        }
        model.check_files();
        if (tap) {
            tap->check();
        }
        return;
    }
    repair();
    cancel.check();
    switch (status) {
        case 1:
            throw error("KV_CAPACITY", "the KV cache is full; lower candidates, beams, blockLength or maxTokens");
        case -1:
            throw error("INTERNAL", "llama.cpp rejected a batch: " + llama_errors());
        case -2:
            throw error("OUT_OF_MEMORY", "llama.cpp could not allocate memory for a step; lower candidates");
        default:
            throw error("DECODE_FAILED",
                        format("llama.cpp failed to compute a step (%d): %s", status, llama_errors().c_str()));
    }
}

void llama_decoder::repair() {
    llama_memory_t memory = llama_get_memory(context.get());
    for (seq_id seq = 0; seq < n_sequences; ++seq) {
        if (llama_memory_seq_pos_max(memory, seq) >= lengths[seq] &&
            !llama_memory_seq_rm(memory, seq, lengths[seq], -1)) {
            llama_memory_seq_rm(memory, seq, -1, -1);  // recurrent memory cannot be cut: drop the sequence
            lengths[seq] = 0;
        }
    }
}

const float * llama_decoder::logits(const output_row & row) {
    if (!rows) {
        return host_logits + row.place * size_t(n_vocab());
    }
    std::vector<float> & whole = whole_rows[row.thread];
    whole.resize(size_t(n_vocab()));
    rows->whole_row(row.place, whole.data());
    return whole.data();
}

// An architecture may change logits after the matrix (caps, scales, biases). Therefore the first projection is compared
// with llama.cpp's logits for a hidden state.
std::vector<float> llama_decoder::project(const std::vector<float> & states,
                                          const std::vector<float> & known_hidden,
                                          const std::vector<float> & known_logits) {
    if (!with_hidden) {
        throw error("UNSUPPORTED_MODEL",
                    "expected a model that gives hidden states for gradient steps on them, got a recurrent one");
    }
    if (!head) {
        model.expect_loaded_file();
        auto made = std::make_unique<output_head>(model.path(), n_embd(), n_vocab(), options.n_threads);
        model.expect_loaded_file();
        const std::vector<float> ours      = made->logits(known_hidden);
        const auto               ends      = std::minmax_element(known_logits.begin(), known_logits.end());
        const float              tolerance = 0.02f * std::max(1.0f, *ends.second - *ends.first);
        for (int32_t i = 0; i < n_vocab(); ++i) {
            if (!(std::abs(ours[i] - known_logits[i]) <= tolerance)) {
                throw error("UNSUPPORTED_MODEL",
                            "expected logits that are the output matrix times the hidden state for gradient "
                            "steps on it, but this architecture changes them afterwards");
            }
        }
        head = std::move(made);
    }
    return head->logits(states);
}

}  // namespace ig
