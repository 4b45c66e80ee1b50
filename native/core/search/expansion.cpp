#include "search/expansion.h"

#include "search/latent_view.h"
#include "support/numeric.h"
#include "support/stopwatch.h"

#include <cmath>

namespace ig {

namespace {

const size_t typical_piece = 8;                                         // bytes of a token

const uint64_t root_stream = std::numeric_limits<uint64_t>::max() - 1;  // expansions count from 0

// for the prompt, the beams and a block that does not widen
int32_t least_sequences(const search_options & options) {
    return 1 + options.n_beams + std::min(options.n_start, options.n_candidates);
}

// How many rounds a block may have.
int64_t n_rounds(const search_options & options) {
    int64_t n = 1 + options.n_retries;
    for (int64_t width = options.n_start; width < options.n_candidates; width *= options.growth) {
        ++n;
    }
    return n;
}

}  // namespace

expander::expander(const search_models &  models,
                   const search_options & options,
                   const cancel_flag &    cancel,
                   search_timings &       timings) :
    models(models),
    options(options),
    cancel(cancel),
    timings(timings),
    n_own(std::min(models.model.max_sequences(), least_sequences(options))),
    keeps_finished(n_own == least_sequences(options)),
    n_firsts(size_t(options.n_candidates)),
    samplers(models.model.n_visitors(), token_sampler(options.sampling)) {}

path expander::start(const std::vector<token_id> & given) {
    stopwatch watch(timings.prefill);
    prompt                        = given;
    const int64_t live_beams      = std::min(options.n_beams, n_own - 1);
    const int64_t live_candidates = std::min({ options.n_start, options.n_candidates, n_own - 1 });
    const int64_t block           = std::min(options.block_length, options.max_tokens);
    kv_plan       plan;
    plan.n_sequences           = n_own;
    // Each round may decode the end of a path, or of the prompt, again, so that its children begin otherwise; those that are there
    // keep the old cell.
    const int64_t n_read_again = n_rounds(options) * (live_beams + 1);
    plan.n_cells = int64_t(prompt.size()) + live_beams * options.max_tokens + live_candidates * block + n_read_again;
    plan.n_more  = std::min(models.model.max_sequences() - n_own, std::max(0, options.n_candidates - options.n_start));
    plan.cells_each = block;
    n_more          = plan.n_more;
    const std::vector<token_id> nothing;
    n_reused = models.model.reserve(plan, options.caches_prompt ? prompt : nothing, cancel);
    pool.allow(n_own);
    items.clear();
    for (size_t i = size_t(n_reused); i + 1 < prompt.size(); ++i) {
        items.push_back({ 0, int32_t(i), prompt[i] });
    }
    models.model.extend(items, nullptr, cancel);
    n_root_held = prompt.size() - 1;

    path root   = empty_path(random_stream(options.seed, root_stream, 0));
    root.seq    = models.model.can_cut() ? 0 : -1;  // what cannot be cut is read to its end in a copy
    root.n_held = root.seq == 0 ? n_root_held : 0;
    return root;
}

path expander::empty_path(const random_stream & random) const {
    path empty(response(), random);
    empty.paid = ledger(models.constraints, *models.starts);
    empty.progress.resize(models.constraints.size());
    return empty;
}

void expander::append(response & p, token_id token, double log_likelihood) const {
    const bool   ends   = models.model.is_end(token);
    const size_t n_text = p.text.size();
    if (!ends) {
        p.bytes.push(models.model.piece(token), p.text);
    }
    p.tokens.push_back(token);
    p.log_likelihood += log_likelihood;
    p.finish = ends ? FINISH_STOP : int32_t(p.tokens.size()) >= options.max_tokens ? FINISH_LENGTH : FINISH_NONE;

    const std::string_view added(p.text.data() + n_text, p.text.size() - n_text);
    p.paid.charge_token(token, added, p.finished());
    p.ends.push_back({ p.text.size(), p.log_likelihood, p.paid.may_end() });
}

void expander::free_sequence(path & p) {
    if (p.seq > 0) {
        models.model.drop(p.seq);
        pool.give_back(p.seq);
    }
    p.seq    = -1;
    p.n_held = 0;
}

void expander::release(path & p) {
    if (p.seq == 0 || p.seq == kept) {
        return;  // the prompt stays
    }
    free_sequence(p);
    p.firsts.clear();
}

// The longest sequence at hand that holds a beginning of the answer is kept for prompts to come.
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

// The residual stream of each token of a response is read once, however often it is decoded.
decode_item expander::item_at(const path & p, size_t position) const {
    if (position < prompt.size()) {
        return { p.seq, int32_t(position), prompt[position] };
    }
    const size_t t = position - prompt.size();
    return { p.seq, int32_t(position), p.tokens[t], models.model.n_residual() > 0 && t >= p.residual.sum.n_tokens };
}

// Decodes the last token of each path and reads what comes home.
void expander::step(const std::vector<path *> & owners, bool for_critic, const row_reader & read) {
    stopwatch    watch(timings.decode);
    const size_t n_vocab   = size_t(models.model.n_vocab());
    const bool   on_device = for_critic && models.model.n_judged() > 0;
    step_wishes  wishes;
    wishes.hidden = options.edits_hidden() || (for_critic && !on_device);
    wishes.judged = on_device;
    items.clear();
    critic_beside.clear();
    for (const path * p : owners) {
        items.push_back(item_at(*p, size_t(last_position(*p))));
        if (for_critic || options.edits_hidden()) {
            models.judge->beside(latent_view(models, options, *p, nullptr, false), critic_beside);
        }
    }
    if (on_device) {
        wishes.beside = critic_beside;
    }
    const auto source_of = [&](const output_row & row) {
        return row_source{ n_vocab, row.head, [this, &row] { return models.model.logits(row); } };
    };
    const auto add_residual = [&](const output_row & row) {
        if (row.residual != nullptr) {
            owners[row.index]->residual.sum.add(row.residual, models.model.n_residual());
        }
    };
    if (!options.edits_hidden()) {
        models.model.step(
            items, wishes,
            [&](const output_row & row) {
                add_residual(row);
                read(row.index, { source_of(row), nullptr }, row.thread, row);
            },
            cancel);
        return;
    }
    std::vector<std::vector<float>> hidden(items.size()), logits(items.size());
    models.model.step(
        items, wishes,
        [&](const output_row & row) {
            const float * whole = models.model.logits(row);
            logits[row.index].assign(whole, whole + n_vocab);
            hidden[row.index].assign(row.hidden, row.hidden + models.model.n_embd());
            add_residual(row);
        },
        cancel);
    const std::vector<float> proposals = propose(owners, hidden, logits);
    for (size_t i = 0; i < owners.size(); ++i) {
        const row_source base = { n_vocab, {}, [&] { return logits[i].data(); } };
        read(i, { base, &proposals[i * n_vocab] }, 0, { i, i, 0, {}, hidden[i].data(), nullptr, nullptr });
    }
}

// What the critic keeps of an output, and reads beside it.
std::vector<float> expander::for_critic_of(const output_row & row, const float * logits) const {
    std::vector<float> kept     = models.judge->keep(row.hidden, logits, size_t(models.model.n_vocab()));
    const size_t       n_beside = critic_beside.size() / items.size();
    const auto         begin    = critic_beside.begin() + std::ptrdiff_t(row.index * n_beside);
    kept.insert(kept.end(), begin, begin + std::ptrdiff_t(n_beside));
    return kept;
}

// RE-Control: the logits of the outputs' hidden states after gradient steps through the critic, [owners, n_vocab].
std::vector<float> expander::propose(const std::vector<path *> &             owners,
                                     const std::vector<std::vector<float>> & hidden,
                                     const std::vector<std::vector<float>> & logits) {
    std::vector<std::vector<float>> kept;
    std::vector<critic_input>       states;
    for (size_t i = 0; i < owners.size(); ++i) {
        if (!std::isfinite(log_sum_exp(logits[i].data(), logits[i].size()))) {
            throw error("DECODE_FAILED",
                        "the logits that a gradient step begins at are no numbers; the model has overflowed");
        }
        kept.push_back(for_critic_of({ i, i, 0, {}, hidden[i].data(), nullptr, nullptr }, logits[i].data()));
    }
    for (size_t i = 0; i < owners.size(); ++i) {
        states.push_back(latent_view(models, options, *owners[i], &kept[i], false));
    }
    std::vector<float> edited;
    {
        stopwatch watch(timings.critic);
        edited = models.judge->ascend(states, options.ascent, cancel);
    }
    return models.model.project(edited, hidden[0], logits[0]);
}

// Draws from the proposal, if there is one; the likelihood is the base model's in any case.
sampled_token expander::draw(const drawing_source & source,
                             size_t                 thread,
                             random_stream &        random,
                             const token_counts *   tried) {
    token_sampler & sampler = samplers[thread];
    if (source.proposal == nullptr) {
        sampler.read(source.base, tried, options.diversity_penalty);
        return sampler.draw(random);
    }
    const row_source proposal = { source.base.n_vocab, {}, [&] { return source.proposal; } };
    sampler.read(proposal, tried, options.diversity_penalty);
    sampled_token drawn = sampler.draw(random);
    sampler.read(source.base, nullptr, 0);
    drawn.log_likelihood = sampler.log_likelihood(drawn.token);
    return drawn;
}

// The most probable tokens that no child has begun with.
std::vector<sampled_token> expander::most_probable(const path &           parent,
                                                   const drawing_source & source,
                                                   size_t                 thread,
                                                   const token_counts *   tried) {
    token_sampler &  sampler  = samplers[thread];
    const row_source proposal = { source.base.n_vocab, {}, [&] { return source.proposal; } };
    sampler.read(source.proposal == nullptr ? source.base : proposal, tried, options.diversity_penalty);
    std::vector<sampled_token> best      = sampler.best(std::min(source.base.n_vocab, n_firsts + parent.begun.size()));
    const auto                 has_begun = [&](const sampled_token & t) {
        return parent.begun.count(t.token) > 0;
    };
    best.erase(std::remove_if(best.begin(), best.end(), has_begun), best.end());
    if (source.proposal != nullptr) {
        sampler.read(source.base, nullptr, 0);
        for (sampled_token & t : best) {
            t.log_likelihood = sampler.log_likelihood(t.token);
        }
    }
    return best;
}

void expander::read_end(path &                 p,
                        const drawing_source & source,
                        size_t                 thread,
                        const output_row &     row,
                        const token_counts *   tried,
                        bool                   for_critic) {
    p.firsts.clear();
    if (begins_with_best(p)) {
        p.firsts = most_probable(p, source, thread, tried);
        p.n_used = 0;
    } else {
        token_sampler & sampler   = samplers[thread];
        random_stream   own       = p.random.branch(p.tokens.size());
        random_stream   others    = own.branch(1 + p.page);
        const auto      random_of = [&](size_t i) -> random_stream & {
            return i == 0 && p.page == 0 ? own : others;
        };
        if (source.proposal == nullptr) {
            sampler.read(source.base, tried, options.diversity_penalty);
        }
        for (size_t i = 0; i < n_firsts; ++i) {
            random_stream & random = random_of(i);
            p.firsts.push_back(source.proposal != nullptr ? draw(source, thread, random, tried) : sampler.draw(random));
        }
    }
    if (!for_critic) {
        return;
    }
    p.has_latent = row.judged != nullptr ? LATENT_JUDGED : LATENT_KEPT;
    if (p.has_latent == LATENT_JUDGED) {
        p.latent.assign(row.judged, row.judged + models.model.n_judged());
    } else {
        p.latent = for_critic_of(row, source.base.whole());
    }
}

// Makes the last token of a path one that is still to be decoded.
void expander::rewind(path & p) {
    if (p.seq == 0) {
        p.n_held = n_root_held;  // several paths begin with the prompt
    }
    if (p.seq < 0) {
        p.seq = pool.take();
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

// Decodes the last token of each path and reads the output for what comes next.
void expander::read_ends(const std::vector<path *> & paths, const token_counts * tried, bool for_critic) {
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
            owners[i]->residual.sum.add(row, models.model.n_residual());
        };
        models.model.extend(items, add_residual, cancel);
    }
    for (path * p : paths) {
        const bool is_new = !p->tokens.empty() && p->residual.sum.n_tokens + 1 == p->tokens.size();
        if (options.stream && models.model.n_residual() > 0 && is_new) {
            p->residual.at_ends.push_back(std::make_shared<residual_sum>(p->residual.sum));
        }
    }
    step(paths, for_critic, [&](size_t i, const drawing_source & source, size_t thread, const output_row & row) {
        read_end(*paths[i], source, thread, row, tried, for_critic);
    });
    for (path * p : paths) {
        ++p->n_held;
        n_root_held = p->seq == 0 ? p->n_held : n_root_held;
    }
}

// The first tokens of a path's children come from a list of N that is read off the path's end; what is used up, or was drawn
// with other penalties than this round's, is drawn anew.
void expander::turn_page(path & parent, size_t share, bool penalised) const {
    const bool used_up = parent.n_used + share > n_firsts;
    if (!used_up && !penalised && !parent.penalised) {
        return;
    }
    parent.page += parent.n_used > 0 ? 1 : 0;
    parent.n_used    = 0;
    parent.penalised = penalised;
    parent.firsts.clear();
}

std::vector<expander::offspring> expander::breed(const expansion & block) {
    std::vector<offspring> all;
    all.reserve(block.n);
    const size_t n_parents = block.parents.size();
    for (size_t i = 0; i < n_parents; ++i) {
        path &       parent    = *block.parents[i];
        size_t       share     = block.n / n_parents + (i < block.n % n_parents ? 1 : 0);
        const size_t n_untried = size_t(models.model.n_vocab()) - parent.begun.size();
        if (!options.is_random()) {
            share = std::min(share, n_untried);
        } else if (parent.distinct && n_untried < share) {
            parent.distinct = false;
            parent.firsts.clear();
        }
        turn_page(parent, share, !block.tried.empty());
        for (size_t rank = 0; rank < share; ++rank) {
            path child(parent, random_stream(options.seed, block.stream, block.first + all.size()));
            child.plain           = parent.plain && parent.begun.empty() && rank == 0;
            child.score           = -std::numeric_limits<double>::infinity();
            child.rewarded        = false;
            const size_t n_tokens = child.tokens.size() + size_t(block.length);
            child.tokens.reserve(n_tokens);
            child.ends.reserve(n_tokens);
            child.text.reserve(n_tokens * typical_piece);
            all.push_back({ &parent, std::move(child), rank + 1 == share });
        }
    }
    return all;
}

void expander::take_sequences(size_t width) {
    const int32_t n_wanted = std::min(n_more, std::max(0, int32_t(width) - options.n_start));
    pool.allow(n_own + models.model.widen(n_wanted, cancel));
}

// Each wave needs a sequence for each of its candidates and for each of their parents that has none of its own.
std::vector<std::vector<expander::offspring *>> expander::waves(std::vector<offspring> & all) const {
    std::vector<std::vector<offspring *>> result(1);
    const path *                          parent = nullptr;
    size_t                                used   = 0;
    for (offspring & o : all) {
        const size_t for_parent = o.parent->seq < 0 ? 1 : 0;
        const size_t more       = 1 + (o.parent != parent ? for_parent : 0);
        const bool   is_full    = used + more > pool.n_free();
        if (is_full) {
            result.emplace_back();
        }
        used   = is_full ? 1 + for_parent : used + more;
        parent = o.parent;
        result.back().push_back(&o);
    }
    return result;
}

bool expander::fits(const std::vector<path *> & beams, size_t n) const {
    const auto homeless = std::count_if(beams.begin(), beams.end(), [](const path * p) { return p->seq < 0; });
    return pool.n_free() >= n + size_t(homeless);
}

// What plain sampling gives is not cut off for the others.
int32_t expander::affordable(const std::vector<offspring> & all, int32_t wanted, const token_limit & limit) const {
    const int64_t n_plain  = std::count_if(all.begin(), all.end(), [](const offspring & o) { return o.child.plain; });
    const int64_t n_beside = int64_t(all.size()) - n_plain;
    const int64_t plain    = n_plain > 0 ? limit.plain / n_plain : wanted;
    const int64_t beside   = n_beside > 0 ? limit.beside_plain / n_beside : wanted;
    const int64_t length   = std::max<int64_t>(0, std::min({ plain, beside, int64_t(wanted) }));
    return n_plain > 0 && n_beside > 0 && length < wanted ? 0 : int32_t(length);
}

std::vector<path> expander::expand(const expansion & block, const token_limit & limit) {
    cut                        = false;
    std::vector<offspring> all = breed(block);
    if (all.empty()) {
        return {};
    }
    const std::vector<path *> & beams  = block.parents;
    const tried_tokens &        tried  = block.tried;
    const int32_t               wanted = std::min(block.length, options.max_tokens - int32_t(beams[0]->tokens.size()));
    const int32_t               length = affordable(all, wanted, limit);
    if (length == 0) {
        cut = true;
        return {};
    }
    const bool one_wave = fits(beams, all.size());
    if (!one_wave) {
        for (path * beam : beams) {
            release(*beam);
        }
    }
    std::vector<std::vector<offspring *>> parts = waves(all);
    for (size_t w = 0; w < parts.size(); ++w) {
        const std::vector<offspring *> & wave = parts[w];
        std::vector<path *>              unread;
        for (offspring * o : wave) {
            path * parent = o->parent;
            if ((parent->seq < 0 || parent->firsts.empty()) && (unread.empty() || unread.back() != parent)) {
                unread.push_back(parent);
            }
        }
        read_ends(unread, tried.empty() ? nullptr : &tried[0], /*for_critic =*/false);
        grow(wave, tried, length);
        if (options.asks_critic() && length == wanted) {
            std::vector<path *> growing;
            for (offspring * o : wave) {
                if (may_grow(o->child)) {
                    growing.push_back(&o->child);
                }
            }
            read_ends(growing, nullptr, /*for_critic =*/true);
        }
        if (!one_wave) {
            const path * still_needed = w + 1 < parts.size() ? parts[w + 1][0]->parent : nullptr;
            for (offspring * o : wave) {
                release(o->child);
                if (o->parent != still_needed) {
                    release(*o->parent);
                }
            }
        }
    }
    std::vector<path> candidates;
    for (offspring & o : all) {
        const size_t n_parent = o.parent->tokens.size();
        const bool   complete = !may_grow(o.child) || o.child.tokens.size() == n_parent + size_t(wanted);
        cut                   = cut || !complete;
        if (complete || !options.enforces_budget()) {
            candidates.push_back(std::move(o.child));
        } else {
            release(o.child);
        }
    }
    return candidates;
}

bool expander::may_grow(const path & child) const {
    return !child.finished() && (child.paid.within_budgets() || !options.enforces_budget());
}

// The last of the siblings inherits the parent's sequence where nobody needs the parent any more.
void expander::place(offspring & o) {
    o.child.n_held = o.parent->n_held;
    if (o.last && options.n_retries == 0 && !options.widens() && o.parent->seq > 0) {
        o.child.seq   = o.parent->seq;
        o.parent->seq = -1;
        return;
    }
    o.child.seq = pool.take();
    models.model.fork(o.parent->seq, o.child.seq);
}

// The first tokens come from the parents' outputs; from then on one step serves all live candidates of the wave.
void expander::grow(const std::vector<offspring *> & wave, const tried_tokens & tried, int32_t length) {
    const token_counts *     avoided = nullptr;
    std::vector<offspring *> live    = wave;
    std::vector<path *>      owners;
    const row_reader draw_next = [&](size_t i, const drawing_source & source, size_t thread, const output_row &) {
        offspring &         o      = *live[i];
        random_stream       random = o.child.random.branch(o.child.tokens.size());
        const sampled_token drawn  = draw(source, thread, random, avoided);
        append(o.child, drawn.token, drawn.log_likelihood);
    };
    for (int32_t position = 0; position < length && !live.empty(); ++position) {
        generated += int64_t(live.size());
        beside_plain += std::count_if(live.begin(), live.end(), [](const offspring * o) { return !o->child.plain; });
        if (position == 0) {
            for (offspring * o : live) {
                if (o->parent->begun.empty()) {
                    o->child.random = o->parent->random;  // as if the parent went on alone
                }
                const sampled_token first = o->parent->firsts.at(o->parent->n_used++);
                o->parent->begun.insert(first.token);
                append(o->child, first.token, first.log_likelihood);
                o->child.residual = o->parent->residual;  // the parent's end was decoded
                if (may_grow(o->child)) {
                    place(*o);
                }
            }
        } else {
            avoided = size_t(position) < tried.size() && options.diversity_penalty > 0 ? &tried[position] : nullptr;
            owners.clear();
            for (offspring * o : live) {
                owners.push_back(&o->child);
            }
            step(owners, /*for_critic =*/false, draw_next);
        }
        size_t n_growing = 0;
        for (offspring * o : live) {
            if (position > 0) {
                ++o->child.n_held;
            }
            if (may_grow(o->child)) {
                live[n_growing++] = o;
            } else if (!keeps_finished || !o->child.paid.within_budgets()) {
                free_sequence(o->child);
            }
        }
        live.resize(n_growing);
    }
}

}  // namespace ig
