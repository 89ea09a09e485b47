#pragma once
#include <gradus/autograd/base/dtype.h>

#include <cstdint>

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

}  // namespace gradus::kernels

#pragma GCC visibility pop
