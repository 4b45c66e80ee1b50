#include "engine/causal_reader.h"

#include "engine/llama_backend.h"
#include "support/error.h"

#include <algorithm>
#include <cmath>

namespace ig {

namespace {

const size_t  widest_wave       = 64;   // texts
const size_t  narrowest_wave    = 8;
const int64_t room_to_grow      = 256;  // tokens per text that are not shared
const float   least_probability = 1e-30f;

// tokens that may come from elsewhere: the output of the last ones is asked for
size_t n_before_outputs(const token_sequence & s) {
    return s.tokens.size() - s.n_outputs;
}

}  // namespace

causal_reader::causal_reader(std::shared_ptr<loaded_model>    given,
                             std::shared_ptr<ggml_threadpool> threads,
                             int32_t                          n_threads,
                             text_output                      output) :
    reader_context(std::move(given), std::move(threads), n_threads, output) {
    if (llama_model_is_recurrent(model->get()) || llama_model_is_hybrid(model->get())) {
        throw error("UNSUPPORTED_MODEL",
                    "expected a model with attention alone to judge texts, got a recurrent or hybrid one, whose "
                    "memory cannot be cut back; choose another model");
    }
}

void causal_reader::read(const std::vector<token_sequence> & sequences, const row_function & row) {
    check(sequences);
    std::vector<reading> all;
    for (size_t i = 0; i < sequences.size(); ++i) {
        reading r;
        r.index    = i;
        r.sequence = &sequences[i];
        all.push_back(r);
    }
    // neighbours share the most
    std::stable_sort(all.begin(), all.end(),
                     [](const reading & a, const reading & b) { return a.sequence->tokens < b.sequence->tokens; });
    for (size_t begin = 0; begin < all.size(); begin += widest_wave) {
        const size_t end = std::min(all.size(), begin + widest_wave);
        read_wave(std::vector<reading>(all.begin() + begin, all.begin() + end), row);
    }
}

void causal_reader::read_wave(std::vector<reading> wave, const row_function & row) {
    const int32_t n_sequences = int32_t(2 * std::max(wave.size(), narrowest_wave));
    if (!context || n_sequences > shape.n_sequences) {
        int64_t longest = 0;
        for (const reading & r : wave) {
            longest = std::max(longest, int64_t(r.sequence->tokens.size()));
        }
        const int64_t cells = std::max(shape.n_cells, 2 * longest + int64_t(wave.size()) * room_to_grow);
        forget();
        make_context({ model->context_cells(cells, tokens_per_decode), tokens_per_decode, n_sequences, n_sequences });
        slots.assign(size_t(n_sequences), {});
    }
    try {
        while (!try_wave(wave, row)) {
            const batch_shape larger = { model->context_cells(2 * shape.n_cells, tokens_per_decode), tokens_per_decode,
                                         shape.n_sequences, shape.n_outputs };
            forget();
            make_context(larger);
            slots.assign(size_t(larger.n_sequences), {});
        }
    } catch (...) {
        forget();
        throw;
    }
}

// False where the KV cache is too small for the wave even alone.
bool causal_reader::try_wave(std::vector<reading> & wave, const row_function & row) {
    ++clock;
    find_beginnings(wave);
    place(wave);
    bool done;
    if (output == OUTPUT_LOGITS) {
        done = decode(wave, row, true, true);
    } else {
        // an output costs the whole vocabulary: only the last tokens have one
        llama_set_embeddings(context.get(), false);
        done = decode(wave, row, true, false);
        llama_set_embeddings(context.get(), true);
        done = done && decode(wave, row, false, true);
    }
    if (done) {
        keep(wave);
    }
    return done;
}

void causal_reader::find_beginnings(std::vector<reading> & wave) const {
    for (reading & r : wave) {
        r.n_held = 0;
        r.source = -1;
        for (size_t s = 0; s < slots.size(); ++s) {
            const size_t n =
                std::min(shared_tokens(slots[s].tokens, r.sequence->tokens), n_before_outputs(*r.sequence));
            if (n > r.n_held) {
                r.n_held = n;
                r.source = seq_id(s);
            }
        }
    }
    // Texts that share more tokens than one of them holds hold equally many, as llama.cpp wants of sequences that share tokens of
    // a batch: what one holds of the shared part, the other would find as well.
    for (size_t k = 1; k < wave.size(); ++k) {
        const token_sequence & before = *wave[k - 1].sequence;
        const token_sequence & here   = *wave[k].sequence;
        wave[k].n_shared =
            std::min({ shared_tokens(before.tokens, here.tokens), n_before_outputs(before), n_before_outputs(here) });
    }
}

// Gives every text of the wave a sequence that holds its beginning.
void causal_reader::place(std::vector<reading> & wave) {
    for (const reading & r : wave) {
        if (r.source >= 0) {
            slots[r.source].last_use = clock;
        }
    }
    llama_memory_t memory = llama_get_memory(context.get());
    for (reading & r : wave) {
        seq_id chosen = -1;
        for (size_t s = 0; s < slots.size(); ++s) {
            const slot & candidate = slots[s];
            if (candidate.in_use || (candidate.last_use == clock && !candidate.tokens.empty())) {
                continue;
            }
            const auto age = [](const slot & x) {
                return x.tokens.empty() ? 0 : x.last_use;
            };
            if (chosen < 0 || age(candidate) < age(slots[chosen])) {
                chosen = seq_id(s);
            }
        }
        if (chosen < 0) {
            throw error("INTERNAL", "more texts were to be judged at once than there are sequences");
        }
        drop(chosen);
        if (r.source >= 0) {
            llama_memory_seq_cp(memory, r.source, chosen, 0, int32_t(r.n_held));
        }
        slots[chosen].in_use = true;
        r.seq                = chosen;
    }
}

// Decodes the tokens of a wave that have no output, those that have one, or both; false where the cache is full.
bool causal_reader::decode(const std::vector<reading> & wave,
                           const row_function &         row,
                           bool                         without_outputs,
                           bool                         outputs) {
    clear_batch();
    pending.clear();
    for (size_t k = 0; k < wave.size(); ++k) {
        const token_sequence & s = *wave[k].sequence;
        for (size_t p = std::max(wave[k].n_held, wave[k].n_shared); p < s.tokens.size(); ++p) {
            const bool has_output = p >= n_before_outputs(s);
            if (!(has_output ? outputs : without_outputs)) {
                continue;
            }
            const bool full =
                batch.n_tokens == shape.n_tokens || (has_output && int32_t(pending.size()) == shape.n_outputs);
            if (full && !flush(row)) {
                return false;
            }
            std::vector<seq_id> sequences = { wave[k].seq };
            for (size_t later = k + 1; later < wave.size() && wave[later].n_shared > p; ++later) {
                sequences.push_back(wave[later].seq);
            }
            add_to_batch(s.tokens[p], int32_t(p), sequences, has_output);
            if (has_output) {
                pending.push_back({ wave[k].index, p - n_before_outputs(s), wave[k].seq });
            }
        }
    }
    return flush(row);
}

// llama.cpp gives the softmax of qwen3's classes
const float * causal_reader::classes_of(seq_id sequence) {
    const float * row = pooled_row(sequence);
    class_row.assign(row, row + width());
    for (float & x : class_row) {
        x = std::log(std::max(x, least_probability));
    }
    return class_row.data();
}

bool causal_reader::flush(const row_function & row) {
    if (batch.n_tokens == 0) {
        return true;
    }
    while (!compute()) {
        if (!make_room()) {
            return false;
        }
    }
    for (size_t i = 0; i < pending.size(); ++i) {
        const float * values = output == OUTPUT_LOGITS ? llama_get_logits(context.get()) + i * size_t(width()) :
                               output == OUTPUT_HIDDEN ? llama_get_embeddings(context.get()) + i * size_t(width()) :
                                                         classes_of(pending[i].seq);
        row(pending[i].index, pending[i].output, values);
    }
    pending.clear();
    clear_batch();
    return true;
}

// Drops the half of the idle sequences that was not used for longest; false where there is none.
bool causal_reader::make_room() {
    std::vector<seq_id> idle;
    for (size_t s = 0; s < slots.size(); ++s) {
        if (!slots[s].in_use && !slots[s].tokens.empty()) {
            idle.push_back(seq_id(s));
        }
    }
    std::sort(idle.begin(), idle.end(), [&](seq_id a, seq_id b) { return slots[a].last_use < slots[b].last_use; });
    for (size_t i = 0; i < (idle.size() + 1) / 2; ++i) {
        drop(idle[i]);
    }
    return !idle.empty();
}

void causal_reader::keep(const std::vector<reading> & wave) {
    llama_memory_t memory = llama_get_memory(context.get());
    const size_t   window = size_t(llama_model_n_swa(model->get()));  // 0: none slides
    for (const reading & r : wave) {
        slot & own     = slots[r.seq];
        own.in_use     = false;
        own.last_use   = clock;
        const size_t n = r.sequence->n_kept;
        const bool   known =
            n <= r.n_held || std::any_of(slots.begin(), slots.end(), [&](const slot & other) {
                return other.tokens.size() >= n &&
                       std::equal(other.tokens.begin(), other.tokens.begin() + n, r.sequence->tokens.begin());
            });
        const bool beginning_is_gone = window > 0 && r.sequence->tokens.size() > window;
        if (known || beginning_is_gone) {
            drop(r.seq);
            continue;
        }
        llama_memory_seq_rm(memory, r.seq, int32_t(n), -1);
        own.tokens.assign(r.sequence->tokens.begin(), r.sequence->tokens.begin() + n);
    }
}

void causal_reader::drop(seq_id seq) {
    llama_memory_seq_rm(llama_get_memory(context.get()), seq, -1, -1);
    slots[seq] = {};
}

void causal_reader::forget() {
    if (context) {
        llama_memory_clear(llama_get_memory(context.get()), false);
    }
    slots.assign(slots.size(), {});
    pending.clear();
}

}  // namespace ig
