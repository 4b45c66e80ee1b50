#include "search/token_sampler.h"

#include <cmath>
#include <numeric>

namespace ig {

namespace {

const size_t nucleus_guess = 512;  // top-p rarely keeps more tokens
const double least_left =
    1e-3;  // of a chunk's mass: below it, the tokens are weighed, since the difference is mostly rounding error
const double mass_error = 1e-5;  // upper bound of the relative error of a row's mass that a device computed in float

void expect_numbers(double log_mass) {
    if (!std::isfinite(log_mass)) {
        throw error(
            "DECODE_FAILED",
            "the logits that a token is drawn from are no numbers; the model or a critic's steps have overflowed");
    }
}

bool truncates(const sampling_options & options) {
    return options.top_k > 0 || options.top_p < 1 || options.min_p > 0;
}

// Upper bound of the sum of probabilities, raised to a power, of n_tail tokens that have this mass in total. No single
// one weighs more than `largest`. For powers below 1 the sum is greatest if all are equal.
double tail_bound(double mass, size_t n_tail, double largest, double power) {
    if (n_tail == 0 || !(mass > 0)) {
        return 0;
    }
    return power >= 1 ? mass * std::pow(largest, power - 1) : double(n_tail) * std::pow(mass / double(n_tail), power);
}

}  // namespace

void token_sampler::read(const row_source & given, const token_counts * rejected, double penalty) {
    source = &given;
    row = scaled_row = nullptr;
    list_nothing();
    if (given.head.n > 0) {
        log_total = given.head.log_sum_exp;
        expect_numbers(log_total);
        if (rejected == nullptr && list_from_head()) {
            return;
        }
    }
    list_nothing();
    copy_row();
    read_whole(rejected, penalty);
    if (given.base != nullptr) {
        read_base();
    }
}

void token_sampler::read_base() {
    row_mass base;
    weigh(source->base, source->n_vocab, base);
    base_total = base.peak + std::log(base.sum);
    expect_numbers(base_total);
}

void token_sampler::list_nothing() {
    tokens.clear();
    weights.clear();
    list_mass = rest_mass = 0;
    has_rest              = false;
    rest_known            = true;
}

void token_sampler::copy_row() {
    row = source->whole();
    if (source->head.n == 0) {
        weigh(row, source->n_vocab, mass);
        log_total = mass.peak + std::log(mass.sum);
    }
    expect_numbers(log_total);
}

const float * token_sampler::scale(const token_counts * rejected, double penalty) {
    const double temperature = options.temperature;
    if ((temperature == 1 || temperature == 0) && rejected == nullptr) {
        return row;
    }
    const float  factor   = temperature == 0 ? 1.0f : float(1 / temperature);
    const double strength = penalty * std::max(1.0f, factor);  // below 1, temperature would outweigh it
    scaled.resize(source->n_vocab);
    for (size_t i = 0; i < scaled.size(); ++i) {
        scaled[i] = row[i] * factor;
    }
    if (rejected != nullptr) {
        for (const auto & [token, count] : *rejected) {
            scaled[token] -= float(strength * count);
        }
    }
    return scaled.data();
}

void token_sampler::weigh_scaled() {
    weigh(scaled_row, source->n_vocab, mass);
    expect_numbers(mass.peak + std::log(mass.sum));
}

void token_sampler::read_whole(const token_counts * rejected, double penalty) {
    const size_t n = source->n_vocab;
    scaled_row     = scale(rejected, penalty);
    if (options.temperature == 0) {
        tokens.push_back(token_id(argmax(scaled_row, n)));
        weights.push_back(1);
        list_mass = 1;
        return;
    }
    const bool is_weighed = scaled_row == row && source->head.n == 0;  // in copy_row
    if (!is_weighed) {
        weigh_scaled();
    }
    const double all       = mass.sum;
    const bool   has_top_k = options.top_k > 0 && size_t(options.top_k) < n;
    list_first(has_top_k ? size_t(options.top_k) : options.top_p < 1 ? nucleus_guess : most_listed);
    if (options.top_p < 1 && !has_top_k && list_mass < options.top_p * all) {
        list_first(n);
    }
    has_rest = !has_top_k && options.top_p == 1 && tokens.size() < n && weights.back() >= options.min_p;
    if (has_rest) {
        rest_mass  = std::max(0.0, all - list_mass) + mass_error * all;
        rest_known = false;
        return;
    }
    truncate_list(has_top_k ? list_mass : all);
}

// Lists the k most probable tokens of a weighed row.
void token_sampler::list_first(size_t k) {
    top_k(scaled_row, source->n_vocab, k, tokens);
    weights.clear();
    list_mass = 0;
    for (token_id token : tokens) {
        weights.push_back(std::exp(scaled_row[token] - mass.peak));
        list_mass += weights.back();
    }
}

// Truncates the sorted list to its nucleus. `all` is the mass that top-p is a share of.
void token_sampler::truncate_list(double all) {
    list_mass   = 0;
    size_t kept = 0;
    for (; kept < tokens.size(); ++kept) {
        const bool in_nucleus = kept == 0 || options.top_p == 1 || list_mass < options.top_p * all;
        if (!in_nucleus || weights[kept] < options.min_p) {
            break;
        }
        list_mass += weights[kept];
    }
    tokens.resize(kept);
    weights.resize(kept);
}

// Whether the head of the row suffices to draw from, at least until a draw falls into the rest.
bool token_sampler::list_from_head() {
    const row_head & head = source->head;
    if (options.temperature == 0) {
        tokens.assign(1, head.tokens[0]);
        weights.assign(1, 1);
        list_mass = 1;
        return true;
    }
    const double power       = 1 / options.temperature;
    const bool   needs_order = options.top_k > 0 || options.top_p < 1;
    const size_t n_listed    = needs_order ? head.n : std::min(head.n, most_listed);
    const size_t n_rest      = source->n_vocab - n_listed;
    tokens.assign(head.tokens, head.tokens + n_listed);
    double at_temperature_1 = 0;
    for (size_t i = 0; i < n_listed; ++i) {
        const double below = head.logits[i] - head.logits[0];
        weights.push_back(float(std::exp(below * power)));
        list_mass += weights.back();
        at_temperature_1 += std::exp(below);
    }
    const double total     = std::exp(head.log_sum_exp - head.logits[0]);
    const double rest_at_1 = std::max(0.0, total - at_temperature_1);
    rest_mass =
        tail_bound(rest_at_1 + mass_error * total, n_rest, std::exp(head.logits[n_listed - 1] - head.logits[0]), power);
    if (!truncates(options)) {
        has_rest   = n_rest > 0;
        rest_known = !has_rest;
        return true;
    }
    const bool has_top_k = options.top_k > 0 && size_t(options.top_k) < source->n_vocab;
    const bool ends_in_head =
        has_top_k ? size_t(options.top_k) <= head.n :
                    weights.back() < options.min_p || n_rest == 0 ||
                        (options.top_p < 1 && power == 1 && list_mass >= options.top_p * (list_mass + rest_at_1));
    const bool share_is_known = has_top_k || options.top_p == 1 || power == 1 || n_rest == 0;
    if (!ends_in_head || !share_is_known) {
        return false;
    }
    double all = list_mass + (power == 1 ? rest_at_1 : 0);
    if (has_top_k) {
        tokens.resize(size_t(options.top_k));
        weights.resize(tokens.size());
        all = sum_of(weights.data(), weights.size());
    }
    truncate_list(all);
    rest_mass = 0;
    return true;
}

// Weighs the tokens that are not listed, those that min-p keeps.
void token_sampler::know_rest() {
    if (scaled_row == nullptr) {
        copy_row();
        scaled_row = scale(nullptr, 0);
        weigh_scaled();
    }
    rest_chunks = mass.chunks;
    float chunk_weights[mass_chunk];
    if (options.min_p > 0) {
        for (size_t chunk = 0; chunk < rest_chunks.size(); ++chunk) {
            rest_chunks[chunk] = weigh_rest(chunk, chunk_weights);
        }
    } else {
        for (size_t i = 0; i < tokens.size(); ++i) {
            rest_chunks[tokens[i] / mass_chunk] -= weights[i];
        }
        for (size_t chunk = 0; chunk < rest_chunks.size(); ++chunk) {
            if (rest_chunks[chunk] < least_left * mass.chunks[chunk]) {
                rest_chunks[chunk] = weigh_rest(chunk, chunk_weights);
            }
        }
    }
    rest_mass  = std::accumulate(rest_chunks.begin(), rest_chunks.end(), 0.0);
    rest_known = true;
}

double token_sampler::weigh_rest(size_t chunk, float * chunk_weights) const {
    const size_t begin = chunk * mass_chunk;
    const size_t n     = std::min(mass_chunk, source->n_vocab - begin);
    exp_and_sum(scaled_row + begin, n, mass.peak, chunk_weights);
    for (token_id token : tokens) {
        if (size_t(token) / mass_chunk == chunk) {
            chunk_weights[token - begin] = 0;
        }
    }
    for (size_t i = 0; i < n && options.min_p > 0; ++i) {
        chunk_weights[i] = chunk_weights[i] >= options.min_p ? chunk_weights[i] : 0;
    }
    return sum_of(chunk_weights, n);
}

// `part` of the rest's mass lies before the token.
token_id token_sampler::draw_rest(double part) const {
    double left   = part * rest_mass;
    size_t chosen = 0;
    for (size_t chunk = 0; chunk < rest_chunks.size(); ++chunk) {
        if (rest_chunks[chunk] > 0) {
            chosen = chunk;
            if (left < rest_chunks[chunk]) {
                break;
            }
            left -= rest_chunks[chunk];
        }
    }
    float        weights[mass_chunk];
    const double sum = weigh_rest(chosen, weights);
    const size_t n   = std::min(mass_chunk, source->n_vocab - chosen * mass_chunk);
    return token_id(chosen * mass_chunk + ig::draw(weights, n, sum, left / rest_chunks[chosen]));
}

sampled_token token_sampler::draw(random_stream & random) {
    const double part = has_rest ? random.uniform() : 0;
    if (part * (list_mass + rest_mass) >= list_mass && !rest_known) {
        know_rest();
    }
    const bool     of_list = part * (list_mass + rest_mass) < list_mass;
    const token_id token   = of_list ? tokens[ig::draw(weights.data(), weights.size(), list_mass, random.uniform())] :
                                       draw_rest(random.uniform());
    return { token, log_likelihood(token) };
}

std::vector<sampled_token> token_sampler::best(size_t k) {
    std::vector<sampled_token> result;
    const row_head &           head = source->head;
    if (row == nullptr && k <= head.n) {
        for (size_t i = 0; i < k; ++i) {
            result.push_back({ head.tokens[i], head.logits[i] - log_total });
        }
        return result;
    }
    if (row == nullptr) {
        copy_row();
    }
    std::vector<int32_t> order;
    top_k(scaled_row != nullptr ? scaled_row : row, source->n_vocab, k, order);
    for (int32_t token : order) {
        result.push_back({ token, log_likelihood(token) });
    }
    return result;
}

double token_sampler::log_likelihood(token_id token) const {
    if (source->base != nullptr) {
        return source->base[token] - base_total;
    }
    if (row != nullptr) {
        return row[token] - log_total;
    }
    const row_head & head = source->head;
    for (size_t i = 0; i < head.n; ++i) {
        if (head.tokens[i] == token) {
            return head.logits[i] - log_total;
        }
    }
    return source->whole()[token] - log_total;
}

}  // namespace ig
