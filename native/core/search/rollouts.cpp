#include "search/rollouts.h"

#include "critic/features.h"
#include "search/estimator.h"
#include "search/expansion.h"

namespace ig {

namespace {

struct growing {
    const rollout_prompt * prompt;
    path                   text;
    rollout                result;
    std::vector<double>    highest_cost;  // per constraint
    sampled_token          drawn;         // the next token
};

search_options plain_sampling(const rollout_options & options) {
    search_options plain;
    plain.objective            = OBJECTIVE_REWARD;
    plain.sampling.temperature = options.temperature;
    plain.max_tokens           = options.max_tokens;
    return plain;
}

class rollout_run {
  public:
    rollout_run(const search_models & given, const rollout_options & options, const cancel_flag & cancel) :
        models(given),
        options(options),
        cancel(cancel),
        search(plain_sampling(options)),
        expand(models, search, cancel, timings),
        estimates(models, search, cancel, timings),
        samplers(models.model.n_row_threads(), token_sampler(search.sampling)) {
        top_k = std::min(options.top_k, models.model.n_vocab());
        for (const constraint & c : models.constraints) {
            judges_partial_texts = judges_partial_texts || c.whole_text != nullptr;
        }
    }

    rollout_batch run(const std::vector<rollout_prompt> & prompts) {
        rollout_batch batch;
        start(prompts);
        std::vector<growing *> live;
        for (growing & g : all) {
            live.push_back(&g);
        }
        for (int32_t t = 0; !live.empty(); ++t) {
            step(live, t);
            if (t % options.stride == 0 && t > 0 && judges_partial_texts) {
                judge_partial_texts(live);
            }
            batch.n_generated += int64_t(live.size());
            live = append(live);
        }
        label();
        for (growing & g : all) {
            batch.n_over_budget += g.text.paid.within_budgets() ? 0 : 1;
            batch.rollouts.push_back(std::move(g.result));
        }
        return batch;
    }

  private:
    search_models              models;  // of the current prompt
    const rollout_options &    options;
    const cancel_flag &        cancel;
    search_options             search;
    search_timings             timings;
    expander                   expand;
    estimator                  estimates;
    std::vector<token_sampler> samplers;  // one per thread that processes rows
    int32_t                    top_k;
    bool                       judges_partial_texts = false;
    std::vector<growing>       all;

    // Each prompt except its last token is decoded once and shared by its responses.
    void start(const std::vector<rollout_prompt> & prompts) {
        const std::vector<token_id> nothing;
        models.model.reserve({ options.n_sequences, options.n_cells }, nothing, cancel);
        std::vector<decode_item> items;
        for (const rollout_prompt & prompt : prompts) {
            models.session = prompt.session.get();
            for (int32_t i = 0; i < options.n_responses; ++i) {
                const random_stream random(options.seed, uint64_t(prompt.number), uint64_t(i));
                growing             g = { &prompt, expand.empty_path(random), rollout(), {}, {} };
                g.text.seq            = seq_id(all.size());
                g.highest_cost.resize(models.constraints.size(), 0);
                g.result.prompt   = prompt.number;
                g.result.response = i;
                if (i == 0) {
                    for (size_t k = 0; k + 1 < prompt.tokens.size(); ++k) {
                        items.push_back({ g.text.seq, int32_t(k), prompt.tokens[k] });
                    }
                }
                all.push_back(std::move(g));
            }
        }
        models.model.extend(items, nullptr, cancel);
        for (growing & g : all) {
            if (g.result.response > 0) {
                models.model.fork(g.text.seq - g.result.response, g.text.seq);
            }
        }
    }

    void step(const std::vector<growing *> & live, int32_t t) {
        std::vector<decode_item> items;
        for (const growing * g : live) {
            const std::vector<token_id> & prompt = g->prompt->tokens;
            const token_id                last   = t == 0 ? prompt.back() : g->text.tokens.back();
            items.push_back(
                { g->text.seq, int32_t(prompt.size()) - 1 + t, last, t > 0 && models.model.n_residual() > 0 });
        }
        step_wishes wishes;
        wishes.hidden = t % options.stride == 0;
        models.model.step(
            items, wishes,
            [&](const output_row & row) {
                growing &        g       = *live[row.index];
                const size_t     n_vocab = size_t(models.model.n_vocab());
                token_sampler &  sampler = samplers[row.thread];
                const row_source source  = { n_vocab, row.head, [&] { return models.model.logits(row); } };
                sampler.read(source, nullptr, 0);
                if (wishes.hidden) {
                    keep_position(g, row, t);
                }
                if (row.residual != nullptr) {
                    g.text.residual.sum.add(row.residual, models.model.n_residual());
                }
                g.drawn = sampler.draw(g.text.random);
            },
            cancel);
    }

    void keep_position(growing & g, const output_row & row, int32_t t) {
        const path &     p      = g.text;
        const double     before = t >= 2 ? p.ends[t - 2].log_likelihood : 0;
        const double     last   = t >= 1 ? p.log_likelihood - before : 0;
        const double     mean   = t >= 1 ? p.log_likelihood / t : 0;
        rollout_position position;
        position.n_tokens = t;
        position.summary =
            summarise_logits(models.model.logits(row), size_t(models.model.n_vocab()), top_k, last, mean);
        position.partial_cost.resize(models.constraints.size(), 0);
        for (size_t c = 0; c < models.constraints.size(); ++c) {
            position.cost.push_back(p.paid.cost(c));
        }
        position.highest_cost = g.highest_cost;
        position.hidden       = to_half(row.hidden, row.hidden != nullptr ? size_t(models.model.n_embd()) : 0);
        for (size_t place : options.mean_places) {
            const std::vector<float>    mean   = p.residual.sum.mean(place * options.n_stream, options.n_stream);
            const std::vector<uint16_t> halves = to_half(mean.data(), mean.size());
            position.mean.insert(position.mean.end(), halves.begin(), halves.end());
        }
        g.result.positions.push_back(std::move(position));
    }

    // The texts of one prompt are adjacent, so that one call judges them.
    template <typename F> void for_each_prompt(const std::vector<growing *> & some, F visit) {
        for (size_t begin = 0; begin < some.size();) {
            size_t end = begin;
            while (end < some.size() && some[end]->prompt == some[begin]->prompt) {
                ++end;
            }
            models.session = some[begin]->prompt->session.get();
            visit(std::vector<growing *>(some.begin() + begin, some.begin() + end));
            begin = end;
        }
    }

    void judge_partial_texts(const std::vector<growing *> & live) {
        for_each_prompt(live, [&](const std::vector<growing *> & siblings) {
            for (size_t c = 0; c < models.constraints.size(); ++c) {
                if (!models.constraints[c].whole_text) {
                    continue;
                }
                std::vector<text_view> texts;
                for (growing * g : siblings) {
                    texts.push_back(g->text.view());
                    texts.back().progress = &g->text.progress[c];
                }
                const std::vector<double> costs = models.session->cost(c).scores(texts);
                for (size_t i = 0; i < siblings.size(); ++i) {
                    siblings[i]->result.positions.back().partial_cost[c] = costs.at(i);
                }
            }
        });
    }

    std::vector<growing *> append(const std::vector<growing *> & live) {
        std::vector<growing *> still;
        for (growing * one : live) {
            growing & g = *one;
            expand.append(g.text, g.drawn.token, g.drawn.log_likelihood);
            for (size_t c = 0; c < models.constraints.size(); ++c) {
                g.highest_cost[c] = std::max(g.highest_cost[c], g.text.paid.cost(c));
            }
            if (g.text.finished()) {
                models.model.drop(g.text.seq);
            } else {
                still.push_back(&g);
            }
        }
        return still;
    }

    void label() {
        std::vector<growing *> finished;
        for (growing & g : all) {
            finished.push_back(&g);
        }
        for_each_prompt(finished, [&](const std::vector<growing *> & siblings) {
            std::vector<path> texts;
            for (growing * g : siblings) {
                texts.push_back(std::move(g->text));
            }
            estimates.evaluate(texts);
            for (size_t i = 0; i < siblings.size(); ++i) {
                growing & g     = *siblings[i];
                g.text          = std::move(texts[i]);
                g.result.tokens = g.text.tokens;
                g.result.reward = g.text.reward;
                for (size_t c = 0; c < models.constraints.size(); ++c) {
                    const double total   = g.text.paid.cost(c);
                    const bool   anytime = models.constraints[c].terms.anytime;
                    g.result.binding_cost.push_back(anytime ? std::max(g.highest_cost[c], total) : total);
                }
            }
        });
    }
};

}  // namespace

rollout_batch sample_rollouts(const search_models &               models,
                              const std::vector<rollout_prompt> & prompts,
                              const rollout_options &             options,
                              const cancel_flag &                 cancel) {
    return rollout_run(models, options, cancel).run(prompts);
}

}  // namespace ig
