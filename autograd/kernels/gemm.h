#pragma once
#include <gradus/autograd/base/launch.h>

#pragma GCC visibility push(default)

namespace gradus::kernels {

/// y = a · b + bias of the matrices in the last two dims; one product for each index of the dims before them,
/// which have the same sizes in all three (strides 0 where broadcast). Turned: a's, or b's, transpose is
/// read. Any strides, but 1 along y's rows; any sizes (of no terms: the bias, or zeros); floating dtypes
/// only. The bias, [n] and contiguous, is added to every row, or missing. However long the inner dim is, an
/// element is about as exact as if blocks of 256 products were summed and their totals added without
/// rounding. Bit-equal for any number of threads.
struct Matmul {
  static constexpr auto name = "matmul";
  Write y;
  Read a, b, bias = {};
  bool a_turned = false, b_turned = false;
  void operands(auto f) {
    f(y), f(a), f(b);
    if (bias) f(bias);
  }
  void run() const;
};

/// dw = gᵀ x and db = Σ g over the rows: the gradients of a linear layer's weight and bias. As in Sum, many
/// numbers of float32 are summed in double. dw and db are contiguous.
struct LinearGradients {
  static constexpr auto name = "linear_gradients";
  Write dw, db;
  Read g, x;
  void operands(auto f) { f(dw), f(db), f(g), f(x); }
  void run() const;
};

}  // namespace gradus::kernels

#pragma GCC visibility pop
