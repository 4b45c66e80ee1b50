#include "safety/text_classifier.h"

#include "safety/cost_kind.h"
#include "support/calibration.h"
#include "support/numeric.h"
#include "support/random.h"
#include "support/tensor_file.h"
#include "support/unicode.h"
#include "support/utf8.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ig {

namespace {

const uint64_t text_salt     = 1;
const uint64_t context_salt  = 2;
const size_t   max_word      = 64;  // characters; longer runs are cut into words of this length
const size_t   shortest_gram = 3;
const size_t   longest_gram  = 5;

uint64_t combine(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15;
    return hash ^ (hash >> 29);
}

uint32_t bucket_of(uint64_t hash) {
    return uint32_t(combine(hash, 0x5bd1e995) >> 20) % n_classifier_buckets;
}

// Reads a text word by word. A punctuation mark is a word. Later text never changes earlier words.
struct word_reader {
    const std::string & text;
    size_t              at;  // after the last word

    // false at the end of the text
    bool next(std::u32string & word) {
        word.clear();
        for (size_t look = at; look < text.size() && word.size() < max_word; at = look) {
            const uint32_t c = next_character(text, look);
            if (is_space(c)) {
                if (!word.empty()) {
                    return true;
                }
                continue;
            }
            const bool in_word = is_word_character(c) || (c == '\'' && !word.empty());
            if (!in_word && !word.empty()) {
                return true;
            }
            folded_character folded;
            fold_character(c, folded);
            word.append(folded.begin, folded.begin + folded.n);
            if (!in_word && !word.empty()) {
                at = look;
                return true;
            }
        }
        return !word.empty();
    }
};

// Calls visit(bucket) for each n-gram that a word adds after the previous one. Returns the word's hash.
template <typename F>
uint64_t visit_word(const std::u32string & word, uint64_t previous, uint64_t salt, bool with_characters, F visit) {
    uint64_t hash = combine(salt, 11);
    for (char32_t c : word) {
        hash = combine(hash, c);
    }
    visit(bucket_of(hash));
    visit(bucket_of(combine(combine(salt, 13), combine(previous, hash))));
    if (!with_characters) {
        return hash;
    }
    const std::u32string edged = U'\x01' + word + U'\x02';
    for (size_t n = shortest_gram; n <= longest_gram; ++n) {
        for (size_t i = 0; i + n <= edged.size(); ++i) {
            uint64_t gram = combine(salt, 17 + n);
            for (size_t j = i; j < i + n; ++j) {
                gram = combine(gram, edged[j]);
            }
            visit(bucket_of(gram));
        }
    }
    return hash;
}

std::vector<uint32_t> features_of(const std::string & text, uint64_t salt, bool with_characters) {
    std::vector<uint32_t> features;
    word_reader           words = { text, 0 };
    std::u32string        word;
    uint64_t              previous = 0;
    while (words.next(word)) {
        previous =
            visit_word(word, previous, salt, with_characters, [&](uint32_t bucket) { features.push_back(bucket); });
    }
    return features;
}

double scaled(double sum, double n) {
    return n > 0 ? sum / std::sqrt(n) : 0;
}

}  // namespace

double text_classifier::text_log_odds(const std::string & text, text_progress & progress) const {
    word_reader    words = { text, progress.n_read };
    std::u32string word;
    text_progress  now = progress;
    while (words.next(word)) {
        progress = now;  // the last word may still grow, and is read again
        now.previous_word =
            visit_word(word, now.previous_word, text_salt, weights.with_characters, [&](uint32_t bucket) {
                now.sum += weights.buckets[bucket];
                now.n_features += 1;
            });
        now.n_read = words.at;
    }
    return scaled(now.sum, now.n_features) + weights.bias;
}

double text_classifier::context_log_odds(const std::string & context) const {
    if (!weights.with_context) {
        return 0;
    }
    double                      sum      = 0;
    const std::vector<uint32_t> features = features_of(context, context_salt, weights.with_characters);
    for (uint32_t bucket : features) {
        sum += weights.buckets[bucket];
    }
    return scaled(sum, double(features.size()));
}

std::unique_ptr<scoring_session> text_classifier::open(const session_scope & scope) const {
    const double of_context = context_log_odds(scope.prompt);
    return std::make_unique<plain_session>([this, of_context](const std::vector<text_view> & texts) {
        std::vector<double> result;
        for (const text_view & view : texts) {
            text_progress from_start;
            result.push_back(of_context +
                             text_log_odds(*view.text, view.progress != nullptr ? *view.progress : from_start));
        }
        return result;
    });
}

classifier_weights load_classifier(const std::string & path) {
    const tensor_file  file(path, "text-classifier", "INVALID_COST_MODEL");
    classifier_weights weights;
    weights.bias            = file.number("bias");
    weights.with_context    = file.number("with_context") != 0;
    weights.with_characters = file.number("with_characters") != 0;
    weights.threshold       = file.number("threshold");
    if (!(weights.threshold > 0 && weights.threshold < 1)) {
        throw error("INVALID_COST_MODEL", path + " has a threshold outside 0..1; make the file again");
    }
    weights.buckets = file.tensor("buckets", { n_classifier_buckets });
    return weights;
}

namespace {

void make_classifier(constraint & made, const constraint_spec & spec, size_t, cost_materials &) {
    auto         classifier = std::make_unique<text_classifier>(load_classifier(spec.classifier));
    const double threshold  = spec.threshold.value_or(classifier->threshold());
    made.terms.budget       = spec.budget.value_or(classifier->recommended_budget());
    made.whole_text         = std::make_unique<linked_score>(std::move(classifier), spec.link, threshold);
}

}  // namespace

const cost_kind text_classifier_kind = { "classifier", false, make_classifier };

namespace {

const int32_t max_epochs        = 50;
const int32_t patience          = 3;  // epochs without a lower validation loss
const double  learning_rate     = 0.05;
const float   naive_bayes_share = 0.2f;

struct featured_text {
    std::vector<uint32_t> text;
    std::vector<uint32_t> context;
    float                 label;
};

// how often each bucket occurs in texts of each label, and the log-ratio of these rates
class bucket_counts {
  public:
    bucket_counts() : unsafe(n_classifier_buckets, 0), safe(n_classifier_buckets, 0) {}

    void add(const featured_text & t) {
        std::vector<uint32_t> buckets = t.text;
        buckets.insert(buckets.end(), t.context.begin(), t.context.end());
        std::sort(buckets.begin(), buckets.end());
        buckets.erase(std::unique(buckets.begin(), buckets.end()), buckets.end());
        for (uint32_t bucket : buckets) {
            unsafe[bucket] += t.label;
            safe[bucket] += 1 - t.label;
        }
        n_unsafe += t.label;
        n_safe += 1 - t.label;
    }

    // 0 for a bucket without texts
    float log_ratio(uint32_t bucket) const {
        const float n = n_unsafe + n_safe;
        return std::log((unsafe[bucket] + smoothing * n_unsafe / n) / n_unsafe) -
               std::log((safe[bucket] + smoothing * n_safe / n) / n_safe);
    }

  private:
    static constexpr float smoothing = 0.2f;  // per text, spread over both labels

    std::vector<float> unsafe, safe;
    float              n_unsafe = 0, n_safe = 0;
};

// logistic regression by AdaGrad, one text at a time; starts from scaled naive Bayes weights (Wang and Manning 2012),
// since on small data sets it would learn too little about rare words
class classifier_trainer {
  public:
    explicit classifier_trainer(const bucket_counts & counts) : squares(n_classifier_buckets, 1e-4f) {
        for (uint32_t bucket = 0; bucket < n_classifier_buckets; ++bucket) {
            weights.buckets.push_back(naive_bayes_share * counts.log_ratio(bucket));
        }
    }

    double predict(const featured_text & t) const {
        return scaled(sum(t.text), double(t.text.size())) + scaled(sum(t.context), double(t.context.size())) +
               weights.bias;
    }

    // the loss before the step
    double learn(const featured_text & t) {
        const double prediction = predict(t);
        const double gradient   = sigmoid(prediction) - t.label;
        step(t.text, gradient);
        step(t.context, gradient);
        bias_square += gradient * gradient;
        weights.bias -= learning_rate * gradient / std::sqrt(bias_square);
        return cross_entropy(prediction, t.label);
    }

    classifier_weights weights;

  private:
    std::vector<float> squares;  // of the gradients so far
    double             bias_square = 1;

    double sum(const std::vector<uint32_t> & features) const {
        double total = 0;
        for (uint32_t bucket : features) {
            total += weights.buckets[bucket];
        }
        return total;
    }

    void step(const std::vector<uint32_t> & features, double gradient) {
        const float share = float(scaled(gradient, double(features.size())));
        for (uint32_t bucket : features) {
            float & w = weights.buckets[bucket];
            squares[bucket] += share * share;
            w -= float(learning_rate) * share / std::sqrt(squares[bucket]);
        }
    }
};

}  // namespace

classifier_training train_classifier(const std::vector<labelled_text> & texts,
                                     bool                               with_context,
                                     bool                               with_characters,
                                     uint64_t                           seed,
                                     const cancel_flag &                cancel,
                                     const epoch_function &             on_epoch) {
    std::vector<featured_text> featured;
    std::vector<size_t>        training, validation;
    for (size_t i = 0; i < texts.size(); ++i) {
        cancel.check();
        const labelled_text & t = texts[i];
        const std::string     no_context;
        const std::string &   context = with_context ? t.context : no_context;
        featured.push_back({ features_of(t.text, text_salt, with_characters),
                             features_of(context, context_salt, with_characters), t.label });
        if (t.trains) {
            training.push_back(i);
        }
        if (t.validates) {
            validation.push_back(i);
        }
    }
    bucket_counts counts;
    for (size_t i : training) {
        counts.add(featured[i]);
    }
    classifier_trainer  trainer(counts);
    classifier_training best;
    double              best_loss = std::numeric_limits<double>::infinity();
    for (int32_t epoch = 1; epoch <= max_epochs && epoch <= best.n_epochs + patience; ++epoch) {
        random_stream random(seed, uint64_t(epoch), 0);
        for (size_t i = training.size(); i > 1; --i) {
            std::swap(training[i - 1], training[size_t(random.uniform() * double(i))]);
        }
        double training_loss = 0, validation_loss = 0;
        for (size_t i : training) {
            cancel.check();
            training_loss += trainer.learn(featured[i]) / double(training.size());
        }
        for (size_t i : validation) {
            validation_loss +=
                cross_entropy(trainer.predict(featured[i]), featured[i].label) / double(validation.size());
        }
        on_epoch({ epoch, max_epochs, training_loss, validation_loss });
        if (validation_loss < best_loss) {
            best_loss     = validation_loss;
            best.weights  = trainer.weights;
            best.n_epochs = epoch;
        }
    }
    if (best.n_epochs == 0) {
        throw error("TRAINING_DIVERGED", "the classifier's loss became infinite; check the labels");
    }
    trainer.weights = best.weights;
    std::vector<std::vector<double>> scores;
    std::vector<double>              labels;
    for (size_t i : validation) {
        scores.push_back({ trainer.predict(featured[i]) });
        labels.push_back(featured[i].label);
    }
    const calibration scale = fit_calibration(scores, labels, /*with_shift =*/true, cancel);
    for (float & w : trainer.weights.buckets) {
        w = float(w * scale.slope);
    }
    round_to_half(trainer.weights.buckets);  // the report describes the weights as stored
    trainer.weights.bias            = scale.slope * trainer.weights.bias + scale.shift;
    trainer.weights.with_context    = with_context;
    trainer.weights.with_characters = with_characters;
    best.weights                    = trainer.weights;
    for (const featured_text & t : featured) {
        best.log_odds.push_back(trainer.predict(t));
    }
    return best;
}

}  // namespace ig
