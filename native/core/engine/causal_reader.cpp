#include "engine/causal_reader.h"

#include "engine/llama_backend.h"
#include "support/error.h"

#include <algorithm>
#include <cmath>

namespace ig {

namespace {

const size_t  widest_wave       = 64;   // texts
const size_t  narrowest_wave    = 8;
const int64_t room_to_grow      = 256;  // tokens per text, besides the shared ones
const float   least_probability = 1e-30f;

// tokens that may come from the cache: the last ones need their own outputs
size_t n_before_outputs(const token_sequence & s) {
    return s.tokens.size() - s.n_outputs;
}

}  // namespace

causal_reader::causal_reader(std::shared_ptr<loaded_model>    given,
                             std::shared_ptr<ggml_threadpool> threads,
                             int32_t                          n_threads,
                             text_output                      output) :
    reader_context(std::move(given), std::move(threads), n_threads, output),
    prefixes(0),
    most_sequences(int32_t(llama_max_parallel_sequences())) {
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
    // adjacent texts share the longest prefixes
    std::stable_sort(all.begin(), all.end(),
                     [](const reading & a, const reading & b) { return a.sequence->tokens < b.sequence->tokens; });
    for (size_t begin = 0; begin < all.size(); begin += widest_wave) {
        const size_t end = std::min(all.size(), begin + widest_wave);
        read_wave(std::vector<reading>(all.begin() + begin, all.begin() + end), row);
    }
}

void causal_reader::read_wave(std::vector<reading> wave, const row_function & row) {
    provide(wave);
    try {
        while (!try_wave(wave, row)) {
            remake({ model->context_cells(2 * shape.n_cells, tokens_per_decode), tokens_per_decode, shape.n_sequences,
                     shape.n_outputs });
        }
    } catch (const error & e) {
        if (e.code == "ABORTED") {  // the other searches keep their cached texts
            give_up(wave);
        } else {
            forget();
        }
        throw;
    } catch (...) {
        forget();
        throw;
    }
}

// Reserves sequences for all searches, as if each read such waves; for fewer if that takes more than half of the free
// memory.
void causal_reader::provide(const std::vector<reading> & wave) {
    const int32_t n_own      = int32_t(2 * std::max(wave.size(), narrowest_wave));
    const int32_t n_searches = std::max<int32_t>(1, std::min(int32_t(n_sessions()), most_sequences / n_own));
    const bool    serves_one = context && n_own <= std::min(shape.n_sequences, shape.n_outputs);
    if (serves_one && n_own * n_searches <= shape.n_sequences) {
        return;
    }
    int64_t longest = 0;
    for (const reading & r : wave) {
        longest = std::max(longest, int64_t(r.sequence->tokens.size()));
    }
    const batch_shape had       = shape;
    const auto        shape_for = [&](int32_t n) -> batch_shape {
        const int64_t cells = longest + n * (longest + int64_t(wave.size()) * room_to_grow);
        return { model->context_cells(std::max(had.n_cells, cells), tokens_per_decode), tokens_per_decode,
                 std::max(had.n_sequences, n_own * n), std::max(had.n_outputs, n_own) };
    };
    int32_t n = 1;
    // by doubling, so that searches that begin one after another do not each make a new context
    while (n < n_searches) {
        n = std::min(2 * n, most_sequences / n_own);
    }
    while (n > 1 && !model->memory_for(shape_for(n).n_cells, available_bytes / 2).fits()) {
        n /= 2;
    }
    if (serves_one && n_own * n <= shape.n_sequences) {
        return;  // the existing sequences serve all searches, one at a time
    }
    while (n > 1) {
        try {
            return remake(shape_for(n));
        } catch (const error & e) {
            if (e.code != "KV_CAPACITY") {
                throw;
            }
            n /= 2;
            most_sequences = n_own * n;
        }
    }
    remake(shape_for(1));
}

void causal_reader::remake(const batch_shape & wanted) {
    forget();
    make_context(wanted);
    prefixes = prefix_cache(size_t(wanted.n_sequences));
    pool.allow(wanted.n_sequences);
}

// False if the KV cache is too small even for this wave alone.
bool causal_reader::try_wave(std::vector<reading> & wave, const row_function & row) {
    find_matches(wave);
    place(wave);
    bool done;
    if (output == OUTPUT_LOGITS) {
        done = decode(wave, row, true, true);
    } else {
        // an output costs the whole vocabulary, so only the last tokens get one
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

void causal_reader::find_matches(std::vector<reading> & wave) {
    for (reading & r : wave) {
        r.seq   = -1;
        r.found = prefixes.find(r.sequence->tokens, n_before_outputs(*r.sequence), /*can_cut =*/true);
    }
    // If texts share more tokens than one of them has in the cache, both have equally many there, as llama.cpp requires
    // of sequences that share tokens of a batch: a cached part of the shared tokens is found for both.
    for (size_t k = 1; k < wave.size(); ++k) {
        const token_sequence & before = *wave[k - 1].sequence;
        const token_sequence & here   = *wave[k].sequence;
        wave[k].n_shared =
            std::min({ shared_tokens(before.tokens, here.tokens), n_before_outputs(before), n_before_outputs(here) });
    }
}

// Gives every text of the wave a sequence with its cached prefix. There are twice as many sequences as texts, so the
// wave's own matches, which were used last, stay while older entries are evicted.
void causal_reader::place(std::vector<reading> & wave) {
    llama_memory_t memory = llama_get_memory(context.get());
    for (reading & r : wave) {
        if (pool.n_free() == 0) {
            drop_oldest();
        }
        r.seq = pool.take();
        if (r.found.source >= 0) {
            llama_memory_seq_cp(memory, r.found.source, r.seq, 0, r.found.n_tokens);
        }
    }
}

// Decodes the tokens of a wave without outputs, those with outputs, or both. False if the cache is full.
bool causal_reader::decode(const std::vector<reading> & wave,
                           const row_function &         row,
                           bool                         without_outputs,
                           bool                         outputs) {
    clear_batch();
    pending.clear();
    for (size_t k = 0; k < wave.size(); ++k) {
        const token_sequence & s = *wave[k].sequence;
        for (size_t p = std::max(size_t(wave[k].found.n_tokens), wave[k].n_shared); p < s.tokens.size(); ++p) {
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

// llama.cpp returns the softmax of qwen3's classes
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

// Evicts the least recently used half of the prefix cache; false if it is empty.
bool causal_reader::make_room() {
    const size_t n = (prefixes.size() + 1) / 2;
    for (size_t i = 0; i < n; ++i) {
        drop_oldest();
    }
    return n > 0;
}

void causal_reader::keep(const std::vector<reading> & wave) {
    llama_memory_t memory = llama_get_memory(context.get());
    const size_t   window = size_t(llama_model_n_swa(model->get()));  // 0: no sliding window
    for (const reading & r : wave) {
        const std::vector<token_id> & tokens            = r.sequence->tokens;
        const size_t                  n                 = r.sequence->n_kept;
        const bool                    beginning_is_gone = window > 0 && tokens.size() > window;
        std::vector<token_id>         kept(tokens.begin(), tokens.begin() + std::ptrdiff_t(n));
        if (n == 0 || beginning_is_gone || prefixes.covers(kept)) {
            drop(r.seq);
            continue;
        }
        llama_memory_seq_rm(memory, r.seq, int32_t(n), -1);
        for (seq_id given_up : prefixes.keep(r.seq, std::move(kept))) {
            drop(given_up);
        }
    }
}

void causal_reader::give_up(const std::vector<reading> & wave) {
    for (const reading & r : wave) {
        if (r.seq >= 0) {
            drop(r.seq);
        }
    }
}

void causal_reader::drop_oldest() {
    if (const std::optional<seq_id> seq = prefixes.remove_oldest()) {
        drop(*seq);
    }
}

void causal_reader::drop(seq_id seq) {
    llama_memory_seq_rm(llama_get_memory(context.get()), seq, -1, -1);
    pool.give_back(seq);
}

void causal_reader::forget() {
    if (context) {
        llama_memory_clear(llama_get_memory(context.get()), false);
    }
    prefixes.clear();
    pool = sequence_pool();
    pool.allow(shape.n_sequences);
    pending.clear();
}

}  // namespace ig
