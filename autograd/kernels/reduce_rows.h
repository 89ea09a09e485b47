#pragma once
#include <gradus/autograd/base/dtype.h>

#include <cstdint>

namespace gradus::kernels {

/// The columns that a fold takes at most.
inline constexpr int64_t kFoldColumns = 64;

/// What a sum of T is kept in; a maximum or minimum is kept in T.
template <class T>
using SumOf = std::conditional_t<std::is_floating_point_v<T>, double, int64_t>;

/// One reduction of T into accumulators of type Acc.
template <class T, class Acc>
struct Fold {
  /// acc = fold(acc, x[0] … x[n - 1]).
  void (*row)(Acc* acc, const T* x, int64_t n);
  /// acc[j] = fold(acc[j], x[i · stride + j] for i < rows), for j < cols ≤ kFoldColumns.
  void (*columns)(Acc* acc, const T* x, int64_t rows, int64_t stride, int64_t cols);
};

/// Softmax and what belongs to it, of a row of n and of each column (cols ≤ kFoldColumns) of rows that lie
/// `stride` apart. A result may be one of the operands.
template <class T>
struct SoftmaxRows {
  /// y = softmax(x), or its logarithm.
  void (*value)(bool log, T* y, const T* x, int64_t n);
  void (*value_columns)(bool log, T* y, const T* x, int64_t rows, int64_t stride, int64_t cols);
  /// The gradient of x for y = softmax(x), or its logarithm.
  void (*gradient)(bool log, T* dx, const T* y, const T* g, int64_t n);
  void (*gradient_columns)(bool log, T* dx, const T* y, const T* g, int64_t rows, int64_t stride,
                           int64_t cols);
  /// m = max x, log_sum = ln Σ e^(x - m)
  void (*log_sum_exp)(T* m, T* log_sum, const T* x, int64_t n);
  void (*log_sum_exp_columns)(T* m, T* log_sum, const T* x, int64_t rows, int64_t stride, int64_t cols);
  /// y = scale e^(x - m - log_sum)
  void (*scaled)(T* y, const T* x, int64_t n, T m, T log_sum, T scale);
  void (*scaled_columns)(T* y, const T* x, int64_t rows, int64_t stride, int64_t cols, const T* m,
                         const T* log_sum, const T* scale);
};

/// The inner loops of reductions over T, compiled for one instruction set.
template <class T>
struct ReduceRows {
  Fold<T, SumOf<T>> sum;
  Fold<T, T> max, min;
  SoftmaxRows<T> softmax;  // null for integers
};

/// bool is reduced as uint8.
struct ReduceTable {
  ReduceRows<uint8_t> u8;
  ReduceRows<int64_t> i64;
  ReduceRows<float> f32;
  ReduceRows<double> f64;
};

}  // namespace gradus::kernels
