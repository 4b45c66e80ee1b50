// sequence_classifier.h owns the cost or reward model that is a classifier with its own head (BERT family, ModernBERT,
// Qwen3). Its score is the log-odds of the chosen labels (of the likeliest one, if labels are independent), or the
// single output of a head with one. It reads the response alone, unless a template combines prompt and response.
#pragma once

#include "safety/cost_model.h"
#include "safety/prompt_template.h"

#include <optional>

namespace ig {

struct scorer_kind;

// the classes that count as "unsafe"
struct class_choice {
    std::vector<std::string> labels;
    std::optional<bool>      independent;  // unset: the file's value
};

class sequence_classifier : public text_scorer {
  public:
    // Without labels, those with the usual words for "unsafe". Throws INVALID_OPTION for a label that the model does
    // not have, and COST_MODEL_TOKENIZER.
    sequence_classifier(std::unique_ptr<text_model>      model,
                        std::unique_ptr<template_pieces> pieces,
                        const class_choice &             choice,
                        const std::string &              path);

    std::unique_ptr<scoring_session> open(const session_scope & scope) const override;

  private:
    std::unique_ptr<text_model>      model;
    std::unique_ptr<prompt_template> pieces;  // null: it reads the response alone
    bool                             independent;
    std::vector<bool>                counts;  // [n_classes] whether the class is among the labels

    double         log_odds(const float * logits) const;
    token_sequence tokens_of(const std::string & text, const session_scope & scope) const;
};

extern const scorer_kind sequence_classifier_kind;

}  // namespace ig
