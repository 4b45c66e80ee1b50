#include "support/decimal.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

namespace ig {

namespace {

// powers that a double holds exactly
const double powers_of_ten[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
const int    most_places     = 22;
const int    most_digits     = 15;  // decimals of up to this many digits map to different doubles
const double first_too_long  = powers_of_ten[most_digits];

const double upwards = 0x1p-50;  // relative; more than twice the error of two operands, an operation and its result

// units / 10^places
struct decimal {
    int64_t units;
    int     places;
};

decimal without_zeros(decimal x) {
    while (x.places > 0 && x.units % 10 == 0) {
        x.units /= 10;
        --x.places;
    }
    return x;
}

std::optional<decimal> decimal_of(double x) {
    if (!(std::fabs(x) < first_too_long)) {
        return {};
    }
    const int n_whole = int(std::floor(std::log10(std::fabs(x)))) + 1;  // off by one next to a power of ten
    for (int extra = 0; extra <= 1; ++extra) {
        const int    places = std::clamp(most_digits - n_whole + extra, 0, most_places);
        const double units  = std::nearbyint(x * powers_of_ten[places]);
        if (std::fabs(units) < first_too_long && units / powers_of_ten[places] == x) {
            return without_zeros({ int64_t(units), places });
        }
    }
    return {};
}

// Returns nothing if it has too many digits.
std::optional<double> nearest(double units, int places) {
    if (std::fabs(units) >= first_too_long || places > most_places) {
        return {};
    }
    return units / powers_of_ten[places];
}

// with `places` decimal places
double units_of(const decimal & x, int places) {
    return double(x.units) * powers_of_ten[places - x.places];
}

}  // namespace

double sum_up(double a, double b) {
    if (a == 0 || b == 0) {
        return a + b;
    }
    const std::optional<decimal> x = decimal_of(a);
    const std::optional<decimal> y = decimal_of(b);
    if (x && y) {
        const int    places    = std::max(x->places, y->places);
        const double left      = units_of(*x, places);
        const double right     = units_of(*y, places);
        const bool   are_exact = std::max(std::fabs(left), std::fabs(right)) < first_too_long;
        const auto   sum       = are_exact ? nearest(left + right, places) : std::nullopt;
        if (sum) {
            return *sum;
        }
    }
    return a + b + (std::fabs(a) + std::fabs(b)) * upwards;
}

double product_up(double a, double b) {
    if (a == 1 || b == 1 || a == 0 || b == 0) {
        return a * b;
    }
    const std::optional<decimal> x = decimal_of(a);
    const std::optional<decimal> y = decimal_of(b);
    const auto product = x && y ? nearest(double(x->units) * double(y->units), x->places + y->places) : std::nullopt;
    if (product) {
        return *product;
    }
    return a * b + std::fabs(a * b) * upwards + std::numeric_limits<double>::denorm_min();
}

}  // namespace ig
