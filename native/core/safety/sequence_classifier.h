// sequence_classifier.h owns the cost or reward model that is a classifier with a head of its own (BERT family, ModernBERT,
// Qwen3): the log-odds of the labels that are asked for (of the likeliest one, where labels are independent), or the one
// score of a head with one output. It reads the response alone, unless a template puts prompt and response together.
#pragma once

#include "safety/cost_model.h"
#include "safety/prompt_template.h"

#include <optional>

namespace ig {

struct scorer_kind;

// which classes count
struct class_choice {
    std::vector<std::string> labels;
    std::optional<bool>      independent;  // what the file says, where it is not given
};

class sequence_classifier : public text_scorer {
  public:
    // Without labels those of the usual words for "unsafe". Throws INVALID_OPTION for a label that the model has not, and
    // COST_MODEL_TOKENIZER.
    sequence_classifier(std::unique_ptr<text_model>      model,
                        std::unique_ptr<template_pieces> pieces,
                        const class_choice &             choice,
                        const std::string &              path);

    std::unique_ptr<scoring_session> open(const session_scope & scope) const override;

  private:
    std::unique_ptr<text_model>      model;
    std::unique_ptr<prompt_template> pieces;  // null: the response alone
    bool                             independent;
    std::vector<bool>                counts;  // [n_classes] whether the class is one of the labels

    double         log_odds(const float * logits) const;
    token_sequence tokens_of(const std::string & text, const session_scope & scope) const;
};

extern const scorer_kind sequence_classifier_kind;

}  // namespace ig
