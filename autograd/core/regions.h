#pragma once
#include <gradus/autograd/core/apply.h>

#pragma GCC visibility push(default)

/// Ops on a region of a tensor: what a view selects. They are closed under differentiation and carry
/// all of views and in-place writes. A region is a Layout relative to the first element of a row-major
/// tensor; ShapeError where it does not lie inside.
namespace gradus {

/// x's elements under `region`: a view of x where x is row-major, else of a row-major copy.
Tensor as_strided(const Tensor& x, const Layout& region);
/// Zeros of `shape`, to which x is added under `region`: the gradient of as_strided.
Tensor embed(const Tensor& x, const Layout& region, const Shape& shape);
/// x, to which g is added under `region`, in place; x is row-major.
Tensor& embed_(Tensor& x, const Layout& region, const Tensor& g);
/// x with zeros under `region`.
Tensor blank(const Tensor& x, const Layout& region);

}  // namespace gradus

#pragma GCC visibility pop
