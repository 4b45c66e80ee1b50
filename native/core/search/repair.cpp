#include "search/repair.h"

#include "search/estimator.h"
#include "search/expansion.h"
#include "support/stopwatch.h"

namespace ig {

namespace {

const seq_id asked_seq = 0;
const seq_id noted_seq = 1;

sampling_options greedy() {
    sampling_options options;
    options.temperature = 0;
    return options;
}

class repair_run {
  public:
    repair_run(const search_models &         models,
               const std::vector<token_id> & prompt,
               const std::vector<token_id> & noted,
               int64_t                       context_size,
               const search_options &        options,
               const cancel_flag &           cancel) :
        models(models),
        prompt(prompt),
        noted(noted),
        options(options),
        cancel(cancel),
        limit(std::min<int64_t>(options.repair_limit(), context_size - int64_t(noted.size()))),
        sampler(greedy()),
        expand(models, options, cancel, result.timings),
        estimates(models, options, cancel, result.timings),
        tree(models.constraints, models.session->prefill().text.size(), options.trace),
        attempt(expand.empty_path(random_stream(options.seed, 0, 0))) {}

    search_result run() {
        {
            stopwatch  watch(result.timings.total);
            const bool may_begin = attempt.paid.within_budgets();  // the prefill is within them
            if (may_begin && limit > 0 && finds_room()) {
                read_prompts();
                grow();
                settle();
            }
        }
        result.n_generated = int64_t(attempt.tokens.size());
        result.cells       = models.model.cells();
        result.trace       = tree.take();
        return std::move(result);
    }

  private:
    const search_models &         models;
    const std::vector<token_id> & prompt;
    const std::vector<token_id> & noted;
    const search_options &        options;
    const cancel_flag &           cancel;
    const int64_t                 limit;  // tokens
    search_result                 result;
    token_sampler                 sampler;
    expander                      expand;
    estimator                     estimates;
    search_trace                  tree;
    path                          attempt;  // after the prompt as it was asked

    // A refusal remains one if there is no room for a repair.
    bool finds_room() {
        const int64_t n_cells = int64_t(prompt.size() + noted.size()) + 2 * limit;
        try {
            result.n_reused = models.model.reserve({ 2, n_cells }, reusable_part(models, options, prompt), cancel);
            return true;
        } catch (const error & e) {
            if (e.code != "KV_CAPACITY") {
                throw;
            }
            return false;
        }
    }

    void read_prompts() {
        stopwatch                watch(result.timings.prefill);
        std::vector<decode_item> items;
        for (size_t i = size_t(result.n_reused); i + 1 < prompt.size(); ++i) {
            items.push_back({ asked_seq, int32_t(i), prompt[i], reads_residual(i) });
        }
        for (size_t i = 0; i + 1 < noted.size(); ++i) {
            items.push_back({ noted_seq, int32_t(i), noted[i] });
        }
        models.model.extend(
            items, [&](size_t, const float * row) { attempt.residual.add(row, models.model.n_residual()); }, cancel);
    }

    // Whether that of the token at this position of the prompt as it was asked is to be read.
    bool reads_residual(size_t position) const {
        return models.model.n_residual() > 0 && attempt.residual.lacks(position, prompt.size());
    }

    // One token per step; a cost model of tokens may end it early.
    void grow() {
        stopwatch watch(result.timings.decode);
        ++result.n_rounds;
        while (!attempt.finished() && attempt.paid.within_budgets() && int64_t(attempt.tokens.size()) < limit) {
            step();
        }
    }

    // Draws after the note. The likelihood is taken after the prompt as it was asked.
    void step() {
        const size_t n_vocab = size_t(models.model.n_vocab());
        const size_t t       = attempt.tokens.size();
        const auto   item    = [&](seq_id seq, const std::vector<token_id> & behind) {
            const token_id last     = t == 0 ? behind.back() : attempt.tokens.back();
            const size_t   position = behind.size() + t - 1;
            return decode_item{ seq, int32_t(position), last, seq == asked_seq && reads_residual(position) };
        };
        sampled_token      drawn = { 0, 0 };
        std::vector<float> asked_logits;
        random_stream      random = attempt.random.branch(t);
        models.model.step(
            { item(asked_seq, prompt), item(noted_seq, noted) }, {},
            [&](const output_row & row) {
                if (row.index == size_t(noted_seq)) {
                    const row_source source = { n_vocab, row.head, [&] { return models.model.logits(row); } };
                    sampler.read(source, nullptr, 0);
                    drawn = sampler.draw(random);
                    return;
                }
                const float * logits = models.model.logits(row);
                asked_logits.assign(logits, logits + n_vocab);
                attempt.residual.add(row.residual, models.model.n_residual());
            },
            cancel);
        expand.append(attempt, drawn.token,
                      asked_logits[size_t(drawn.token)] - log_sum_exp(asked_logits.data(), n_vocab));
    }

    // Judges the response like every finished one, and again from its tokens alone. One that the limit cut is none.
    void settle() {
        if (!attempt.finished() && attempt.paid.within_budgets()) {
            return;
        }
        std::vector<path> candidates = { std::move(attempt) };
        estimates.evaluate(candidates);
        tree.add(candidates, 0, /*round =*/0);
        attempt = std::move(candidates[0]);
        if (is_rejected(attempt.judgement)) {
            return;
        }
        measurement measured = estimates.measure_finished(attempt);
        if (!measured.confirms(attempt)) {
            attempt.judgement = verdict::failed_recheck;
            tree.note(attempt);
            return;
        }
        tree.answer(attempt);
        report_answer(result, OUTCOME_REPAIRED, attempt, std::move(measured));
        keep();
    }

    // Keeps the sequence that was read, for the chat's next turn.
    void keep() {
        if (options.caches_prompt) {
            std::vector<token_id> held = prompt;
            held.insert(held.end(), attempt.tokens.begin(), attempt.tokens.end() - 1);
            models.model.keep(asked_seq, std::move(held));
        }
    }
};

}  // namespace

search_result repair(const search_models &         models,
                     const std::vector<token_id> & prompt,
                     const std::vector<token_id> & noted,
                     int64_t                       context_size,
                     const search_options &        options,
                     const cancel_flag &           cancel) {
    return repair_run(models, prompt, noted, context_size, options, cancel).run();
}

}  // namespace ig
