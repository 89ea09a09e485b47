#pragma once
#include <gradus/autograd/kernels/gemm.h>

#include <type_traits>

/// Products of matrices in plain memory. Element (i, j) of A is a[i · a_row + j · a_col], of B likewise, of C
/// c[i · c_row + j].
namespace gradus {

inline Layout matrix_layout(int64_t rows, int64_t cols, int64_t row, int64_t col) {
  const int64_t sizes[] = {rows, cols}, strides[] = {row, col};
  return Layout(2, sizes, strides, 0);
}

/// C = A · B + bias; the bias may be null.
template <class T>
void gemm(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b,
          int64_t b_row, int64_t b_col, const std::type_identity_t<T>* bias, T* c, int64_t c_row) {
  const Layout la = matrix_layout(m, k, a_row, a_col), lb = matrix_layout(k, n, b_row, b_col),
               lc = matrix_layout(m, n, c_row, 1), dense(Shape{n});
  kernels::Matmul{writes(c, lc), reads(a, la), reads(b, lb), bias ? reads(bias, dense) : Read{}}.run();
}

/// C = A · B, whose rows have no gaps, and sums[i] = Σ A[i, k] over k.
template <class T>
void gemm_and_sums(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b,
                   int64_t b_row, int64_t b_col, T* c, T* sums) {
  const Layout lg = matrix_layout(k, m, a_col, a_row), lx = matrix_layout(k, n, b_row, b_col),
               lc(Shape{m, n}), ls(Shape{m});
  kernels::LinearGradients{writes(c, lc), writes(sums, ls), reads(a, lg), reads(b, lx)}.run();
}

}  // namespace gradus
