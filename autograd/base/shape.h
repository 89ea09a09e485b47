#pragma once
#include <gradus/autograd/base/dtype.h>
#include <gradus/autograd/base/error.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#pragma GCC visibility push(default)

namespace gradus {

/// The most dims a tensor can have.
inline constexpr int kMaxRank = 8;

/// A short list of sizes (or dims, or strides): at most kMaxRank entries, inline, trivially copyable.
class Shape {
 public:
  Shape() noexcept : rank_(0) {}
  /// Sizes {2, 3}, or from a vector or array; ShapeError for more than kMaxRank.
  Shape(std::initializer_list<int64_t> sizes) : Shape(sizes.begin(), sizes.size()) {}
  Shape(const std::vector<int64_t>& sizes) : Shape(sizes.data(), sizes.size()) {}
  Shape(const int64_t* sizes, size_t rank) : rank_(static_cast<int32_t>(rank)) {
    if (rank > kMaxRank) fail<ShapeError>("shape: {} dims: at most {} are supported", rank, kMaxRank);
    for (size_t i = 0; i < rank; i++) d_[i] = sizes[i];
  }
  /// `rank` entries of `value`.
  static Shape filled(int rank, int64_t value) {
    Shape s;
    for (int i = 0; i < rank; i++) s.push_back(value);
    return s;
  }

  /// The number of entries.
  int rank() const noexcept { return rank_; }
  /// Entry i, which is not checked.
  int64_t operator[](int i) const noexcept { return d_[i]; }
  int64_t& operator[](int i) noexcept { return d_[i]; }
  /// The first entry.
  const int64_t* begin() const noexcept { return d_; }
  /// One past the last entry.
  const int64_t* end() const noexcept { return d_ + rank_; }
  /// Appends an entry; ShapeError beyond kMaxRank.
  void push_back(int64_t size) {
    if (rank_ == kMaxRank) fail<ShapeError>("shape: more than {} dims are not supported", kMaxRank);
    d_[rank_++] = size;
  }
  /// Puts an entry in front of entry `at`.
  void insert(int at, int64_t size) {
    push_back(0);
    std::copy_backward(d_ + at, d_ + rank_ - 1, d_ + rank_);
    d_[at] = size;
  }
  /// Takes entry `at` out.
  void erase(int at) {
    std::copy(d_ + at + 1, d_ + rank_, d_ + at);
    rank_--;
  }
  /// The product of the sizes. Throws, in the name of `op`, where it does not fit into an int64 or a size is
  /// negative.
  int64_t numel(const char* op = "shape") const;
  /// "[2, 3]"
  std::string str() const;

  friend bool operator==(const Shape& a, const Shape& b) noexcept {
    if (a.rank_ != b.rank_) return false;
    // A loop: a call of memcmp costs more than a few sizes.
    for (int i = 0; i < a.rank_; i++)
      if (a.d_[i] != b.d_[i]) return false;
    return true;
  }

 private:
  friend struct Layout;
  int32_t rank_;
  int64_t d_[kMaxRank];
};

/// How the elements of a tensor lie in its storage: element (i0, i1 …) is at offset + Σ i_k · strides[k].
struct Layout {
  Shape shape;                // sizes
  int64_t strides[kMaxRank];  // how far apart neighbours along a dim lie, in elements
  int64_t offset;             // of the first element

  Layout() noexcept : offset(0) {}
  /// Row-major without gaps, from element 0.
  explicit Layout(const Shape& s) noexcept : offset(0) {
    // Size by size: a processor waits where it reads at once what was just written in parts.
    shape.rank_ = s.rank_;
    int64_t stride = 1;
    for (int i = s.rank_; i-- > 0;) {
      shape.d_[i] = s.d_[i];
      strides[i] = stride;
      stride *= s.d_[i] > 0 ? s.d_[i] : 1;
    }
  }
  /// `rank` sizes, as many strides, and the offset of the first element.
  Layout(int rank, const int64_t* sizes, const int64_t* strides_, int64_t offset_) noexcept
      : offset(offset_) {
    shape.rank_ = rank;
    for (int i = 0; i < rank; i++) {
      shape.d_[i] = sizes[i];
      strides[i] = strides_[i];
    }
  }
  /// The number of dims.
  int rank() const noexcept { return shape.rank(); }
  /// The number of elements.
  int64_t numel() const noexcept {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
  }
  /// Row-major without gaps (strides of size-1 dims do not count, nor any where there are no elements).
  bool contiguous() const noexcept {
    int64_t stride = 1;
    for (int i = rank(); i-- > 0;) {
      if (shape[i] == 0) return true;
      if (shape[i] != 1 && strides[i] != stride) return numel() == 0;
      stride *= shape[i];
    }
    return true;
  }
  /// True where two different indices may name one element (expanded tensors).
  bool overlaps() const;
  /// One past the largest element offset, 0 for a tensor without elements.
  int64_t end() const noexcept {
    int64_t last = offset;
    for (int i = 0; i < rank(); i++) {
      if (shape[i] == 0) return 0;
      last += (shape[i] - 1) * strides[i];
    }
    return last + 1;
  }
  friend bool operator==(const Layout& a, const Layout& b) noexcept {
    return a.shape == b.shape && a.offset == b.offset &&
           std::equal(a.strides, a.strides + a.rank(), b.strides);
  }
};

/// `dim` counted from the end where negative; IndexError outside [-rank, rank). A 0-d tensor takes 0 and -1.
int normalize_dim(const char* op, int64_t dim, int rank);
/// The shape that a and b broadcast to (NumPy's rule); ShapeError naming `op` where there is none.
Shape broadcast(const char* op, const Shape& a, const Shape& b);
/// `x` laid over `to` by broadcasting: size-1 and missing dims get stride 0. `to` must fit.
Layout broadcast_to(const Layout& x, const Shape& to) noexcept;
/// Whether a tensor of shape `from` can be broadcast to `to`.
bool broadcastable(const Shape& from, const Shape& to) noexcept;

/// The flat position k, counted row-major over `layout`, as an element offset.
inline int64_t element_offset(const Layout& layout, int64_t k) noexcept {
  int64_t at = layout.offset;
  for (int i = layout.rank(); i-- > 0;) {
    at += k % layout.shape[i] * layout.strides[i];
    k /= layout.shape[i];
  }
  return at;
}

}  // namespace gradus

namespace gradus::detail {
/// Base of formatters without options. (fmt's own formatters, to derive from, would need fmt/format.h.)
struct TextFormatter {
  constexpr auto parse(fmt::format_parse_context& c) { return c.begin(); }
};
}  // namespace gradus::detail

template <>
struct fmt::formatter<gradus::Shape> : gradus::detail::TextFormatter {
  template <class C>
  auto format(const gradus::Shape& s, C& c) const {
    return fmt::format_to(c.out(), "{}", s.str());
  }
};
template <>
struct fmt::formatter<gradus::Dtype> : gradus::detail::TextFormatter {
  template <class C>
  auto format(gradus::Dtype d, C& c) const {
    return fmt::format_to(c.out(), "{}", gradus::name_of(d));
  }
};

#pragma GCC visibility pop
