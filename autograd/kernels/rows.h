#pragma once
#include <gradus/autograd/base/parallel.h>
#include <gradus/autograd/base/shape.h>

#include <cstdlib>

namespace gradus::kernels {

/// K layouts of one shape, walked together as few and long one-dimensional rows.
template <int K>
class Rows {
 public:
  /// Strides are 0 where a layout is broadcast.
  Rows(const Shape& shape, const Layout* const (&layouts)[K]) noexcept {
    for (int k = 0; k < K; k++) offsets_[k] = layouts[k]->offset;
    // Where there is nothing to walk, strides may be so large that their sums do not fit.
    for (const int64_t d : shape)
      if (d == 0) {
        push({0, {}});
        return;
      }
    for (int i = shape.rank(); i-- > 0;) {
      if (shape[i] == 1) continue;
      Dim d{shape[i], {}};
      for (int k = 0; k < K; k++) d.strides[k] = layouts[k]->strides[i];
      push(d);
    }
    if (rank_ > 1) sort();
  }
  int64_t count() const noexcept {
    int64_t n = 1;
    for (int i = 1; i < rank_; i++) n *= dims_[i].size;
    return n;
  }
  int64_t length() const noexcept { return rank_ ? dims_[0].size : 1; }
  /// Of layout k along a row.
  int64_t stride(int k) const noexcept { return rank_ ? dims_[0].strides[k] : 0; }

  /// Calls f(n, offsets, strides) for rows [begin, end).
  template <class F>
  void run(int64_t begin, int64_t end, F&& f) const {
    const int64_t* strides = rank_ ? dims_[0].strides : kNoStrides;
    if (rank_ <= 1) {
      if (begin < end && length() > 0) f(length(), offsets_, strides);
      return;
    }
    int64_t at[K], index[kMaxRank] = {};
    for (int k = 0; k < K; k++) at[k] = offsets_[k];
    for (int64_t i = 1, rest = begin; i < rank_; i++) {
      if (dims_[i].size == 0) return;
      index[i] = rest % dims_[i].size;
      rest /= dims_[i].size;
      for (int k = 0; k < K; k++) at[k] += index[i] * dims_[i].strides[k];
    }
    if (length() == 0) return;
    for (int64_t row = begin; row < end; row++) {
      f(length(), static_cast<const int64_t*>(at), strides);
      for (int i = 1; i < rank_; i++) {
        for (int k = 0; k < K; k++) at[k] += dims_[i].strides[k];
        if (++index[i] < dims_[i].size) break;
        for (int k = 0; k < K; k++) at[k] -= dims_[i].size * dims_[i].strides[k];
        index[i] = 0;
      }
    }
  }

 private:
  struct Dim {
    int64_t size, strides[K];
  };
  static constexpr int64_t kNoStrides[K] = {};

  /// Adds the next outer dim, merged into the last where every layout allows it.
  void push(const Dim& d) {
    if (rank_ > 0) {
      Dim& inner = dims_[rank_ - 1];
      bool merges = true;
      for (int k = 0; k < K; k++) merges &= d.strides[k] == inner.strides[k] * inner.size;
      if (merges) return static_cast<void>(inner.size *= d.size);
    }
    dims_[rank_++] = d;
  }
  /// Smallest strides innermost; then the dim that makes the cheapest loop becomes the row.
  void sort() {
    auto reach = [](const Dim& d) {
      int64_t sum = 0;
      for (int64_t s : d.strides) sum += std::abs(s);
      return sum;
    };
    for (int i = 1; i < rank_; i++)
      for (int j = i; j > 0 && reach(dims_[j]) < reach(dims_[j - 1]); j--) std::swap(dims_[j], dims_[j - 1]);
    const int n = rank_;
    rank_ = 1;
    for (int i = 1; i < n; i++) push(Dim(dims_[i]));
    // A row costs about 6 strided elements; 8 contiguous (or constant) elements cost about one.
    auto cost = [](const Dim& d) {
      bool dense = true;
      for (int64_t s : d.strides) dense &= s == 0 || s == 1;
      return (6 + (dense ? 0.125 : 1.0) * static_cast<double>(d.size)) / static_cast<double>(d.size);
    };
    int best = 0;
    for (int i = 1; i < rank_; i++)
      if (cost(dims_[i]) < cost(dims_[best])) best = i;
    for (int i = best; i > 0; i--) std::swap(dims_[i], dims_[i - 1]);
  }

  int rank_ = 0;
  int64_t offsets_[K];
  Dim dims_[kMaxRank];
};

/// How many times x has each element along `dims`: the sizes of those of stride 0, multiplied. If that is
/// more than once, `once` is x with 1 for these sizes.
inline int64_t repeats(const Layout& x, uint32_t dims, Layout& once) noexcept {
  int64_t n = 1;
  for (int i = 0; i < x.rank(); i++) {
    if (x.strides[i] != 0 || x.shape[i] <= 1 || !(dims >> i & 1)) continue;
    if (n == 1) once = x;
    n *= x.shape[i];
    once.shape[i] = 1;
  }
  return n;
}

/// Calls f(n, offsets, strides) for rows that together are all elements of `shape`: element i of a row is
/// at offsets[k] + i · strides[k] of layout k. Never called for a shape without elements.
/// `layouts` have the given shape (strides 0 where broadcast). The order of rows is fixed but unspecified.
template <int K, class F>
void for_each_row(const Shape& shape, const Layout* const (&layouts)[K], F&& f) {
  const Rows<K> rows(shape, layouts);
  rows.run(0, rows.count(), f);
}

/// As for_each_row, on several threads where there are at least 2 · grain elements. Long rows are cut.
/// No two elements of the result may share memory.
template <int K, class F>
void parallel_rows(const Shape& shape, const Layout* const (&layouts)[K], int64_t grain, F&& f) {
  const Rows<K> rows(shape, layouts);
  const int64_t count = rows.count(), length = rows.length();
  if (count * length < 2 * grain) return rows.run(0, count, f);
  if (count >= length || length < 2 * grain)
    return parallel_for(count, grain / length + 1,
                        [&](int64_t begin, int64_t end) { rows.run(begin, end, f); });
  rows.run(0, count, [&](int64_t, const int64_t* offsets, const int64_t* strides) {
    parallel_for(length, grain, [&](int64_t begin, int64_t end) {
      int64_t at[K];
      for (int k = 0; k < K; k++) at[k] = offsets[k] + begin * strides[k];
      f(end - begin, static_cast<const int64_t*>(at), strides);
    });
  });
}

}  // namespace gradus::kernels
