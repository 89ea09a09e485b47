#pragma once
#include <gradus/autograd/base/launch.h>

#pragma GCC visibility push(default)

namespace gradus::kernels {

/// C = A · B + bias: A is [m, k], B is [k, n], C is [m, n]; the bias has n elements, added to every row, or
/// is null. Element (i, j) of A is a[i · a_row + j · a_col], of B likewise, of C c[i · c_row + j]; any
/// strides, any sizes (k = 0 gives the bias, or zeros). Floating dtypes only. However long k is, an element
/// is about as exact as if blocks of 256 products were summed and their totals added without rounding.
/// Bit-equal for any number of threads.
void gemm(Dtype dtype, int64_t m, int64_t n, int64_t k, const void* a, int64_t a_row, int64_t a_col,
          const void* b, int64_t b_row, int64_t b_col, const void* bias, void* c, int64_t c_row);

/// C = A · B as gemm, and sums[i] = Σ A[i, k] over k for all m rows: with A = gᵀ, the gradients of a linear
/// layer's weight and bias. As in sum(), many numbers of float32 are summed in double.
void gemm_and_sums(Dtype dtype, int64_t m, int64_t n, int64_t k, const void* a, int64_t a_row, int64_t a_col,
                   const void* b, int64_t b_row, int64_t b_col, void* c, int64_t c_row, void* sums);

/// y = a · b + bias of the matrices in the last two dims, as gemm; one product for each index of the dims
/// before them, which have the same sizes in all three (strides 0 where broadcast). Turned: a's, or b's,
/// transpose is read. y is contiguous; the bias, [n] and contiguous, may be missing.
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

/// dw = gᵀ x and db = Σ g over the rows, as gemm_and_sums.
struct LinearGradients {
  static constexpr auto name = "linear_gradients";
  Write dw, db;
  Read g, x;
  void operands(auto f) { f(dw), f(db), f(g), f(x); }
  void run() const;
};

}  // namespace gradus::kernels

#pragma GCC visibility pop
