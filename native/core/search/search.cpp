#include "search/search.h"

#include "search/estimator.h"
#include "search/expansion.h"
#include "search/fallbacks.h"
#include "search/frontier.h"
#include "search/selection.h"
#include "support/stopwatch.h"

#include <set>
#include <utility>

namespace ig {

namespace {

// blocks of the search count from 0
const uint64_t selection_stream = std::numeric_limits<uint64_t>::max();
const uint64_t prefix_stream    = std::numeric_limits<uint64_t>::max() - 2;
const uint64_t restart_stream   = std::numeric_limits<uint64_t>::max() - 3;

const size_t least_drawn = 4;  // candidates of a block before they count as repetitive

// one block of candidates, round by round
struct block_rounds {
    std::vector<path *> parents;
    size_t              n_before;              // response tokens before the block
    int32_t             round = 0;
    size_t              width;                 // candidates that the round aims at
    size_t              n_sampled = 0;         // candidates that it has
    std::vector<path>   failed_late;           // finished candidates that a model of whole texts rejected
    bool                failed_early = false;  // other candidates were rejected
    std::vector<path>   accepted;
    rejected_tokens     avoided, failed;       // by failed candidates, before this round and since the block began
    size_t              n_drawn = 0;           // candidates of all rounds
    std::set<std::vector<token_id>> known;     // the distinct ones
};

// Owns one run, which consists of a search and restarts. The search grows blocks and selects among their candidates. It
// is in trouble once a model of whole texts rejects a finished response, or none of N candidates may continue. From
// then on, restarts sample whole responses from the start, as retrying would, and spend as many tokens as the search.
// The first restart is plain sampling's response, even while the search follows it.
class search_run {
  public:
    search_run(const search_models &   models,
               const search_options &  options,
               const cancel_flag &     cancel,
               const commit_function & commit) :
        options(options),
        models(models),
        expand(models, options, cancel, result.timings),
        estimates(models, options, cancel, result.timings),
        edge(models, options, commit),
        tree(models.constraints, models.session->prefill().text.size(), options.trace),
        selection_random(options.seed, selection_stream, 0),
        root(response(), selection_random) {}

    search_result run(const std::vector<token_id> & prompt) {
        {
            stopwatch watch(result.timings.total);
            if (may_grow(begin_response(models), options)) {
                find_answer(prompt);
            } else {
                stop_short();  // the prefill is over budget
            }
        }
        result.n_generated = expand.n_generated();
        result.n_reused    = expand.n_reused_tokens();
        result.cells       = models.model.cells();
        result.trace       = tree.take();
        return std::move(result);
    }

  private:
    const search_options & options;
    const search_models &  models;
    search_result          result;
    expander               expand;
    estimator              estimates;
    frontier               edge;
    fallback_store         fallbacks;
    search_trace           tree;
    random_stream          selection_random;
    path                   root;
    std::vector<path>      beams;
    std::vector<path> ended;  // the paths where the search last got stuck: beams, or responses that failed at their end
    std::optional<block_rounds> block;                // in progress
    uint64_t                    n_blocks    = 0;      // expansions of the search
    uint64_t                    n_prefixes  = 0;      // prefixes that it backtracked to
    int32_t                     n_doublings = 0;      // of the number of blocks that the next dead end goes back
    bool                        search_over = false;  // its tokens are spent, or there is nothing to backtrack to
    bool                        steered     = false;
    bool                        answered    = false;

    // of restarts
    bool                in_trouble      = false;  // restarts keep pace with the search from here on
    int64_t             searched        = 0;      // tokens of the search, without plain sampling's response
    int64_t             searched_before = 0, restarted_before = 0;  // the trouble began
    std::optional<path> restarts_from;
    uint64_t            n_restarts = 0;
    std::optional<path> plain;  // the beginning of plain sampling's response, while it is unfinished

    int64_t n_restarted() const { return expand.n_generated() - searched; }

    void find_answer(const std::vector<token_id> & prompt) {
        root = expand.start(prompt);
        if (options.may_restart()) {
            root.plain   = true;
            plain        = path(root, root.random);
            plain->plain = true;
            plain->seq   = root.seq == 0 ? 0 : -1;
        }
        beams.push_back(path(root, root.random));
        for (bool goes_on = true; !answered && goes_on;) {
            goes_on = restart_is_due() ? restart() || search_on() : search_on() || restart();
        }
        if (!answered) {
            expand.keep(nullptr);
            stop_short();
        }
    }

    // One round of the search. Returns false if the search can do no more.
    bool search_on() {
        if (search_over) {
            return false;
        }
        if (!block && beams.empty() && !backtrack()) {
            search_over = true;
        } else if (!block && all_finished()) {
            settle(beams);
            ended = std::move(beams);
            beams.clear();
        } else {
            if (!block) {
                begin_block();
            }
            sample_round();
        }
        if (search_over) {
            settle_what_is_there();
        }
        return true;
    }

    bool all_finished() const {
        return std::all_of(beams.begin(), beams.end(), [](const path & beam) { return beam.finished(); });
    }

    // All empty responses are one path, even if several of them are beams.
    path * parent_of(path & beam) { return beam.tokens.empty() ? &root : &beam; }

    void begin_block() {
        block.emplace();
        for (path & beam : beams) {
            if (!beam.finished()) {
                block->parents.push_back(parent_of(beam));
            }
        }
        block->n_before = block->parents[0]->tokens.size();
        block->width    = size_t(std::min(options.n_candidates, options.n_start));
    }

    // The first round of a block starts narrow and widens until it satisfies. Retries have full width. The rounds end
    // once any candidate may continue.
    void sample_round() {
        block_rounds & b      = *block;
        const size_t   widest = size_t(options.n_candidates);
        const size_t   n      = b.width - b.n_sampled;
        ++result.n_rounds;
        expand.take_sequences(b.width);
        if (!expand.fits(b.parents, n)) {
            release(b.accepted);
        }
        const int64_t     generated_before = expand.n_generated();
        const int64_t     beside_before    = expand.n_beside_plain();
        const token_limit limit      = { options.restart_limit() - n_restarted(), options.search_limit() - searched };
        const block_spec  wanted     = { b.parents, n, options.block_length, b.avoided, n_blocks++ };
        std::vector<path> candidates = expand.expand(wanted, limit);
        if (expand.was_cut() && expand.n_generated() == generated_before && options.may_restart() && !in_trouble) {
            be_in_trouble();
            candidates =
                expand.expand(wanted, limit);  // up to the token limit, which excludes plain sampling's response
        }
        searched += expand.n_beside_plain() - beside_before;
        search_over = expand.was_cut();
        std::rotate(b.parents.begin(), b.parents.begin() + std::ptrdiff_t(n % b.parents.size()), b.parents.end());
        b.n_sampled = b.width;
        leave_repetition(candidates);
        keep_plain(candidates);
        split_by_verdict(std::move(candidates), b);

        if (b.width == widest && b.accepted.empty()) {
            be_in_trouble();
        }
        if (is_done(b)) {
            end_block();
        } else if (b.width < widest) {
            b.width = std::min(widest, b.width * size_t(options.growth));
        } else {
            ++b.round;
            b.n_sampled = 0;
            b.avoided   = b.failed;
        }
    }

    bool is_done(const block_rounds & b) const {
        const bool is_widest = b.width == size_t(options.n_candidates);
        if (search_over) {
            return true;
        }
        if (!b.accepted.empty()) {
            return is_widest || satisfied(b);
        }
        const bool all_failed_late =
            !b.failed_late.empty() &&
            !b.failed_early;  // more below the same prefix would reveal as little before they end
        return all_failed_late || (is_widest && b.round == options.n_retries);
    }

    // The number of survivors out of n_sampled candidates: the same share at every width.
    size_t n_survivors(size_t n_sampled) const {
        return std::max<size_t>(1, size_t(options.n_beams) * n_sampled / size_t(options.n_candidates));
    }

    // Whether enough candidates are good enough not to widen: finished ones, and those of which the critic is sure.
    // Without a critic, those that the cost model accepts.
    bool satisfied(const block_rounds & b) const {
        const auto sure = [&](const path & p) {
            const bool judged = options.asks_critic() && !p.finished() && !p.notes.empty();
            return !judged || p.notes.back().p_safe - options.uncertainty_penalty * p.notes.back().p_safe_std >=
                                  options.satisfied_p_safe;
        };
        return size_t(std::count_if(b.accepted.begin(), b.accepted.end(), sure)) >= n_survivors(b.n_sampled);
    }

    // If draws yield only known candidates, later candidates begin with other tokens.
    void leave_repetition(const std::vector<path> & candidates) {
        if (!options.enforces_budget()) {
            return;
        }
        block->n_drawn += candidates.size();
        const auto is_known = [&](const path & p) {
            return !block->known.insert(p.tokens).second;
        };
        const size_t n_known = size_t(std::count_if(candidates.begin(), candidates.end(), is_known));
        if (block->n_drawn < least_drawn || n_known < candidates.size()) {
            return;
        }
        for (path * parent : block->parents) {
            if (!parent->distinct) {
                parent->distinct = true;
                parent->next_tokens.clear();
            }
        }
    }

    void keep_plain(const std::vector<path> & candidates) {
        for (const path & p : candidates) {
            if (p.plain) {
                plain.reset();
                if (!p.finished() && p.paid.within_budgets()) {
                    plain        = path(p, p.random);
                    plain->plain = true;
                }
            }
        }
    }

    void split_by_verdict(std::vector<path> candidates, block_rounds & b) {
        std::vector<path> rejected = evaluate_and_reject(candidates, b.n_before, b.round);
        for (path & p : rejected) {
            for (size_t t = b.n_before; t < p.tokens.size(); ++t) {
                b.failed.resize(std::max(b.failed.size(), t - b.n_before + 1));
                ++b.failed[t - b.n_before][p.tokens[t]];
            }
            if (failed_late(p)) {
                b.failed_late.push_back(std::move(p));
            } else {
                b.failed_early = true;
            }
        }
        for (path & p : candidates) {
            if (p.plain && plain) {
                plain->node = p.node;
            }
            b.accepted.push_back(std::move(p));
        }
        if (in_trouble) {
            part_from_plain(b.accepted);
        }
    }

    void decide(path & p, verdict judgement) {
        p.judgement = judgement;
        tree.note(p);
    }

    // Continues a path that others were preferred to.
    void resume(path & p) { decide(p, p.finished() ? verdict::finished : verdict::open); }

    // Leaves the candidates that may continue or are an answer, and returns the others.
    std::vector<path> evaluate_and_reject(std::vector<path> & candidates, size_t n_before, int32_t round) {
        estimates.evaluate(candidates);
        tree.add(candidates, n_before, round);
        const auto is_accepted = [](const path & p) {
            return !is_rejected(p.judgement);
        };
        const auto        first_rejected = std::stable_partition(candidates.begin(), candidates.end(), is_accepted);
        std::vector<path> rejected(std::make_move_iterator(first_rejected), std::make_move_iterator(candidates.end()));
        candidates.erase(first_rejected, candidates.end());
        for (path & p : rejected) {
            steered = true;
            if (result.first_rejected.text.empty()) {
                result.first_rejected = { p.text, p.residual.sum };
            }
            expand.release(p);
            if (failed_late(p)) {
                be_in_trouble();
            }
        }
        return rejected;
    }

    // Whether only a model of whole texts rejected the response, once it was finished.
    bool failed_late(const path & p) const { return p.finished() && p.ends.back().may_stop_here; }

    // Replaces the beams by the best continuations, or by none if there are none.
    void end_block() {
        block_rounds b = std::move(*block);
        block.reset();
        std::vector<path> & accepted = b.accepted;
        if (accepted.empty() && search_over && !options.enforces_budget()) {
            return;  // the beams become the answer
        }
        std::vector<path> spared, left;
        for (path & beam : beams) {
            if (beam.finished()) {
                accepted.push_back(std::move(beam));
                continue;
            }
            path &     parent = *parent_of(beam);
            const auto place  = size_t(std::find(b.parents.begin(), b.parents.end(), &parent) - b.parents.begin());
            expand.release(parent);
            if (!options.is_random()) {
                keep_for_other_tokens(parent);
            }
            const bool was_sampled = beam.tokens.empty() || place < b.n_sampled;
            (was_sampled || !options.enforces_budget() ? left : spared).push_back(std::move(beam));
        }
        std::vector<path> passed_over = pass_over(accepted);
        std::vector<path> rest        = select(accepted, n_survivors(b.n_sampled));
        for (path & p : rest) {
            decide(p, verdict::not_selected);
        }
        for (std::vector<path> * paths : { &spared, &rest, &passed_over }) {
            keep_as_fallbacks(std::move(*paths));
        }
        beams = std::move(accepted);
        if (beams.empty()) {
            ended = std::move(b.failed_late.empty() ? left : b.failed_late);
        } else if (options.stream && !all_finished()) {
            commit_what_is_shared();
        }
    }

    // If tokens are not sampled, this path is the only source of its other tokens. It is kept as the last choice.
    void keep_for_other_tokens(const path & parent) {
        if (options.enforces_budget() && parent.begun.size() < size_t(models.model.n_vocab())) {
            path again   = parent;
            again.seq    = -1;
            again.n_held = 0;
            again.next_tokens.clear();
            again.promising = false;
            again.score     = -std::numeric_limits<double>::infinity();
            part_from_plain(again);
            fallbacks.keep({ std::move(again) });
        }
    }

    // If some candidates are likely to end within budget, the others are not continued.
    std::vector<path> pass_over(std::vector<path> & accepted) {
        const auto unlikely =
            std::stable_partition(accepted.begin(), accepted.end(), [](const path & p) { return p.promising; });
        std::vector<path> others;
        if (unlikely == accepted.begin()) {
            return others;
        }
        for (auto p = unlikely; p != accepted.end(); ++p) {
            steered = true;
            decide(*p, verdict::unlikely_safe);
            others.push_back(std::move(*p));
        }
        accepted.erase(unlikely, accepted.end());
        return others;
    }

    std::vector<path> select(std::vector<path> & candidates, size_t k) {
        return options.selection == SELECTION_SOFT ? select_soft(candidates, k, options, selection_random) :
                                                     select_top(candidates, k);
    }

    void keep_as_fallbacks(std::vector<path> paths) {
        release(paths);
        part_from_plain(paths);
        fallbacks.keep(std::move(paths));
    }

    void commit_what_is_shared() {
        edge.advance(beams);
        fallbacks.keep_only(edge.committed());
        if (plain && !plain->starts_with(edge.committed())) {
            plain.reset();
        }
    }

    // Goes back from a dead end: by one block, then two, four and so on to the start, then by one again. Fallbacks of
    // that depth continue. If there are none, the responses that ended get other continuations there.
    bool backtrack() {
        if (result.n_backtracks >= options.max_backtracks) {
            return false;
        }
        be_in_trouble();
        const size_t n_committed = edge.committed().size();
        const size_t end         = ended.empty() ? n_committed : ended[0].tokens.size();
        const size_t reach       = size_t(options.block_length) << n_doublings;
        const bool   to_start    = end <= n_committed + reach;
        n_doublings              = to_start ? 0 : n_doublings + 1;
        beams                    = fallbacks.take_finished();
        if (beams.empty() && !to_start) {
            beams = fallbacks.take(size_t(options.n_beams), end - reach, end - reach + size_t(options.block_length));
        }
        if (beams.empty() && options.is_random()) {
            beams = prefixes(to_start ? n_committed : end - reach);
        }
        if (beams.empty()) {
            beams = fallbacks.take_longest(size_t(options.n_beams));
        }
        for (path & beam : beams) {
            resume(beam);
        }
        result.n_backtracks += beams.empty() ? 0 : 1;
        return !beams.empty();
    }

    // The distinct prefixes of the responses that ended, to be continued differently.
    std::vector<path> prefixes(size_t n_tokens) {
        std::vector<path> found;
        for (const path & p : ended) {
            const bool is_longer = p.tokens.size() > n_tokens || (p.tokens.size() == n_tokens && !p.finished());
            if (!is_longer || found.size() == size_t(options.n_beams)) {
                continue;
            }
            const auto same = [&](const path & other) {
                return p.starts_with(other.tokens);
            };
            if (std::none_of(found.begin(), found.end(), same)) {
                found.push_back(prefix_of(p, n_tokens));
            }
        }
        return found;
    }

    path prefix_of(const response & r, size_t n_tokens) {
        path prefix(root, random_stream(options.seed, prefix_stream, n_prefixes++));
        for (size_t t = 0; t < n_tokens; ++t) {
            expand.append(prefix, r.tokens[t], r.ends[t].log_likelihood - prefix.log_likelihood);
        }
        for (const critic_note & note : r.notes) {
            if (note.n_tokens <= n_tokens) {
                prefix.notes.push_back(note);
            }
        }
        prefix.node = tree.ancestor(r, n_tokens);
        return prefix;
    }

    // From here on, restarts keep pace with the search, and the search no longer follows plain sampling's response.
    void be_in_trouble() {
        if (in_trouble || !options.may_restart()) {
            return;
        }
        in_trouble       = true;
        searched_before  = searched;
        restarted_before = n_restarted();
        part_from_plain(root);
        part_from_plain(beams);
        if (block) {
            part_from_plain(block->accepted);
        }
    }

    void part_from_plain(std::vector<path> & paths) {
        for (path & p : paths) {
            part_from_plain(p);
        }
    }

    // Otherwise the search would repeat the draws of the first restart.
    void part_from_plain(path & p) {
        if (p.plain) {
            p.plain  = false;
            p.random = random_stream(options.seed, prefix_stream, n_prefixes++);
            p.next_tokens.clear();
        }
    }

    bool restart_is_due() const { return in_trouble && searched - searched_before > n_restarted() - restarted_before; }

    // Continues plain sampling's response, or samples whole responses from the start, which are judged only when
    // finished. Returns false if there is nothing more to sample.
    bool restart() {
        const int64_t n_left  = options.restart_limit() - n_restarted();
        const bool    goes_on = options.may_restart() && n_left > 0 && (plain || options.is_random()) &&
                                result.n_backtracks < options.max_backtracks;
        if (!goes_on) {
            return false;
        }
        be_in_trouble();
        std::optional<path> taken    = std::exchange(plain, std::nullopt);
        path &              start    = taken ? *taken : restart_root();
        const size_t        n_before = start.tokens.size();
        const int32_t       length   = options.max_tokens - int32_t(n_before);
        const size_t        n        = taken ? 1 : n_side_by_side(start, length, n_left);
        make_room_for_restarts(start, n);
        ++result.n_rounds;
        ++result.n_backtracks;
        const rejected_tokens nothing;
        std::vector<path>     candidates =
            expand.expand({ { &start }, n, length, nothing, restart_stream, n_restarts }, { n_left, n_left });
        n_restarts += taken ? 0 : n;
        expand.release(start);
        evaluate_and_reject(candidates, n_before, /*round =*/0);
        settle(candidates);
        return true;
    }

    // The committed text, or the prompt. Restart i does not depend on what happens between restarts.
    path & restart_root() {
        if (!restarts_from || restarts_from->tokens != edge.committed()) {
            response committed;
            committed.tokens = edge.committed();
            for (size_t t = 0; t < committed.tokens.size(); ++t) {
                committed.ends.push_back({ 0, 0, edge.log_likelihoods()[t], true });
            }
            committed.notes       = edge.notes();
            restarts_from         = prefix_of(committed, committed.tokens.size());
            restarts_from->random = random_stream(options.seed, restart_stream, std::numeric_limits<uint64_t>::max());
            restarts_from->seq    = committed.tokens.empty() && root.seq == 0 ? 0 : -1;
        }
        return *restarts_from;
    }

    // Restarts run in parallel: as many as catch up with the search, if the token limit has a whole response for each.
    size_t n_side_by_side(const path & start, int64_t length, int64_t n_left) const {
        const int64_t behind = search_over ? n_left : searched - searched_before - (n_restarted() - restarted_before);
        const int64_t n_listed =
            options.n_candidates - int64_t(start.n_used) % options.n_candidates;  // unused first tokens
        const int64_t n =
            std::min({ (behind + length - 1) / length, n_left / length, int64_t(options.n_beams), n_listed });
        return size_t(std::max<int64_t>(1, n));
    }

    // Restarts take the place of beams.
    void make_room_for_restarts(path & start, size_t n) {
        expand.take_sequences(size_t(options.n_start));
        if (block) {
            release(block->accepted);
        }
        const auto holds_some = [](const path & beam) {
            return beam.seq > 0;
        };
        const size_t n_held = size_t(std::count_if(beams.begin(), beams.end(), holds_some));
        if (n + n_held > size_t(options.n_beams) || !expand.fits({ &start }, n)) {
            release(beams);
            expand.release(root);
        }
    }

    void release(std::vector<path> & paths) {
        for (path & p : paths) {
            expand.release(p);
        }
    }

    // The answer is the best finished response that passes the true cost model again.
    void settle(std::vector<path> & finished) {
        select(finished, finished.size());  // in order
        for (path & p : finished) {
            if (answered) {
                decide(p, verdict::not_selected);
            } else {
                answer_with(p);
            }
            expand.release(p);
        }
    }

    // The search is over. It can answer with finished beams and fallbacks and, if no budget is enforced, with
    // unfinished beams.
    void settle_what_is_there() {
        std::vector<path> usable;
        for (path & beam : beams) {
            if (beam.finished() || !options.enforces_budget()) {
                usable.push_back(std::move(beam));
            } else {
                expand.release(beam);
                decide(beam, verdict::out_of_tokens);
            }
        }
        beams.clear();
        do {
            for (path & p : fallbacks.take_finished()) {
                usable.push_back(std::move(p));
            }
            settle(usable);
        } while (!answered && !std::exchange(usable, {}).empty());
    }

    void answer_with(path & p) {
        measurement measured = estimates.measure_finished(p);
        if (options.enforces_budget() && !measured.confirms(p)) {
            steered = true;
            decide(p, verdict::failed_recheck);
            return;
        }
        answered = true;
        expand.keep(&p);
        resume(p);
        tree.answer(p);
        if (options.stream) {
            edge.finish(measured.text);
        }
        const search_outcome outcome = !options.enforces_budget() ? OUTCOME_UNGUARDED :
                                       steered                    ? OUTCOME_STEERED :
                                                                    OUTCOME_SAFE;
        report_answer(result, outcome, p, std::move(measured));
    }

    // No acceptable answer was found. The committed text stays, and is safe by itself.
    void stop_short() {
        if (options.enforces_budget() && !edge.has_text()) {
            result.outcome = OUTCOME_REFUSED;
            report_measurement(result, estimates.measure_prefix({}, {}));
            return;
        }
        result.outcome  = options.enforces_budget() ? OUTCOME_TRUNCATED : OUTCOME_UNGUARDED;
        result.tokens   = edge.committed();
        result.residual = edge.residual();
        result.notes    = edge.notes();
        report_log_likelihoods(result, edge.log_likelihoods());
        report_measurement(result, estimates.measure_prefix(result.tokens, edge.costs()));
    }
};

}  // namespace

search_result search(const search_models &         models,
                     const std::vector<token_id> & prompt,
                     const search_options &        options,
                     const cancel_flag &           cancel,
                     const commit_function &       commit) {
    return search_run(models, options, cancel, commit).run(prompt);
}

}  // namespace ig
