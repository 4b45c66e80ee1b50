// decimal.h owns the arithmetic of costs. People write costs and budgets as decimal fractions, but a double holds only
// the nearest binary fraction, so that three times 0.1 would exceed 0.3. Here, a double that is the nearest one to a
// decimal of at most 15 digits stands for that decimal, and a result that is such a decimal again is exact. Any other
// result is rounded up by more than the possible rounding error. So nothing over budget passes, whether costs are read
// as decimals or as the binary fractions that they are.
#pragma once

namespace ig {

double sum_up(double a, double b);
double product_up(double a, double b);

}  // namespace ig
