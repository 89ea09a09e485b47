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

/// The inner loops of reductions over T, compiled for one instruction set.
template <class T>
struct ReduceRows {
  Fold<T, SumOf<T>> sum;
  Fold<T, T> max, min;
  /// softmax (or its logarithm) in place, of a row and of each column (cols ≤ kFoldColumns); null for
  /// integers.
  void (*softmax)(bool log, T* y, int64_t n);
  void (*softmax_columns)(bool log, T* y, int64_t rows, int64_t stride, int64_t cols);
};

/// bool is reduced as uint8.
struct ReduceTable {
  ReduceRows<uint8_t> u8;
  ReduceRows<int64_t> i64;
  ReduceRows<float> f32;
  ReduceRows<double> f64;
};

}  // namespace gradus::kernels
