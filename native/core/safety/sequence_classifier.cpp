#include "safety/sequence_classifier.h"

#include "safety/cost_kind.h"
#include "support/error.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace ig {

namespace {

const std::set<std::string> unsafe_words = { "unsafe",    "toxic",   "harmful", "hateful",   "hate",
                                             "offensive", "abusive", "nsfw",    "injection", "jailbreak" };

std::string lower(std::string text) {
    for (char & c : text) {
        c = c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c;
    }
    return text;
}

bool are_independent(const text_classes & classes, std::optional<bool> given, const std::string & path) {
    const bool independent = given.value_or(classes.independent);
    if (independent && classes.are_probabilities) {
        throw error("INVALID_OPTION", "expected labels that exclude one another of " + path +
                                          ", over which llama.cpp has applied a softmax, got multiLabel");
    }
    return independent;
}

std::vector<bool> classes_of(const std::vector<std::string> & names,
                             const std::vector<std::string> & labels,
                             bool                             independent,
                             const std::string &              path) {
    std::vector<bool> counts(names.size(), false);
    std::string       known;
    for (size_t i = 0; i < names.size(); ++i) {
        known += (i == 0 ? "" : ", ") + names[i];
        counts[i] = labels.empty() && unsafe_words.count(lower(names[i])) == 1;
    }
    for (const std::string & label : labels) {
        const auto found = std::find(names.begin(), names.end(), label);
        if (found == names.end()) {
            throw error("INVALID_OPTION",
                        "expected one of the labels of " + path + " (" + known + "), got \"" + label + "\"");
        }
        counts[size_t(found - names.begin())] = true;
    }
    const size_t n = size_t(std::count(counts.begin(), counts.end(), true));
    if (names.size() > 1 && (n == 0 || (n == names.size() && !independent))) {
        throw error("INVALID_OPTION", "expected to know which labels of " + path + " count; give some of " + known +
                                          " as unsafeLabels (label, for a reward)");
    }
    return counts;
}

double largest(const float * logits, const std::vector<bool> & counts) {
    double top = -INFINITY;
    for (size_t i = 0; i < counts.size(); ++i) {
        top = counts[i] ? std::max(top, double(logits[i])) : top;
    }
    return top;
}

double log_sum(const float * logits, const std::vector<bool> & counts, bool which) {
    double top = -INFINITY, sum = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
        top = counts[i] == which ? std::max(top, double(logits[i])) : top;
    }
    for (size_t i = 0; i < counts.size(); ++i) {
        sum += counts[i] == which ? std::exp(logits[i] - top) : 0;
    }
    return top + std::log(sum);
}

}  // namespace

sequence_classifier::sequence_classifier(std::unique_ptr<text_model>      given,
                                         std::unique_ptr<template_pieces> template_text,
                                         const class_choice &             choice,
                                         const std::string &              path) :
    model(std::move(given)),
    independent(are_independent(model->classes(), choice.independent, path)),
    counts(classes_of(model->classes().names, choice.labels, independent, path)) {
    if (template_text) {
        pieces = std::make_unique<prompt_template>(*model, std::move(*template_text));
    }
}

double sequence_classifier::log_odds(const float * logits) const {
    if (counts.size() == 1) {
        return logits[0];
    }
    return independent ? largest(logits, counts) : log_sum(logits, counts, true) - log_sum(logits, counts, false);
}

token_sequence sequence_classifier::tokens_of(const std::string & text, const session_scope & scope) const {
    if (pieces) {
        return pieces->fill(scope.prompt, text, 0, scope.reading.cancel);
    }
    token_sequence sequence;
    sequence.tokens = model->tokenize(text, /*with_ends =*/true, scope.reading.cancel);
    sequence.n_kept = sequence.tokens.size();
    return sequence;
}

std::unique_ptr<scoring_session> sequence_classifier::open(const session_scope & scope) const {
    const auto reading = std::make_shared<reading_session>(*model, scope.reading);
    return std::make_unique<plain_session>([this, &scope, reading](const std::vector<text_view> & texts) {
        std::vector<token_sequence> sequences;
        std::vector<size_t>         asked;
        std::vector<double>         result(texts.size(), 0);
        for (size_t i = 0; i < texts.size(); ++i) {
            token_sequence sequence = tokens_of(*texts[i].text, scope);
            if (!sequence.tokens.empty()) {  // otherwise there is no evidence, and the score is 0
                sequences.push_back(std::move(sequence));
                asked.push_back(i);
            }
        }
        reading->read(sequences, [&](size_t i, size_t, const float * logits) { result[asked[i]] = log_odds(logits); });
        return result;
    });
}

namespace {

std::unique_ptr<text_scorer> make_sequence_classifier(const scorer_spec & spec, cost_materials & with) {
    return std::make_unique<sequence_classifier>(
        with.load(spec.path, OUTPUT_CLASSES),
        spec.has_template ? std::make_unique<template_pieces>(spec.pieces) : nullptr, spec.classes, spec.path);
}

}  // namespace

const scorer_kind sequence_classifier_kind = { "sequenceClassifier", make_sequence_classifier, nullptr };

}  // namespace ig
