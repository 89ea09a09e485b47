#pragma once
#include <cstdint>

namespace gradus::kernels {

/// Elements (i, j) of a matrix are at data[i · row + j · col].
template <class T>
struct Strided {
  T* data;
  int64_t row, col;
  T& operator()(int64_t i, int64_t j) const { return data[i * row + j * col]; }
};

/// A product's operands: c[m, n] = a[m, k] · b[k, n] + bias[m, n], or no bias where its data is null. The
/// bias is the same for every row or for every column.
template <class T>
struct Product {
  int64_t m, n, k;
  Strided<const T> a, b, bias;
  Strided<T> c;

  /// cᵀ = bᵀ · aᵀ + biasᵀ
  Product turned() const {
    const auto turn = [](auto x) { return decltype(x){x.data, x.col, x.row}; };
    return {n, m, k, turn(b), turn(a), turn(bias), turn(c)};
  }
};

/// The ways to compute a product, compiled for one instruction set. Whatever part of c a call is given, an
/// element's arithmetic depends on k and its own row and column alone. At most kSumBlock products are added
/// one after the other, from 0; the totals of such blocks are a running sum in c, but outer adds them
/// pairwise. `scratch` is kGemmScratch bytes, aligned to 64; all but outer want m, n and k above 0, and k up
/// to kLongSum, and all but dot and panel want c.col to be 1.
template <class T>
struct GemmPaths {
  /// For m and n up to 4, a and b dense along them; sums[i] = Σ a[i, k] over k, where not null. Returns
  /// false, and does nothing, where it has no loop for the product.
  bool (*outer)(const Product<T>& p, T* sums);
  /// For n and k up to kTallSize, a contiguous along k: b stays in registers.
  void (*tall)(const Product<T>& p, void* scratch);
  /// For a and b contiguous along k: multiplies vectors along k and adds their lanes at the end. Best where m
  /// is at least n.
  void (*dot)(const Product<T>& p, void* scratch);
  /// For m from least_wide to most_wide, b.col and c.col 1: as panel, but reads b once.
  void (*wide)(const Product<T>& p, void* scratch);
  /// For all others: multiplies rows of b by single elements of a.
  void (*panel)(const Product<T>& p, void* scratch);
  int64_t least_wide, most_wide;
};
struct GemmTable {
  GemmPaths<float> f32;
  GemmPaths<double> f64;
};

inline constexpr int64_t kGemmScratch = 384 << 10;
inline constexpr int64_t kTallSize = 8, kFewTerms = 2, kDotSize = 24;
/// A running sum of as many totals as there are blocks in kLongSum costs no more digits than the blocks.
inline constexpr int64_t kSumBlock = 256, kLongSum = 4096;

}  // namespace gradus::kernels
