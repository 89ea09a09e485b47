#pragma once
#include <cstdint>

namespace gradus::kernels {

/// Elements (i, j) of a matrix are at data[i · row + j · col].
template <class T>
struct Strided {
  T* data;
  int64_t row, col;
};

/// A product's operands: c[m, n] = a[m, k] · b[k, n] + bias[n], or no bias where that is null. c.col is 1.
template <class T>
struct Product {
  int64_t m, n, k;
  Strided<const T> a, b;
  const T* bias;
  Strided<T> c;
};

/// The ways to compute a product, compiled for one instruction set. Whatever part of c a call is given, an
/// element's arithmetic depends on k and its own row and column alone. `scratch` is kGemmScratch bytes,
/// aligned to 64; all want m, n and k above 0.
template <class T>
struct GemmPaths {
  /// For m and n up to 4, a and b dense along them. Returns false, and does nothing, where it has no loop for
  /// the product.
  bool (*outer)(const Product<T>& p);
  /// For n and k up to kTallSize, a contiguous along k: b stays in registers.
  void (*tall)(const Product<T>& p, void* scratch);
  /// For a and b contiguous along k: multiplies vectors along k and adds their lanes at the end.
  void (*dot)(const Product<T>& p, void* scratch);
  /// For all others: multiplies rows of b by single elements of a.
  void (*panel)(const Product<T>& p, void* scratch);
};
struct GemmTable {
  GemmPaths<float> f32;
  GemmPaths<double> f64;
};

inline constexpr int64_t kGemmScratch = 320 << 10;
inline constexpr int64_t kTallSize = 8;

}  // namespace gradus::kernels
