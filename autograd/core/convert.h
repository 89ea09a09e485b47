#pragma once
#include <gradus/autograd/core/tensor.h>

#pragma GCC visibility push(default)

/// What the parameters and buffers of modules need of a tensor: it stays the same while its elements change.
namespace gradus::detail {

/// A copy of x's elements whose handle does not lie beside them, so that they can be replaced.
Tensor clone_apart(const Tensor& x);
/// Converts a leaf, or a tensor without history, that clone_apart() made; it stays the same leaf. Its
/// gradient is converted, too, and loses its history.
void convert_in_place(Tensor& x, Dtype dtype);

}  // namespace gradus::detail

#pragma GCC visibility pop
