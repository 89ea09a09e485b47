#pragma once
#include <gradus/autograd/base/shape.h>

#pragma GCC visibility push(default)

namespace gradus::kernels {

/// y = Σ x over the dims whose bit is set; y is contiguous over the dims that are kept, in order.
/// `out` is `in` for floating x and int64 for integers and bool. float32 is summed in double precision
/// and rounded once; a long row or column of float64 in blocks whose totals are added pairwise. A sum of
/// nothing is 0.
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

/// dx = y (g - Σ g y), or with `log` g - eʸ Σ g, along `dim`; all contiguous.
void softmax_gradient(bool log, Dtype dtype, void* dx, const void* y, const void* g, const Shape& shape,
                      int dim);

/// The logits of samples, contiguous [n, classes, inner], and the class of each, [n, inner].
struct Classified {
  Dtype dtype;
  const void* x;
  const int64_t* target;
  int64_t n, classes, inner;
};

/// What cross_entropy computes of each sample besides its loss, [3, n · inner]: the largest logit m,
/// ln Σ e^(x - m), and w[target]; then the sum of all these weights.
constexpr int64_t statistics_size(int64_t samples) { return 3 * samples + 1; }

/// losses = -w[t] (x_t - m - ln Σ e^(x - m)), [n, inner]. Samples of the class ignore_index have weight 0 and
/// loss 0; the other classes lie in [0, classes). `weight`, [classes], may be null: 1.
void cross_entropy(const Classified& c, void* losses, void* statistics, const void* weight,
                   int64_t ignore_index);

/// dx = g w[t] / total (softmax(x) - [class = t]), contiguous as x. `each`: g is one for each sample, else
/// the same for all. `mean`: total is the sum of the weights, else 1.
void cross_entropy_gradient(const Classified& c, void* dx, const void* statistics, const void* g, bool each,
                            bool mean);

}  // namespace gradus::kernels

#pragma GCC visibility pop
