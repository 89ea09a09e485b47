#pragma once
#include <gradus/autograd/base/launch.h>

#pragma GCC visibility push(default)

namespace gradus::kernels {

/// y = Σ x over the dims whose bit is set; y is contiguous over the dims that are kept, in order. Its dtype
/// is x's where that is floating, and int64 for integers and bool. float32 is summed in double precision and
/// rounded once; a long row or column of float64 in blocks whose totals are added pairwise. A sum of nothing
/// is 0.
struct Sum {
  static constexpr auto name = "sum";
  Write y;
  Read x;
  uint32_t dims;
  void operands(auto f) { f(y), f(x); }
  void run() const;
};

/// y = Σ x / n over the dims whose bit is set, n being how many elements each sum has; floating dtypes only.
struct Mean {
  static constexpr auto name = "mean";
  Write y;
  Read x;
  uint32_t dims;
  void operands(auto f) { f(y), f(x); }
  void run() const;
};

/// y = max (or min) of x over the dims whose bit is set, which hold at least one element. NaN wins.
struct Extreme {
  static constexpr auto name = "extreme";
  Write y;
  Read x;
  bool max;
  uint32_t dims;
  void operands(auto f) { f(y), f(x); }
  void run() const;
};

/// values = max (or min) of x along `dim`, which holds at least one element, and the first index that has
/// it; the first NaN wins. Both results are contiguous over the other dims.
struct ExtremeIndex {
  static constexpr auto name = "extreme_index";
  Write values, indices;
  Read x;
  bool max;
  int dim;
  void operands(auto f) { f(values), f(indices), f(x); }
  void run() const;
};

/// y_i = x_0 + … + x_i along `dim`, or from the other end: x_i + … + x_n. y is contiguous of x's shape and
/// dtype; integers wrap.
struct Cumsum {
  static constexpr auto name = "cumsum";
  Write y;
  Read x;
  bool reverse;
  int dim;
  void operands(auto f) { f(y), f(x); }
  void run() const;
};

/// y = exp(x - m) / Σ exp(x - m), m = max x, along `dim`; with `log`, y = (x - m) - log Σ exp(x - m).
/// y is contiguous of x's shape; floating dtypes only. A row of nothing but -inf is NaN.
struct Softmax {
  static constexpr auto name = "softmax";
  Write y;
  Read x;
  bool log;
  int dim;
  void operands(auto f) { f(y), f(x); }
  void run() const;
};

/// dx = y (g - Σ g y), or with `log` g - eʸ Σ g, along `dim`; all contiguous.
struct SoftmaxGradient {
  static constexpr auto name = "softmax_gradient";
  Write dx;
  Read y, g;
  bool log;
  int dim;
  void operands(auto f) { f(dx), f(y), f(g); }
  void run() const;
};

/// What cross_entropy computes of each sample besides its loss, [3, samples]: the largest logit m,
/// ln Σ e^(x - m), and w[target]; then the sum of all these weights.
constexpr int64_t statistics_size(int64_t samples) { return 3 * samples + 1; }

/// losses = -w[t] (x_t - m - ln Σ e^(x - m)) of logits x, [n, classes, …] or [classes], and the class of each
/// sample. Samples of the class ignore_index have weight 0 and loss 0; the other classes lie in [0, classes).
/// Without `weight`, [classes], it is 1. All are contiguous.
struct CrossEntropy {
  static constexpr auto name = "cross_entropy";
  Write losses, statistics;
  Read x, target, weight;
  int64_t ignore_index;
  void operands(auto f) {
    f(losses), f(statistics), f(x), f(target);
    if (weight) f(weight);
  }
  void run() const;
};

/// dx = g w[t] / total (softmax(x) - [class = t]), all contiguous. g is one for each sample, or the same for
/// all. `mean`: total is the sum of the weights, else 1.
struct CrossEntropyGradient {
  static constexpr auto name = "cross_entropy_gradient";
  Write dx;
  Read x, target, statistics, g;
  bool each, mean;
  void operands(auto f) { f(dx), f(x), f(target), f(statistics), f(g); }
  void run() const;
};

}  // namespace gradus::kernels

#pragma GCC visibility pop
