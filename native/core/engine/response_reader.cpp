#include "engine/response_reader.h"

namespace ig {

void read_response(decoder & model, const std::vector<token_id> & prompt, const std::vector<token_id> & response,
                   const std::vector<size_t> & lengths, bool with_hidden, const state_visitor & visit, const cancel_flag & cancel) {
    const int64_t n_cells = int64_t(prompt.size() + response.size());
    std::vector<decode_item> items;
    for (int32_t i = model.reserve({ 1, n_cells }, prompt, cancel); size_t(i) < prompt.size(); ++i) {
        items.push_back({ 0, i, prompt[size_t(i)] });
    }
    model.extend(items, nullptr, cancel);
    residual_sum residual;
    const auto add = [&](size_t, const float * row) { residual.add(row, model.n_residual()); };
    size_t n_read = 0;
    for (size_t length : lengths) {
        items.clear();
        for (; n_read < length; ++n_read) {
            items.push_back({ 0, int32_t(prompt.size() + n_read), response[n_read], model.n_residual() > 0 });
        }
        if (!with_hidden) {
            model.extend(items, add, cancel);
            visit({ length, residual, nullptr });
            continue;
        }
        const std::vector<decode_item> last = { items.back() };
        items.pop_back();
        model.extend(items, add, cancel);
        step_wishes wishes;
        wishes.hidden = true;
        model.step(last, wishes, [&](const output_row & row) {
            if (row.residual != nullptr) {
                add(0, row.residual);
            }
            visit({ length, residual, row.hidden });
        }, cancel);
    }
    std::vector<token_id> held = prompt;
    held.insert(held.end(), response.begin(), response.begin() + std::ptrdiff_t(n_read));
    model.keep(0, std::move(held));
}

}
