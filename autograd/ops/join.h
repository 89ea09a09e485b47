#pragma once
#include <gradus/autograd/core/tensor.h>

#pragma GCC visibility push(default)

namespace gradus {

/// The tensors one after another along an existing dim; all other sizes must be equal. Dtypes promote.
Tensor cat(const Tensors& x, int64_t dim = 0);
/// Tensors of one shape along a new dim.
Tensor stack(const Tensors& x, int64_t dim = 0);

}  // namespace gradus

#pragma GCC visibility pop
