#pragma once
#include <gradus/autograd/core/tensor.h>

#include <tuple>

#pragma GCC visibility push(default)

namespace gradus {

/// Sum over everything, or over `dims` (negative ones count from the end; none: over everything). Integers
/// and bool are summed in int64. The sum of nothing is 0.
Tensor sum(const Tensor& x);
Tensor sum(const Tensor& x, const Shape& dims, bool keepdim = false);
/// Mean over everything or over `dims`; of nothing: NaN. Integers give float32.
Tensor mean(const Tensor& x);
Tensor mean(const Tensor& x, const Shape& dims, bool keepdim = false);
/// The largest element, NaN if there is one; equal ones share the gradient equally. Throws for none.
Tensor max(const Tensor& x);
/// The smallest element; otherwise as max.
Tensor min(const Tensor& x);
/// The largest elements over `dims`; equal ones share the gradient equally.
Tensor amax(const Tensor& x, const Shape& dims, bool keepdim = false);
/// The smallest elements over `dims`; equal ones share the gradient equally.
Tensor amin(const Tensor& x, const Shape& dims, bool keepdim = false);
/// {largest values, int64 indices} along dim; the first of equal ones is chosen and gets the whole gradient.
std::tuple<Tensor, Tensor> max(const Tensor& x, int64_t dim, bool keepdim = false);
/// {smallest values, int64 indices} along dim; otherwise as max.
std::tuple<Tensor, Tensor> min(const Tensor& x, int64_t dim, bool keepdim = false);
/// The int64 index of the largest element along dim, the first of equal ones.
Tensor argmax(const Tensor& x, int64_t dim, bool keepdim = false);
/// The int64 index of the smallest element along dim, the first of equal ones.
Tensor argmin(const Tensor& x, int64_t dim, bool keepdim = false);
/// y_i = x_0 + … + x_i along dim. Integers and bool are summed in int64.
Tensor cumsum(const Tensor& x, int64_t dim);
/// y = eˣ / Σ eˣ along dim, without overflow. Integers are converted to float32.
Tensor softmax(const Tensor& x, int64_t dim);
/// y = x - ln Σ eˣ along dim, without overflow.
Tensor log_softmax(const Tensor& x, int64_t dim);
/// x summed over the dims along which `shape` would be broadcast to x's: undoes a broadcast.
Tensor sum_to(const Tensor& x, const Shape& shape);

}  // namespace gradus

#pragma GCC visibility pop
