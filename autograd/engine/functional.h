#pragma once
#include <gradus/autograd/core/tensor.h>

#include <functional>

#pragma GCC visibility push(default)

namespace gradus {

/// The Jacobian of y = f(x) at x, of shape [*y.shape, *x.shape]: element (i, j) is dy_i / dx_j.
/// With create_graph it can be differentiated again.
Tensor jacobian(const std::function<Tensor(const Tensor&)>& f, const Tensor& x, bool create_graph = false);
/// The matrix of second derivatives of a one-element y = f(x) at x, of shape [*x.shape, *x.shape].
Tensor hessian(const std::function<Tensor(const Tensor&)>& f, const Tensor& x, bool create_graph = false);

}  // namespace gradus

#pragma GCC visibility pop
