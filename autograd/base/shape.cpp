#include <gradus/autograd/base/shape.h>

#include <limits>

namespace gradus {

int64_t Shape::numel(const char* op) const {
  // The product must fit even when some size is 0, so that strides never overflow.
  int64_t n = 1;
  bool zero = false;
  for (int64_t d : *this) {
    if (d < 0) fail<ShapeError>("{}: a size is negative: {}", op, *this);
    if (d == 0)
      zero = true;
    else if (__builtin_mul_overflow(n, d, &n))
      fail<ShapeError>("{}: the number of elements does not fit into 63 bits: {}", op, *this);
  }
  return zero ? 0 : n;
}

std::string Shape::str() const {
  std::string s = "[";
  for (int i = 0; i < rank_; i++) s += (i ? ", " : "") + std::to_string(d_[i]);
  return s + "]";
}

bool Layout::overlaps() const {
  // Sorted by stride, each dim must step over all that the smaller ones span: exact for what views make.
  int64_t sizes[kMaxRank], steps[kMaxRank];
  int n = 0;
  for (int i = 0; i < rank(); i++) {
    if (shape[i] == 0) return false;
    if (shape[i] == 1) continue;
    int at = n++;
    for (; at > 0 && steps[at - 1] > strides[i]; at--) {
      steps[at] = steps[at - 1];
      sizes[at] = sizes[at - 1];
    }
    steps[at] = strides[i];
    sizes[at] = shape[i];
  }
  int64_t span = 0;
  for (int i = 0; i < n; i++) {
    if (steps[i] <= span) return true;
    span += (sizes[i] - 1) * steps[i];
  }
  return false;
}

int normalize_dim(const char* op, int64_t dim, int rank) {
  const int64_t n = rank ? rank : 1;
  if (dim < -n || dim >= n)
    fail<IndexError>("{}: dim {} is out of range: it must lie in [{}, {}]", op, dim, -n, n - 1);
  return static_cast<int>(dim < 0 ? dim + n : dim);
}

Shape broadcast(const char* op, const Shape& a, const Shape& b) {
  const Shape& wide = a.rank() >= b.rank() ? a : b;
  const Shape& narrow = a.rank() >= b.rank() ? b : a;
  Shape s = wide;
  const int shift = wide.rank() - narrow.rank();
  for (int i = 0; i < narrow.rank(); i++) {
    const int64_t d = narrow[i];
    int64_t& to = s[shift + i];
    if (to == 1)
      to = d;
    else if (d != 1 && d != to)
      fail<ShapeError>("{}: shapes do not broadcast: {} and {} ({} != {} in dim {})", op, a, b,
                       wide[shift + i], d, shift + i);
  }
  return s;
}

bool broadcastable(const Shape& from, const Shape& to) noexcept {
  const int shift = to.rank() - from.rank();
  if (shift < 0) return false;
  for (int i = 0; i < from.rank(); i++)
    if (from[i] != 1 && from[i] != to[shift + i]) return false;
  return true;
}

Layout broadcast_to(const Layout& x, const Shape& to) noexcept {
  Layout l;
  l.shape = to;
  l.offset = x.offset;
  const int shift = to.rank() - x.rank();
  for (int i = 0; i < to.rank(); i++)
    l.strides[i] = i < shift || (x.shape[i - shift] == 1 && to[i] != 1) ? 0 : x.strides[i - shift];
  return l;
}

}  // namespace gradus
