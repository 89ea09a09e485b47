#pragma once
#include <gradus/autograd/core/tensor.h>

#pragma GCC visibility push(default)

namespace gradus {

/// y[i…] = x[i… with i_dim replaced by index[i…]]. index: int64, as many dims as x, no larger than x in the
/// others. IndexError for an index outside [0, x.size(dim)).
Tensor gather(const Tensor& x, int64_t dim, const Tensor& index);
/// x with src[i…] added at [i… with i_dim replaced by index[i…]]; equal indices add up. Shapes as for gather;
/// src is at least as large as index in every dim.
Tensor scatter_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src);

/// The rows index[0], index[1] … of x along dim: a copy; a row may be named more than once. index: int64,
/// 1-d. IndexError for an index outside [0, x.size(dim)).
Tensor index_select(const Tensor& x, int64_t dim, const Tensor& index);
/// x with row k of src added to its row index[k] along dim, for every k; equal indices add up.
Tensor index_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src);
/// The same in place.
Tensor& index_add_(Tensor& x, int64_t dim, const Tensor& index, const Tensor& src);

}  // namespace gradus

#pragma GCC visibility pop
