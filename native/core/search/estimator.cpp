#include "search/estimator.h"

#include "safety/log_likelihood.h"
#include "search/latent_view.h"
#include "search/objective.h"
#include "support/stopwatch.h"

#include <cmath>

namespace ig {

namespace {

void expect_count(size_t expected, size_t got, const char * what) {
    if (expected != got) {
        throw error("INTERNAL", format("expected %zu %s, got %zu", expected, what, got));
    }
}

}  // namespace

bool estimator::is_out(const path & p) const {
    return options.enforces_budget() && (!p.paid.within_budgets() || is_rejected(p.judgement));
}

// The cost of a finished text is charged to its last token. The cost of a partial text is an estimate that only guides
// the search.
void estimator::charge_whole_texts(std::vector<path> & candidates) {
    std::vector<path *> requested;
    const bool          decides = options.enforces_budget() && options.estimator != ESTIMATOR_CRITIC;
    const bool          cost_counts =
        decides || options.objective == OBJECTIVE_LAGRANGIAN || options.objective == OBJECTIVE_COST;
    for (path & p : candidates) {
        p.judgement      = p.finished() ? verdict::finished : verdict::open;
        p.estimated_cost = 0;
        if ((p.finished() || cost_counts) && !is_out(p)) {
            requested.push_back(&p);
        }
    }
    for (size_t c = 0; c < models.constraints.size() && !requested.empty(); ++c) {
        const constraint & limit = models.constraints[c];
        if (!limit.whole_text) {
            continue;
        }
        std::vector<text_view> texts;
        for (path * p : requested) {
            texts.push_back(p->view());
            texts.back().progress = &p->progress[c];
        }
        const std::vector<double> costs = models.session->cost(c).scores(texts);
        expect_count(texts.size(), costs.size(), "costs");
        for (size_t i = 0; i < requested.size(); ++i) {
            path & p = *requested[i];
            if (p.finished()) {
                p.paid.charge_whole(c, costs[i]);
                continue;
            }
            const double cost = p.paid.cost_with_whole(c, costs[i]);
            p.estimated_cost += cost - p.paid.cost(c);
            if (decides && !ledger::allows_whole(limit, costs[i])) {
                p.judgement = verdict::judged_over_budget;
            }
        }
    }
    for (path & p : candidates) {
        if (options.enforces_budget() && !p.paid.within_budgets()) {
            p.judgement = verdict::over_budget;
        }
    }
}

void estimator::ask_critic(std::vector<path> & candidates) {
    std::vector<path *>       open;
    std::vector<critic_input> inputs;
    for (path & p : candidates) {
        const bool cut_off = p.has_latent == LATENT_NONE;  // by the token limit, before it had a latent state
        if (p.finished() || cut_off || is_out(p)) {
            continue;
        }
        open.push_back(&p);
        inputs.push_back(latent_view(models, options, p, &p.latent, p.has_latent == LATENT_FROM_DEVICE));
    }
    if (inputs.empty()) {
        return;
    }
    const std::vector<critic_output> outputs = models.judge->judge(inputs, cancel);
    expect_count(inputs.size(), outputs.size(), "critic outputs");
    for (size_t i = 0; i < open.size(); ++i) {
        const critic_output & out     = outputs[i];
        const bool            can_end = open[i]->paid.within_budgets();  // a text over budget cannot end within it
        open[i]->notes.push_back(
            { open[i]->tokens.size(), can_end ? out.p_safe : 0, can_end ? out.p_safe_std : 0, out.value });
    }
}

bool estimator::needs_reward(const path & p) const {
    if (is_out(p)) {
        return false;
    }
    const bool has_value = options.asks_critic() && options.ranks_by_value && p.has_latent != LATENT_NONE;
    const bool ranks     = !has_value && options.estimator != ESTIMATOR_LOG_LIKELIHOOD;
    return p.finished() || (ranks && options.n_candidates > 1);
}

void estimator::set_rewards(std::vector<path> & candidates) {
    std::vector<path *>    requested;
    std::vector<text_view> texts;
    for (path & p : candidates) {
        if (needs_reward(p)) {
            requested.push_back(&p);
            texts.push_back(p.view());
        }
    }
    if (texts.empty()) {
        return;
    }
    const std::vector<double> rewards = models.session->reward().scores(texts);
    expect_count(texts.size(), rewards.size(), "rewards");
    for (size_t i = 0; i < requested.size(); ++i) {
        requested[i]->reward   = rewards[i];
        requested[i]->rewarded = true;
    }
}

void estimator::evaluate(std::vector<path> & candidates) {
    {
        stopwatch watch(timings.cost);
        charge_whole_texts(candidates);
        set_rewards(candidates);
    }
    if (options.asks_critic()) {
        stopwatch watch(timings.critic);
        ask_critic(candidates);
    }
    const double discount = models.constraints.empty() ? 1 : models.constraints[0].terms.discount;
    for (path & p : candidates) {
        const double cost  = p.estimated_cost + p.paid.total_cost();
        double       worth = p.reward;
        p.promising        = !is_out(p);
        if (p.finished()) {
            worth *= std::pow(discount, double(p.tokens.size()));
        } else if (options.estimator == ESTIMATOR_LOG_LIKELIHOOD) {
            worth = mean_log_likelihood(p.view());
        } else if (options.asks_critic() && p.has_latent != LATENT_NONE && !is_out(p)) {
            const critic_note & note   = p.notes.back();
            const double        p_safe = note.p_safe - options.uncertainty_penalty * note.p_safe_std;
            p.promising                = p_safe > options.p_safe_threshold || !options.enforces_budget();
            worth                      = !p.promising ? p_safe : options.ranks_by_value ? note.value : p.reward;
        }
        p.score = objective(options, worth, cost);
        if (options.omega) {
            const double before = p.ends.size() >= 2 ? p.ends[p.ends.size() - 2].log_likelihood : 0;
            p.score             = p.log_likelihood - before + *options.omega * p.score;
        }
        p.latent.clear();
        p.has_latent = LATENT_NONE;
    }
}

measurement estimator::measure(const std::vector<token_id> & tokens, const whole_text_cost & judge_whole) {
    response    whole = begin_response(models);
    measurement result;
    result.z.resize(models.constraints.size());
    const auto report_z = [&] {
        for (size_t c = 0; c < models.constraints.size(); ++c) {
            result.z[c].push_back(whole.paid.z(c));
        }
    };
    report_z();
    for (size_t t = 0; t < tokens.size(); ++t) {
        const size_t n_text = whole.text.size();
        if (!models.model.is_end(tokens[t])) {
            options.stop.append(models.model.piece(tokens[t]), whole.end, whole.text);
        }
        whole.tokens.push_back(tokens[t]);
        const bool is_last = t + 1 == tokens.size();
        if (is_last) {
            whole.end.close(whole.text);
        }
        whole.paid.charge_token(tokens[t], std::string_view(whole.text).substr(n_text), is_last,
                                !whole.end.held.empty());
        for (size_t c = 0; c < models.constraints.size() && is_last; ++c) {
            if (models.constraints[c].whole_text) {
                whole.paid.charge_whole(c, judge_whole(c, whole));
            }
        }
        report_z();
    }
    for (size_t c = 0; c < models.constraints.size(); ++c) {
        result.cost.push_back(whole.paid.cost(c));
    }
    result.text          = std::move(whole.text);
    result.within_budget = whole.paid.within_budgets();
    return result;
}

measurement estimator::measure_finished(const path & finished) {
    stopwatch watch(timings.cost);
    return measure(finished.tokens, [&](size_t c, const response & whole) {
        const text_view view = {
            &whole.text, &whole.tokens, true, finished.log_likelihood, nullptr, &finished.residual.sum, finished.n_cut()
        };
        const std::vector<double> costs = models.session->cost(c).scores({ view });
        expect_count(1, costs.size(), "costs");
        return costs[0];
    });
}

measurement estimator::measure_prefix(const std::vector<token_id> & tokens,
                                      const std::vector<double> &   whole_text_costs) {
    return measure(tokens, [&](size_t c, const response &) { return whole_text_costs.at(c); });
}

void report_measurement(search_result & result, measurement measured) {
    result.text = std::move(measured.text);
    result.cost = std::move(measured.cost);
    result.z    = std::move(measured.z);
}

void report_log_likelihoods(search_result & result, const std::vector<double> & sums) {
    for (size_t t = 0; t < sums.size(); ++t) {
        result.log_likelihoods.push_back(sums[t] - (t > 0 ? sums[t - 1] : 0));
        result.mean_log_likelihood = sums[t] / double(t + 1);
    }
}

void report_answer(search_result & result, search_outcome outcome, const path & p, measurement measured) {
    result.outcome    = outcome;
    result.finish     = p.finished() ? p.finish : FINISH_LENGTH;
    result.notes      = p.notes;
    result.reward     = p.reward;
    result.has_reward = p.finished();
    result.residual   = p.residual.sum;
    std::vector<double> log_likelihoods;
    for (size_t t = 0; t + p.n_cut() < p.tokens.size(); ++t) {
        result.tokens.push_back(p.tokens[t]);
        log_likelihoods.push_back(p.ends[t].log_likelihood);
    }
    report_log_likelihoods(result, log_likelihoods);
    if (p.finish == FINISH_END) {
        result.end_token = result.tokens.back();
        result.tokens.pop_back();
    }
    report_measurement(result, std::move(measured));
}

}  // namespace ig
