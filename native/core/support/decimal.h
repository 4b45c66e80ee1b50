// decimal.h owns the arithmetic of costs. People write costs and budgets as decimal fractions, and a double holds only the binary fraction
// next to one, so that three times 0.1 would be more than 0.3. A double that is the nearest one to a decimal of at most 15 digits stands
// for that decimal here, and a result that is one again is exact. Any other result is rounded up, past all that rounding can have taken
// away: nothing that is over a budget passes, whether its costs are read as decimals or as the binary fractions that they are.
#pragma once

namespace ig {

double sum_up(double a, double b);
double product_up(double a, double b);

}  // namespace ig
