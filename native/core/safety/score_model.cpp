#include "safety/score_model.h"

#include "safety/cost_kind.h"
#include "support/tensor_file.h"

namespace ig {

double linear_head::score(const float * hidden) const {
    double sum = bias;
    for (size_t i = 0; i < weight.size(); ++i) {
        sum += double(weight[i]) * hidden[i];
    }
    return sum;
}

linear_head load_head(const std::string & path, int32_t n_embd) {
    const tensor_file file(path, "INVALID_COST_MODEL");
    linear_head       head;
    head.weight = file.tensor("score.weight", { n_embd, 1 });
    if (file.has_tensor("score.bias")) {
        head.bias = file.tensor("score.bias", { 1 })[0];
    }
    return head;
}

std::unique_ptr<scoring_session> score_model::open(const session_scope & scope) const {
    const auto reading = std::make_shared<reading_session>(*model, scope.reading);
    return std::make_unique<plain_session>([this, &scope, reading](const std::vector<text_view> & texts) {
        std::vector<token_sequence> sequences;
        for (const text_view & view : texts) {
            sequences.push_back(pieces.fill(scope.prompt, *view.text, 0, scope.reading.cancel));
        }
        std::vector<double> result(texts.size());
        reading->read(sequences, [&](size_t i, size_t, const float * hidden) { result[i] = head.score(hidden); });
        return result;
    });
}

namespace {

std::unique_ptr<text_scorer> make_score_model(const scorer_spec & spec, cost_materials & with) {
    std::unique_ptr<text_model> body = with.load(spec.path, OUTPUT_HIDDEN);
    linear_head                 head = load_head(spec.head, body->width());
    return std::make_unique<score_model>(std::move(body), spec.pieces, std::move(head));
}

}  // namespace

const scorer_kind score_model_kind = { "scoreModel", make_score_model, nullptr };

}  // namespace ig
