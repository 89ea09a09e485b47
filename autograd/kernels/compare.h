#pragma once
#include <gradus/autograd/base/scalar.h>
#include <gradus/autograd/base/shape.h>

#pragma GCC visibility push(default)

namespace gradus::kernels {

enum class Compare { Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual, Same };

/// y = a op b, element by element. y is contiguous; la and lb have `shape` (strides 0 where broadcast).
/// NaN compares as in IEEE 754: only NotEqual is true. Same: equal, or both NaN.
void compare(Compare op, Dtype dtype, bool* y, const Shape& shape, const void* a, const Layout& la,
             const void* b, const Layout& lb);

/// The same where one of a and b is int64 and the other floating: their numbers are compared, neither is
/// rounded.
void compare_mixed(Compare op, bool* y, const Shape& shape, Dtype da, const void* a, const Layout& la,
                   Dtype db, const void* b, const Layout& lb);

/// `x op number` as a comparison with a number that x's dtype holds.
struct Comparison {
  Compare op;
  Scalar number;
};
/// The comparison that is true for the same x of that dtype. A floating number is first rounded to a floating
/// dtype, as an operand is (x == 0.1 holds where x is 0.1f), but never to an infinity.
Comparison comparable(Compare op, Scalar number, Dtype dtype);

/// y = c ? a : b, element by element. y is contiguous; lc, la and lb have `shape`.
void where(Dtype dtype, void* y, const Shape& shape, const bool* c, const Layout& lc, const void* a,
           const Layout& la, const void* b, const Layout& lb);

}  // namespace gradus::kernels

#pragma GCC visibility pop
