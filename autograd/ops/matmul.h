#pragma once
#include <gradus/autograd/core/tensor.h>

#pragma GCC visibility push(default)

namespace gradus {

/// Matrix product, with NumPy's rules: [m, k] x [k, n] = [m, n]; a 1-d operand is a row on the left, a column
/// on the right, and its dim disappears; leading dims are batches and broadcast. Floating dtypes; both the
/// same after promotion.
Tensor matmul(const Tensor& a, const Tensor& b);
/// Σ a_i b_i of two 1-d tensors of one size.
Tensor dot(const Tensor& a, const Tensor& b);
/// y = x wᵀ + b: x [..., in], w [out, in], b [out] or undefined; y [..., out].
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b = {});

}  // namespace gradus

#pragma GCC visibility pop
