#include "search/search.h"

#include "safety/log_likelihood.h"
#include "search/estimator.h"
#include "search/expansion.h"
#include "search/frontier.h"
#include "search/selection.h"
#include "support/stopwatch.h"


namespace ig {

namespace {

const size_t max_reserves = 1024;

// expansions count from 0
const uint64_t selection_stream = std::numeric_limits<uint64_t>::max();
const uint64_t prefix_stream = std::numeric_limits<uint64_t>::max() - 2;

// candidates that were good enough but not chosen, by depth
class reserve_store {
  public:
    void keep(std::vector<path> paths) {
        for (path & p : paths) {
            by_length[p.finished() ? finished_depth : p.tokens.size()].push_back(std::move(p));
            ++n;
        }
        while (n > max_reserves) { // the shallowest go first
            std::vector<path> & shallowest = by_length.begin()->second;
            select_top(shallowest, shallowest.size() - 1);
            --n;
            drop_if_empty(by_length.begin());
        }
    }

    // The k best of the deepest block; a finished response comes before any other.
    std::vector<path> take_deepest(size_t k) {
        if (by_length.empty()) {
            return {};
        }
        const auto deepest = std::prev(by_length.end());
        std::vector<path> best = std::move(deepest->second);
        deepest->second = select_top(best, deepest->first == finished_depth ? 1 : k);
        n -= best.size();
        drop_if_empty(deepest);
        return best;
    }

    // The best finished one, if there is any.
    std::vector<path> take_finished() {
        const bool any = !by_length.empty() && std::prev(by_length.end())->first == finished_depth;
        return any ? take_deepest(1) : std::vector<path>();
    }

    void keep_only(const std::vector<token_id> & prefix) {
        for (auto at = by_length.begin(); at != by_length.end();) {
            std::vector<path> & paths = at->second;
            const auto other = [&](const path & p) { return !p.starts_with(prefix); };
            const auto gone = std::remove_if(paths.begin(), paths.end(), other);
            n -= paths.end() - gone;
            paths.erase(gone, paths.end());
            at = paths.empty() ? by_length.erase(at) : std::next(at);
        }
    }

  private:
    static constexpr size_t finished_depth = std::numeric_limits<size_t>::max();

    std::map<size_t, std::vector<path>> by_length;
    size_t                              n = 0;

    void drop_if_empty(std::map<size_t, std::vector<path>>::iterator at) {
        if (at->second.empty()) {
            by_length.erase(at);
        }
    }
};

class search_run {
  public:
    search_run(const search_models & models, const search_options & options, const cancel_flag & cancel,
               const commit_function & commit)
        : options(options), models(models), expand(models, options, cancel, result.timings),
          judge(models, options, result.timings), edge(models, options, commit), tree(models.constraints, options.trace),
          selection_random(options.seed, selection_stream, 0), root(response(), selection_random) {}

    search_result run(const std::vector<token_id> & prompt) {
        {
            stopwatch watch(result.timings.total);
            find_answer(prompt);
        }
        result.n_generated = expand.n_generated();
        result.n_reused = expand.n_reused_tokens();
        result.cells = models.model.cells();
        result.trace = tree.take();
        return std::move(result);
    }

  private:
    const search_options & options;
    const search_models &  models;
    search_result          result;
    expander               expand;
    estimator              judge;
    frontier               edge;
    reserve_store          reserves;
    search_trace           tree;
    random_stream          selection_random;
    path                   root;
    std::vector<path>      beams;
    bool                   steered = false;
    bool                   answered = false;

    void find_answer(const std::vector<token_id> & prompt) {
        root = expand.start(prompt);
        beams.push_back(path(root, root.random));
        while (!answered && !expand.exhausted()) {
            if (beams.empty() && !backtrack()) {
                break;
            }
            if (all_finished()) {
                settle();
                continue;
            }
            next_block();
            if (options.stream && !all_finished()) {
                edge.advance(beams);
                reserves.keep_only(edge.committed());
            }
        }
        if (!answered) {
            settle_out_of_compute();
        }
        if (!answered) {
            expand.keep(nullptr);
            stop_short();
        }
    }

    bool all_finished() const {
        return std::all_of(beams.begin(), beams.end(), [](const path & beam) { return beam.finished(); });
    }

    // The empty response is one path, however often it is a beam.
    path * parent_of(path & beam) { return beam.tokens.empty() ? &root : &beam; }

    // Replaces the beams by the best continuations of the next block, or by nothing where there are none.
    void next_block() {
        std::vector<path *> growing;
        for (path & beam : beams) {
            if (!beam.finished()) {
                growing.push_back(parent_of(beam));
            }
        }
        block_sample sampled = sample_rounds(growing);
        std::vector<path> & accepted = sampled.accepted;
        if (accepted.empty() && expand.exhausted() && !options.enforces_budget()) {
            return; // the beams as they are will be the answer
        }
        std::vector<path> spared;
        for (path & beam : beams) {
            if (beam.finished()) {
                accepted.push_back(std::move(beam));
                continue;
            }
            const auto place = std::find(growing.begin(), growing.end(), parent_of(beam)) - growing.begin();
            expand.release(*growing[size_t(place)]);
            if (options.enforces_budget() && !beam.tokens.empty() && size_t(place) >= sampled.n_sampled) {
                spared.push_back(std::move(beam)); // nothing was sampled on top of it
            }
        }
        std::vector<path> rest = select(accepted, n_survivors(sampled.n_sampled));
        for (path & p : rest) {
            expand.release(p);
            tree.prune(p, PRUNE_NOT_SELECTED);
        }
        reserves.keep(std::move(spared));
        reserves.keep(std::move(rest));
        beams = std::move(accepted);
    }

    std::vector<path> select(std::vector<path> & candidates, size_t k) {
        return options.selection == SELECTION_SOFT ? select_soft(candidates, k, options, selection_random)
                                                   : select_top(candidates, k);
    }

    struct block_sample {
        std::vector<path> accepted;
        size_t            n_sampled = 0; // candidates of the round
    };

    // Survivors of so many candidates: the same share whatever the width.
    size_t n_survivors(size_t n_sampled) const {
        return std::max<size_t>(1, size_t(options.n_beams) * n_sampled / size_t(options.n_candidates));
    }

    // Whether enough candidates need no others beside them: finished ones, and those of which the critic is sure; without a
    // critic those that the cost model accepts.
    bool satisfied(const block_sample & sampled) const {
        const auto sure = [&](const path & p) {
            const bool judged = options.asks_critic() && !p.finished() && !p.notes.empty();
            return !judged || p.notes.back().p_safe - options.uncertainty_penalty * p.notes.back().p_safe_std >= options.satisfied_p_safe;
        };
        const std::vector<path> & accepted = sampled.accepted;
        return size_t(std::count_if(accepted.begin(), accepted.end(), sure)) >= n_survivors(sampled.n_sampled);
    }

    // Rounds of candidates until at least one may be continued. The first one widens from a narrow start as long as it does not
    // satisfy; retries are as wide as can be.
    block_sample sample_rounds(std::vector<path *> growing) {
        tried_tokens tried;
        const size_t widest = size_t(options.n_candidates);
        const size_t depth = growing[0]->tokens.size();
        for (int32_t round = 0; round <= options.n_retries && !expand.exhausted(); ++round) {
            block_sample sampled;
            tried_tokens failed = tried;
            size_t width = round == 0 ? std::min(widest, size_t(options.n_start)) : widest;
            for (;;) {
                ++result.n_rounds;
                expand.take_sequences(width);
                if (!expand.fits(growing, width - sampled.n_sampled)) {
                    for (path & p : sampled.accepted) {
                        expand.release(p);
                    }
                }
                std::vector<path> candidates = expand.expand(growing, width - sampled.n_sampled, tried);
                std::rotate(growing.begin(), growing.begin() + std::ptrdiff_t((width - sampled.n_sampled) % growing.size()), growing.end());
                sampled.n_sampled = width;
                sort_out(std::move(candidates), depth, round, sampled.accepted, failed);
                if (width == widest || expand.exhausted() || satisfied(sampled)) {
                    break;
                }
                width = std::min(widest, width * size_t(options.growth));
            }
            if (!sampled.accepted.empty()) {
                return sampled;
            }
            tried = std::move(failed);
        }
        return { {}, widest };
    }

    void sort_out(std::vector<path> candidates, size_t depth, int32_t round, std::vector<path> & accepted, tried_tokens & failed) {
        judge.judge(candidates);
        tree.add(candidates, depth, round);
        for (path & p : candidates) {
            if (p.score > -std::numeric_limits<double>::infinity()) {
                accepted.push_back(std::move(p));
                continue;
            }
            steered = true;
            expand.release(p);
            for (size_t t = depth; t < p.tokens.size(); ++t) {
                failed.resize(std::max(failed.size(), t - depth + 1));
                ++failed[t - depth][p.tokens[t]];
            }
        }
    }

    // Returns to the best reserve, or to the committed prefix where fresh random numbers can lead elsewhere.
    bool backtrack() {
        if (result.n_backtracks >= options.max_backtracks) {
            return false;
        }
        beams = reserves.take_deepest(options.n_beams);
        for (const path & beam : beams) {
            tree.resume(beam);
        }
        if (beams.empty()) {
            const bool random = options.expansion == EXPANSION_SAMPLE && options.sampling.temperature > 0;
            if (!random) {
                return false;
            }
            path prefix(root, random_stream(options.seed, prefix_stream, uint64_t(result.n_backtracks)));
            for (size_t t = 0; t < edge.committed().size(); ++t) {
                expand.append(prefix, edge.committed()[t], edge.log_likelihood(t) - prefix.log_likelihood);
            }
            prefix.notes = edge.notes();
            beams.push_back(std::move(prefix));
        }
        ++result.n_backtracks;
        return true;
    }

    // All beams are finished: the best that passes the true cost model once more is the answer.
    void settle() {
        select(beams, beams.size()); // in order
        for (path & beam : beams) {
            if (answered) {
                tree.prune(beam, PRUNE_NOT_SELECTED);
            } else {
                answer_with(beam);
            }
            expand.release(beam);
        }
        beams.clear();
    }

    void settle_out_of_compute() {
        std::vector<path> usable;
        for (path & beam : beams) {
            if (beam.finished() || !options.enforces_budget()) {
                usable.push_back(std::move(beam));
            } else {
                tree.prune(beam, PRUNE_LIMIT);
            }
        }
        beams = std::move(usable);
        do {
            for (path & p : reserves.take_finished()) {
                beams.push_back(std::move(p));
            }
            if (beams.empty()) {
                return;
            }
            settle();
        } while (!answered);
    }

    void answer_with(const path & p) {
        measurement measured = judge.measure_finished(p);
        if (options.enforces_budget() && (!measured.within_budget || measured.text != p.text)) {
            steered = true;
            tree.prune(p, PRUNE_RECHECK);
            return;
        }
        answered = true;
        expand.keep(&p);
        tree.resume(p);
        tree.answer(p);
        result.outcome = !options.enforces_budget() ? OUTCOME_UNGUARDED : steered ? OUTCOME_STEERED : OUTCOME_SAFE;
        result.finish = p.finished() ? p.finish : FINISH_LENGTH;
        result.notes = p.notes;
        result.reward = p.reward;
        result.has_reward = p.finished();
        result.mean_log_likelihood = mean_log_likelihood(p.view());
        result.tokens = p.tokens;
        if (p.finish == FINISH_STOP) {
            result.end_token = result.tokens.back();
            result.tokens.pop_back();
        }
        if (options.stream) {
            edge.finish(measured.text);
        }
        report(std::move(measured));
    }

    // Nothing acceptable was found: what is committed stays, and is safe as it stands.
    void stop_short() {
        if (options.enforces_budget() && !edge.has_text()) {
            result.outcome = OUTCOME_REFUSED;
            report(judge.measure_prefix({}, {}));
            return;
        }
        result.outcome = options.enforces_budget() ? OUTCOME_TRUNCATED : OUTCOME_UNGUARDED;
        result.tokens = edge.committed();
        result.notes = edge.notes();
        if (!result.tokens.empty()) {
            result.mean_log_likelihood = edge.log_likelihood(result.tokens.size() - 1) / double(result.tokens.size());
        }
        report(judge.measure_prefix(result.tokens, edge.costs()));
    }

    void report(measurement measured) {
        result.text = std::move(measured.text);
        result.cost = std::move(measured.cost);
        result.z = std::move(measured.z);
    }
};

}

search_result search(const search_models & models, const std::vector<token_id> & prompt, const search_options & options,
                     const cancel_flag & cancel, const commit_function & commit) {
    return search_run(models, options, cancel, commit).run(prompt);
}

}
