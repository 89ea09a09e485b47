#pragma once
#include <gradus/autograd/base/shape.h>

namespace gradus::kernels {

enum class Compare { Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual, Same };

/// y = a op b, element by element. y is contiguous; la and lb have `shape` (strides 0 where broadcast).
/// NaN compares as in IEEE 754: only NotEqual is true. Same: equal, or both NaN.
void compare(Compare op, Dtype dtype, bool* y, const Shape& shape, const void* a, const Layout& la,
             const void* b, const Layout& lb);

/// y = c ? a : b, element by element. y is contiguous; lc, la and lb have `shape`.
void where(Dtype dtype, void* y, const Shape& shape, const bool* c, const Layout& lc, const void* a,
           const Layout& la, const void* b, const Layout& lb);

}  // namespace gradus::kernels
