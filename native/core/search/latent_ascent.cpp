#include "search/latent_ascent.h"

#include "search/latent_view.h"
#include "support/stopwatch.h"

#include <cmath>

namespace ig {

void latent_ascent::step(const std::vector<decode_item> & items,
                         const std::vector<path *> &      owners,
                         const std::vector<float> &       critic_inputs,
                         const row_reader &               read) const {
    const size_t        n_vocab = size_t(models.model.n_vocab());
    std::vector<output> outputs(items.size());
    step_wishes         wishes;
    wishes.hidden = true;
    models.model.step(
        items, wishes,
        [&](const output_row & row) {
            const float * whole = models.model.logits(row);
            outputs[row.index].logits.assign(whole, whole + n_vocab);
            outputs[row.index].hidden.assign(row.hidden, row.hidden + models.model.n_embd());
            owners[row.index]->residual.add(row.residual, models.model.n_residual());
        },
        cancel);
    const std::vector<float> proposals = propose(owners, outputs, critic_inputs);
    for (size_t i = 0; i < items.size(); ++i) {
        row_source source = { n_vocab, {}, [&] { return &proposals[i * n_vocab]; } };
        source.base       = outputs[i].logits.data();
        read(i, source, { i, i, 0, {}, outputs[i].hidden.data(), nullptr, nullptr });
    }
}

// The logits of the hidden states after the gradient steps, [items, n_vocab].
std::vector<float> latent_ascent::propose(const std::vector<path *> & owners,
                                          const std::vector<output> & outputs,
                                          const std::vector<float> &  critic_inputs) const {
    const size_t                    n = owners.size();
    std::vector<std::vector<float>> kept;
    std::vector<critic_input>       states;
    for (size_t i = 0; i < n; ++i) {
        const output & out = outputs[i];
        if (!std::isfinite(log_sum_exp(out.logits.data(), out.logits.size()))) {
            throw error("DECODE_FAILED",
                        "the logits that a gradient step begins at are no numbers; the model has overflowed");
        }
        kept.push_back(kept_output(models, out.hidden.data(), out.logits.data(), critic_inputs, i, n));
    }
    for (size_t i = 0; i < n; ++i) {
        states.push_back(latent_view(models, options, *owners[i], &kept[i], false));
    }
    std::vector<float> edited;
    {
        stopwatch watch(timings.critic);
        edited = models.judge->ascend(states, options.ascent, cancel);
    }
    return models.model.project(edited, outputs[0].hidden, outputs[0].logits);
}

}  // namespace ig
