#pragma once
#include <gradus/autograd/base/launch.h>
#include <gradus/autograd/base/scalar.h>

#pragma GCC visibility push(default)

namespace gradus::kernels {

enum class Compare { Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual, Same };

/// y = a op b, element by element. y is contiguous; a and b have its shape (strides 0 where broadcast) and
/// one dtype, or one is int64 and the other floating: then their numbers are compared, and neither is
/// rounded. NaN compares as in IEEE 754: only NotEqual is true. Same: equal, or both NaN; of one dtype.
struct Compared {
  static constexpr auto name = "compare";
  Compare op;
  Write y;
  Read a, b;
  void operands(auto f) { f(y), f(a), f(b); }
  void run() const;
};

/// `x op number` as a comparison with a number that x's dtype holds.
struct Comparison {
  Compare op;
  Scalar number;
};
/// The comparison that is true for the same x of that dtype. A floating number is first rounded to a floating
/// dtype, as an operand is (x == 0.1 holds where x is 0.1f), but never to an infinity.
Comparison comparable(Compare op, Scalar number, Dtype dtype);

/// y = c ? a : b, element by element. y is contiguous; c, a and b have its shape.
struct Where {
  static constexpr auto name = "where";
  Write y;
  Read c, a, b;
  void operands(auto f) { f(y), f(c), f(a), f(b); }
  void run() const;
};

}  // namespace gradus::kernels

#pragma GCC visibility pop
