#include "search/expansion.h"

#include "search/latent_view.h"
#include "support/stopwatch.h"

namespace ig {

namespace {

const uint64_t root_stream = std::numeric_limits<uint64_t>::max() - 1;  // blocks count from 0

}  // namespace

expander::expander(const search_models &  models,
                   const search_options & options,
                   const cancel_flag &    cancel,
                   search_timings &       timings) :
    models(models),
    options(options),
    cancel(cancel),
    timings(timings),
    sequences(options, models.model.max_sequences()),
    ascent(models, options, cancel, timings),
    samplers(models.model.n_row_threads(), token_sampler(options.sampling)) {}

path expander::start(const std::vector<token_id> & given) {
    stopwatch watch(timings.prefill);
    prompt    = given;
    path root = empty_path(random_stream(options.seed, root_stream, 0));
    root.seq  = 0;
    n_reused =
        models.model.reserve(sequences.reservation(prompt.size()), reusable_part(models, options, prompt), cancel);
    items.clear();
    for (size_t i = size_t(n_reused); i + 1 < prompt.size(); ++i) {
        items.push_back(item_at(root, i));
    }
    models.model.extend(
        items, [&](size_t, const float * row) { root.residual.add(row, models.model.n_residual()); }, cancel);
    n_root_held = prompt.size() - 1;

    root.seq    = models.model.can_cut() ? 0 : -1;  // a sequence that cannot be cut is copied before it is extended
    root.n_held = root.seq == 0 ? n_root_held : 0;
    return root;
}

path expander::empty_path(const random_stream & random) const {
    path empty(begin_response(models), random);
    empty.progress.resize(models.constraints.size());
    return empty;
}

void expander::append(response & p, token_id token, double log_likelihood) const {
    const size_t n_text = p.text.size();
    const size_t begins = n_text + p.end.held.size();
    p.tokens.push_back(token);
    p.log_likelihood += log_likelihood;
    if (models.model.is_end(token)) {
        p.finish = FINISH_END;
    } else if (options.stop.append(models.model.piece(token), p.end, p.text)) {
        p.finish = FINISH_STRING;
    } else if (int32_t(p.tokens.size()) >= options.max_tokens) {
        p.finish = FINISH_LENGTH;
    }
    if (p.finished()) {
        p.end.close(p.text);
    }
    const std::string_view added(p.text.data() + n_text, p.text.size() - n_text);
    const bool             holds = !p.end.held.empty();
    p.paid.charge_token(token, added, p.finished(), holds);
    p.ends.push_back({ begins, p.text.size(), p.log_likelihood, !holds && p.paid.may_end() });
}

void expander::free_sequence(path & p) {
    if (p.seq > 0) {
        models.model.drop(p.seq);
        sequences.give_back(p.seq);
    }
    p.seq    = -1;
    p.n_held = 0;
}

void expander::release(path & p) {
    if (p.seq == 0 || p.seq == kept) {
        return;  // sequence 0 keeps the prompt
    }
    free_sequence(p);
    p.next_tokens.clear();
}

// Keeps the longest sequence that holds a prefix of the answer, for later prompts.
void expander::keep(const path * answer) {
    if (!options.caches_prompt) {
        return;
    }
    const bool            of_answer = answer != nullptr && answer->seq > 0;
    const seq_id          seq       = of_answer ? answer->seq : 0;
    std::vector<token_id> tokens    = prompt;
    if (of_answer) {
        tokens.insert(tokens.end(), answer->tokens.begin(), answer->tokens.end());
    }
    tokens.resize(of_answer ? answer->n_held : n_root_held);
    kept = seq;
    models.model.keep(seq, std::move(tokens));
}

// The residual stream of each token of prefill and response is read once, even if the token is decoded again.
decode_item expander::item_at(const path & p, size_t position) const {
    const token_id token          = position < prompt.size() ? prompt[position] : p.tokens[position - prompt.size()];
    const bool     reads_residual = models.model.n_residual() > 0 && p.residual.lacks(position, prompt.size());
    return { p.seq, int32_t(position), token, reads_residual };
}

// Decodes the last token of each path and reads its output.
void expander::step(const std::vector<path *> & owners, bool for_critic, const row_reader & read) {
    stopwatch watch(timings.decode);
    items.clear();
    critic_inputs.clear();
    for (const path * p : owners) {
        items.push_back(item_at(*p, size_t(last_position(*p))));
        if (for_critic || options.edits_hidden()) {
            models.judge->append_inputs(latent_view(models, options, *p, nullptr, false), critic_inputs);
        }
    }
    if (options.edits_hidden()) {
        ascent.step(items, owners, critic_inputs, read);
        return;
    }
    step_wishes wishes;
    wishes.critic_output = for_critic && models.model.n_critic_outputs() > 0;
    wishes.hidden        = for_critic && !wishes.critic_output;
    if (wishes.critic_output) {
        wishes.critic_inputs = critic_inputs;
    }
    models.model.step(
        items, wishes,
        [&](const output_row & row) {
            owners[row.index]->residual.add(row.residual, models.model.n_residual());
            const row_source source = { size_t(models.model.n_vocab()), row.head,
                                        [this, &row] { return models.model.logits(row); } };
            read(row.index, source, row);
        },
        cancel);
}

// The most probable tokens that no child has begun with.
std::vector<sampled_token> expander::most_probable(const path & parent, token_sampler & sampler) const {
    const size_t               n_vocab   = size_t(models.model.n_vocab());
    const size_t               n_wanted  = size_t(options.n_candidates) + parent.begun.size();
    std::vector<sampled_token> best      = sampler.best(std::min(n_vocab, n_wanted));
    const auto                 has_begun = [&](const sampled_token & t) {
        return parent.begun.count(t.token) > 0;
    };
    best.erase(std::remove_if(best.begin(), best.end(), has_begun), best.end());
    return best;
}

void expander::read_end(path &               p,
                        const row_source &   source,
                        const output_row &   row,
                        const token_counts * rejected,
                        bool                 for_critic) {
    token_sampler & sampler = samplers[row.thread];
    sampler.read(source, rejected, options.diversity_penalty);
    p.next_tokens.clear();
    if (begins_with_best(p)) {
        p.next_tokens = most_probable(p, sampler);
        p.n_used      = 0;
    } else {
        random_stream own    = p.random.branch(p.tokens.size());
        random_stream others = own.branch(1 + p.page);
        for (int32_t i = 0; i < options.n_candidates; ++i) {
            p.next_tokens.push_back(sampler.draw(i == 0 && p.page == 0 ? own : others));
        }
    }
    if (!for_critic) {
        return;
    }
    p.has_latent = row.critic_output != nullptr ? LATENT_FROM_DEVICE : LATENT_KEPT;
    if (p.has_latent == LATENT_FROM_DEVICE) {
        p.latent.assign(row.critic_output, row.critic_output + models.model.n_critic_outputs());
    } else {
        p.latent = kept_output(models, row.hidden, source.base_row(), critic_inputs, row.index, items.size());
    }
}

// Leaves the last token of a path to be decoded again.
void expander::rewind(path & p) {
    if (p.seq == 0) {
        p.n_held = n_root_held;  // several paths share the prompt
    }
    if (p.seq < 0) {
        p.seq = sequences.take();
        models.model.fork(0, p.seq);
        p.n_held = n_root_held;
    }
    if (p.n_held <= size_t(last_position(p))) {
        return;
    }
    if (models.model.can_cut()) {
        models.model.cut(p.seq, last_position(p));
        p.n_held = size_t(last_position(p));
        return;
    }
    models.model.fork(0, p.seq);
    p.n_held = n_root_held;
}

// Decodes the last token of each path and reads the output for its next tokens.
void expander::read_ends(const std::vector<path *> & paths, const token_counts * rejected, bool for_critic) {
    if (paths.empty()) {
        return;
    }
    items.clear();
    std::vector<path *> owners;  // of the items
    for (path * p : paths) {
        rewind(*p);
        for (; p->n_held < size_t(last_position(*p)); ++p->n_held) {
            items.push_back(item_at(*p, p->n_held));
            owners.push_back(p);
        }
    }
    if (!items.empty()) {
        stopwatch  watch(timings.decode);
        const auto add_residual = [&](size_t i, const float * row) {
            owners[i]->residual.add(row, models.model.n_residual());
        };
        models.model.extend(items, add_residual, cancel);
    }
    for (path * p : paths) {
        const bool is_new = !p->tokens.empty() && p->residual.ends_before(p->tokens.size());
        if (options.stream && models.model.n_residual() > 0 && is_new) {
            p->residual.at_ends.push_back(std::make_shared<residual_sum>(p->residual.sum));
        }
    }
    step(paths, for_critic, [&](size_t i, const row_source & source, const output_row & row) {
        read_end(*paths[i], source, row, rejected, for_critic);
    });
    for (path * p : paths) {
        ++p->n_held;
        n_root_held = p->seq == 0 ? p->n_held : n_root_held;
    }
}

void expander::take_sequences(size_t width) {
    sequences.set_wider(models.model.widen(sequences.n_wider_for(width), cancel));
}

std::vector<expander::wave> expander::waves_of(block & b) const {
    std::vector<const path *> parents;
    for (const candidate & c : b.candidates) {
        parents.push_back(c.parent);
    }
    std::vector<wave> result;
    size_t            next = 0;
    for (size_t size : sequences.waves(parents)) {
        result.emplace_back();
        for (; size > 0; --size) {
            result.back().push_back(&b.candidates[next++]);
        }
    }
    return result;
}

std::vector<path> expander::expand(const block_spec & spec, const token_limit & limit) {
    cut = false;
    block b(spec, options, size_t(models.model.n_vocab()));
    if (b.candidates.empty()) {
        return {};
    }
    const int32_t length = b.affordable_length(limit);
    if (length == 0) {
        cut = true;
        return {};
    }
    const bool one_wave = fits(spec.parents, b.candidates.size());
    if (!one_wave) {
        for (path * parent : spec.parents) {
            release(*parent);
        }
    }
    const std::vector<wave> parts = waves_of(b);
    for (size_t w = 0; w < parts.size(); ++w) {
        grow_wave(b, parts[w], spec.rejected, length);
        if (!one_wave) {
            const path * still_needed = w + 1 < parts.size() ? parts[w + 1][0]->parent : nullptr;
            for (candidate * c : parts[w]) {
                release(c->text);
                if (c->parent != still_needed) {
                    release(*c->parent);
                }
            }
        }
    }
    std::vector<path> result;
    for (candidate & c : b.candidates) {
        const bool complete = b.is_complete(c);
        cut                 = cut || !complete;
        if (complete || !options.enforces_budget()) {
            result.push_back(std::move(c.text));
        } else {
            release(c.text);
        }
    }
    return result;
}

// Grows candidates from the ends of their parents to the end of the block, which the critic reads.
void expander::grow_wave(block & b, const wave & part, const rejected_tokens & rejected, int32_t length) {
    std::vector<path *> unread;
    for (const candidate * c : part) {
        path * parent = c->parent;
        if ((parent->seq < 0 || parent->next_tokens.empty()) && (unread.empty() || unread.back() != parent)) {
            unread.push_back(parent);
        }
    }
    read_ends(unread, rejected.empty() ? nullptr : &rejected[0], /*for_critic =*/false);
    grow(b, part, rejected, length);
    if (options.asks_critic() && length == b.wanted_length()) {
        std::vector<path *> open;
        for (candidate * c : part) {
            if (may_grow(c->text, options)) {
                open.push_back(&c->text);
            }
        }
        read_ends(open, nullptr, /*for_critic =*/true);
    }
}

// The last sibling inherits the parent's sequence if nothing else needs it.
void expander::place(candidate & c) {
    c.text.n_held = c.parent->n_held;
    if (c.last && options.n_retries == 0 && !options.widens() && c.parent->seq > 0) {
        c.text.seq    = c.parent->seq;
        c.parent->seq = -1;
        return;
    }
    c.text.seq = sequences.take();
    models.model.fork(c.parent->seq, c.text.seq);
}

// The first tokens come from the parents' outputs. After that, one step serves all live candidates of the wave.
void expander::grow(block & b, const wave & part, const rejected_tokens & rejected, int32_t length) {
    const token_counts * avoided = nullptr;
    wave                 live    = part;
    std::vector<path *>  owners;
    const row_reader     draw_next = [&](size_t i, const row_source & source, const output_row & row) {
        path &          text    = live[i]->text;
        token_sampler & sampler = samplers[row.thread];
        random_stream   random  = text.random.branch(text.tokens.size());
        sampler.read(source, avoided, options.diversity_penalty);
        const sampled_token drawn = sampler.draw(random);
        append(text, drawn.token, drawn.log_likelihood);
    };
    for (int32_t position = 0; position < length && !live.empty(); ++position) {
        generated += int64_t(live.size());
        beside_plain += std::count_if(live.begin(), live.end(), [](const candidate * c) { return !c->text.plain; });
        if (position == 0) {
            for (candidate * c : live) {
                const sampled_token first = b.take_first(*c);
                append(c->text, first.token, first.log_likelihood);
                c->text.residual = c->parent->residual;  // the parent's last token was decoded
                if (may_grow(c->text, options)) {
                    place(*c);
                }
            }
        } else {
            avoided =
                size_t(position) < rejected.size() && options.diversity_penalty > 0 ? &rejected[position] : nullptr;
            owners.clear();
            for (candidate * c : live) {
                owners.push_back(&c->text);
            }
            step(owners, /*for_critic =*/false, draw_next);
        }
        size_t n_growing = 0;
        for (candidate * c : live) {
            if (position > 0) {
                ++c->text.n_held;
            }
            if (may_grow(c->text, options)) {
                live[n_growing++] = c;
            } else if (!sequences.keeps_finished() || !c->text.paid.within_budgets()) {
                free_sequence(c->text);
            }
        }
        live.resize(n_growing);
    }
}

}  // namespace ig
