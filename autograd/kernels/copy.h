#pragma once
#include <gradus/autograd/base/scalar.h>
#include <gradus/autograd/base/shape.h>

#pragma GCC visibility push(default)

namespace gradus::kernels {

/// y = x, each element converted as convert (dtype.h) does. lx has the shape of ly (strides 0 where
/// broadcast); y must not overlap itself or x, unless it is x.
void copy(Dtype to, void* y, const Layout& ly, Dtype from, const void* x, const Layout& lx);

/// Every element of y is `value`, converted as convert does.
void fill(Dtype dtype, void* y, const Layout& ly, Scalar value);

}  // namespace gradus::kernels

#pragma GCC visibility pop
