#pragma once
#include <gradus/autograd/core/tensor.h>

#pragma GCC visibility push(default)

/// What the parameters and buffers of modules need of a tensor: it stays the same while its elements change.
namespace gradus::detail {

/// A copy of x's elements whose handle does not lie beside them, so that they can be replaced.
Tensor clone_apart(const Tensor& x);
/// x's elements and its gradient, which loses its history, in another dtype.
struct Converted {
  Tensor elements, gradient;
};
Converted converted(const Tensor& x, Dtype dtype);
/// Gives these to the x from which they were made: a leaf, or a tensor without history, that clone_apart()
/// made. It stays the same leaf.
void convert_in_place(Tensor& x, const Converted& c) noexcept;

}  // namespace gradus::detail

#pragma GCC visibility pop
