#pragma once
#include <gradus/autograd/base/shape.h>

namespace gradus::kernels {

/// y = Σ x over the dims whose bit is set; y is contiguous over the dims that are kept, in order.
/// `out` is `in` for floating x and int64 for integers and bool. float32 is summed in double precision
/// and rounded once. A sum of nothing is 0.
void sum(Dtype out, void* y, Dtype in, const void* x, const Layout& lx, uint32_t dims);

/// y = max (or min) of x over the dims whose bit is set, which hold at least one element. NaN wins.
void extreme(bool max, Dtype dtype, void* y, const void* x, const Layout& lx, uint32_t dims);

/// values = max (or min) of x along `dim`, which holds at least one element, and the first index that has
/// it; the first NaN wins. Both results are contiguous over the other dims.
void extreme_index(bool max, Dtype dtype, void* values, int64_t* indices, const void* x, const Layout& lx,
                   int dim);

/// y_i = x_0 + … + x_i along `dim`, or from the other end: x_i + … + x_n. y is contiguous of x's shape and
/// dtype; integers wrap.
void cumsum(bool reverse, Dtype dtype, void* y, const void* x, const Layout& lx, int dim);

/// y = exp(x - m) / Σ exp(x - m), m = max x, along `dim`; with `log`, y = (x - m) - log Σ exp(x - m).
/// y is contiguous of x's shape; floating dtypes only. A row of nothing but -inf is NaN.
void softmax(bool log, Dtype dtype, void* y, const void* x, const Layout& lx, int dim);

}  // namespace gradus::kernels
