#include <gradus/autograd/core/regions.h>
#include <gradus/autograd/kernels/copy.h>

#include <fmt/format.h>

namespace gradus {
namespace {

struct Transpose {
  static constexpr auto name = "transpose";
  static constexpr auto formula = "y = x with dims i and j swapped        dx = g with dims i and j swapped";
  int dim0, dim1;
  void describe(Describe& d) const { d("dim0", dim0), d("dim1", dim1); }
  Layout of(Layout l) const {
    std::swap(l.shape[dim0], l.shape[dim1]);
    std::swap(l.strides[dim0], l.strides[dim1]);
    return l;
  }
  Tensor vjp(In<0>, const Back& b) const { return b.g().transpose(dim0, dim1); }
};

struct Permute {
  static constexpr auto name = "permute";
  static constexpr auto formula = "y = x with its dims in another order        dx = g in the order before";
  Shape dims;
  void describe(Describe& d) const { d("dims", dims); }
  Layout of(const Layout& x) const {
    Layout l = x;
    for (int i = 0; i < dims.rank(); i++) {
      l.shape[i] = x.shape[static_cast<int>(dims[i])];
      l.strides[i] = x.strides[dims[i]];
    }
    return l;
  }
  Tensor vjp(In<0>, const Back& b) const {
    Shape back = dims;
    for (int i = 0; i < dims.rank(); i++) back[static_cast<int>(dims[i])] = i;
    return b.g().permute(back);
  }
};

struct Expand {
  static constexpr auto name = "expand";
  static constexpr auto formula = "y = x repeated along dims of size 1        dx = g summed over these dims";
  Shape shape;
  void describe(Describe& d) const { d("shape", shape); }
  Layout of(const Layout& x) const { return broadcast_to(x, shape); }
  // The engine sums a gradient to the shape of the input that it flows to.
  Tensor vjp(In<0>, const Back& b) const { return b.g(); }
};

struct Reshape {
  static constexpr auto name = "reshape";
  static constexpr auto formula = "y = x in another shape        dx = g in x's shape";
  Layout to;  // strides for the x it was made for
  void describe(Describe& d) const { d("shape", to.shape); }
  Layout of(const Layout& x) const {
    Layout l = to;
    l.offset = x.offset;
    return l;
  }
  Tensor vjp(In<0>, const Back& b) const { return b.g().reshape(b.shape(0)); }
};

// A view without elements begins where x does: beside a size of 0, strides may be as large as an int64.
struct Slice {
  static constexpr auto name = "slice";
  static constexpr auto formula = "y = x[start : end : step]        dx = zeros with g in these places";
  int dim;
  int64_t start, length, step;
  void describe(Describe& d) const {
    d("dim", dim), d("start", start), d("end", length > 0 ? start + (length - 1) * step + 1 : start);
    d("step", step);
  }
  Layout of(Layout l) const {
    const int64_t from = start * l.strides[dim];
    l.shape[dim] = length;
    l.strides[dim] *= step;
    if (l.numel() > 0) l.offset += from;
    return l;
  }
  Part vjp(In<0>, const Back& b) const { return {b.g(), of(Layout(b.shape(0)))}; }
};

struct Select {
  static constexpr auto name = "select";
  static constexpr auto formula = "y = x[index]        dx = zeros with g at index";
  int dim;
  int64_t index;
  void describe(Describe& d) const { d("dim", dim), d("index", index); }
  Layout of(Layout l) const {
    if (l.numel() > 0) l.offset += index * l.strides[dim];
    l.shape.erase(dim);
    std::copy(l.strides + dim + 1, l.strides + kMaxRank, l.strides + dim);
    return l;
  }
  Part vjp(In<0>, const Back& b) const { return {b.g(), of(Layout(b.shape(0)))}; }
};

struct Split {
  static constexpr auto name = "split";
  static constexpr auto formula =
      "y0, y1, … = parts of x along dim        dx = zeros with g_k in the place of y_k";
  static constexpr uint32_t differentiable = all_results;
  int dim;
  void describe(Describe& d) const { d("dim", dim); }
  Parts vjp(In<0>, const Back& b) const {
    Parts dx;
    const Layout x(b.shape(0));
    int64_t start = 0;
    for (uint32_t k = 0; k < b.node().num_outputs(); k++) {
      const int64_t length = b.out_shape(k)[dim];
      if (b.arrived(k)) dx.push_back({b.g(k), Slice{dim, start, length, 1}.of(x)});
      start += length;
    }
    return dx;
  }
};

struct Unbind {
  static constexpr auto name = "unbind";
  static constexpr auto formula = "y0, y1, … = x[0], x[1], …        dx = zeros with g_k at k";
  static constexpr uint32_t differentiable = all_results;
  int dim;
  void describe(Describe& d) const { d("dim", dim); }
  Parts vjp(In<0>, const Back& b) const {
    Parts dx;
    const Layout x(b.shape(0));
    for (uint32_t k = 0; k < b.node().num_outputs(); k++)
      if (b.arrived(k)) dx.push_back({b.g(k), Select{dim, k}.of(x)});
    return dx;
  }
};

/// Throws where x has no dims.
int part_dim(const char* op, const Tensor& x, int64_t dim) {
  if (x.dim() == 0) fail<IndexError>("{}: a 0-d tensor has no dim to go along", op);
  return normalize_dim(op, dim, x.shape().rank());
}

Tensors split_along(const Tensor& x, int dim, std::span<const int64_t> sizes) {
  int64_t start = 0;
  return detail::views(Split{dim}, x, static_cast<int64_t>(sizes.size()), [&](int64_t k) {
    const int64_t length = sizes[static_cast<size_t>(k)];
    return Slice{dim, std::exchange(start, start + length), length, 1}.of(x.layout());
  });
}
/// The sizes of parts of `size`, of which there is one at least.
std::vector<int64_t> equal_sizes(const char* op, int64_t n, int64_t size) {
  const int64_t count = std::max<int64_t>(1, n / size + (n % size != 0));
  std::vector<int64_t> sizes = make_vector<int64_t>(op, count);
  std::fill(sizes.begin(), sizes.end(), size);
  sizes.back() = n - (count - 1) * size;
  return sizes;
}

/// The strides of x seen in another shape of as many elements, if they exist.
bool reshape_layout(const Layout& x, const Shape& shape, Layout& y) {
  y = Layout(shape);
  y.offset = x.offset;
  if (x.contiguous()) return true;
  // Walk both shapes from the right in groups of equal size; within a group x must be evenly spaced.
  int i = x.rank() - 1, j = shape.rank() - 1;
  while (i >= 0 && j >= 0) {
    int64_t nx = x.shape[i], ny = shape[j];
    const int i_last = i, j_last = j;
    while (nx != ny) {
      if (nx < ny) {
        if (--i < 0) return false;
        nx *= x.shape[i];
      } else {
        if (--j < 0) return false;
        ny *= shape[j];
      }
    }
    int64_t stride = 0;
    bool started = false;
    for (int k = i_last; k >= i; k--) {
      if (x.shape[k] == 1) continue;
      if (started && x.strides[k] != stride) return false;
      if (!started) y.strides[j_last] = x.strides[k];
      stride = x.strides[k] * x.shape[k];
      started = true;
    }
    int64_t step = started ? y.strides[j_last] : 1;
    for (int k = j_last; k >= j; k--) {
      y.strides[k] = step;
      step *= shape[k];
    }
    i--;
    j--;
  }
  return true;  // what is left on either side are dims of size 1
}

struct Clone {
  static constexpr auto name = "clone";
  static constexpr auto formula = "y = x        dx = g";
  Tensor value(const Tensor& x) const {
    Tensor y = make_empty(x.shape(), x.dtype());
    launch(kernels::Copy{writes(y), reads(x)});
    return y;
  }
  Tensor vjp(In<0>, const Back& b) const { return b.g(); }
};

struct Cast {
  static constexpr auto name = "to";
  static constexpr auto formula = "y = x as another dtype        dx = g as x's dtype";
  Dtype dtype;
  void describe(Describe& d) const { d("dtype", dtype); }
  Tensor value(const Tensor& x) const {
    Tensor y = make_empty(x.shape(), dtype);
    launch(kernels::Copy{writes(y), reads(x)});
    return y;
  }
  // The engine converts a gradient to the dtype of the input that it flows to.
  Tensor vjp(In<0>, const Back& b) const { return b.g(); }
};

}  // namespace

Tensor Tensor::transpose(int64_t dim0, int64_t dim1) const {
  defined_impl();
  const int i = normalize_dim("transpose", dim0, shape().rank()),
            j = normalize_dim("transpose", dim1, shape().rank());
  if (shape().rank() == 0) return *this;
  return detail::view(Transpose{i, j}, *this);
}

Tensor Tensor::t() const {
  defined_impl();
  if (dim() > 2)
    fail<ShapeError>("t: at most 2 dims are expected, not {}; mT() transposes a batch of matrices", shape());
  return dim() < 2 ? *this : transpose(0, 1);
}

Tensor Tensor::mT() const {
  defined_impl();
  if (dim() < 2) fail<ShapeError>("mT: at least 2 dims are expected, not {}", shape());
  return transpose(-2, -1);
}

Tensor Tensor::permute(const Shape& dims) const {
  defined_impl();
  const int rank = shape().rank();
  if (dims.rank() != rank)
    fail<ShapeError>("permute: {} dims are named for {}: {}", dims.rank(), shape(), dims);
  Permute op{dims};
  unsigned seen = 0;
  for (int i = 0; i < rank; i++) {
    const int d = normalize_dim("permute", dims[i], rank);
    if (seen >> d & 1) fail<ShapeError>("permute: dim {} is named twice: {}", d, dims);
    seen |= 1u << d;
    op.dims[i] = d;
  }
  return detail::view(op, *this);
}

Tensor Tensor::expand(const Shape& to) const {
  defined_impl();
  Shape target = to;
  const int shift = to.rank() - shape().rank();
  if (shift < 0) fail<ShapeError>("expand: {} has more dims than {}", shape(), to);
  for (int i = 0; i < to.rank(); i++) {
    if (to[i] == -1 && i >= shift) target[i] = shape()[i - shift];
    if (target[i] < 0) fail<ShapeError>("expand: size {} of dim {} has no meaning for {}", to[i], i, shape());
  }
  target.numel("expand");
  if (!broadcastable(shape(), target))
    fail<ShapeError>("expand: {} cannot become {}: only dims of size 1 are repeated", shape(), target);
  return detail::view(Expand{target}, *this);
}

Tensor Tensor::reshape(const Shape& wanted) const {
  defined_impl();
  Shape to = wanted;
  int unknown = -1;
  for (int i = 0; i < to.rank(); i++) {
    if (to[i] == -1) {
      if (unknown >= 0) fail<ShapeError>("reshape: only one size may be -1: {}", wanted);
      unknown = i;
      to[i] = 1;
    } else if (to[i] < 0) {
      fail<ShapeError>("reshape: impossible sizes: {}", wanted);
    }
  }
  const int64_t n = numel();
  int64_t known = to.numel("reshape");
  if (unknown >= 0) {
    if (known == 0) fail<ShapeError>("reshape: -1 is ambiguous: {} into {}", shape(), wanted);
    if (n % known)
      fail<ShapeError>("reshape: {} has {} elements, no multiple of {}: {}", shape(), n, known, wanted);
    to[unknown] = n / known;
    known *= to[unknown];
  }
  if (known != n)
    fail<ShapeError>("reshape: {} has {} elements, {} would have {}", shape(), n, wanted, known);
  Reshape op{};
  if (reshape_layout(layout(), to, op.to)) return detail::view(op, *this);
  const Tensor x = clone();
  reshape_layout(x.layout(), to, op.to);
  return detail::view(op, x);
}

Tensor Tensor::flatten(int64_t start_dim, int64_t end_dim) const {
  defined_impl();
  const int rank = shape().rank();
  const int first = normalize_dim("flatten", start_dim, rank), last = normalize_dim("flatten", end_dim, rank);
  if (first > last) fail<IndexError>("flatten: start_dim {} comes after end_dim {}", first, last);
  if (rank == 0) return reshape({1});
  Shape to;
  int64_t merged = 1;
  for (int i = 0; i < rank; i++) {
    if (i < first || i > last) {
      to.push_back(shape()[i]);
    } else {
      merged *= shape()[i];
      if (i == last) to.push_back(merged);
    }
  }
  return reshape(to);
}

Tensor Tensor::squeeze() const {
  defined_impl();
  Shape to;
  for (int64_t d : shape())
    if (d != 1) to.push_back(d);
  return reshape(to);
}

Tensor Tensor::squeeze(int64_t dim) const {
  defined_impl();
  const int i = normalize_dim("squeeze", dim, shape().rank());
  if (shape().rank() == 0 || shape()[i] != 1) return *this;
  return detail::view(Select{i, 0}, *this);
}

Tensor Tensor::unsqueeze(int64_t dim) const {
  defined_impl();
  const int i = normalize_dim("unsqueeze", dim, shape().rank() + 1);
  if (shape().rank() == kMaxRank)
    fail<ShapeError>("unsqueeze: {} has {} dims, as many as there can be", shape(), kMaxRank);
  Reshape op{layout()};
  op.to.shape.insert(i, 1);
  std::copy_backward(layout().strides + i, layout().strides + layout().rank(), op.to.strides + op.to.rank());
  op.to.strides[i] = 1;
  return detail::view(op, *this);
}

Tensor Tensor::select(int64_t dim, int64_t index) const {
  defined_impl();
  if (shape().rank() == 0) fail<IndexError>("select: a 0-d tensor has nothing to select from");
  const int i = normalize_dim("select", dim, shape().rank());
  const int64_t n = shape()[i], at = index < 0 ? index + n : index;
  if (at < 0 || at >= n)
    fail<IndexError>("select: index {} is out of range for dim {} of {}", index, i, shape());
  return detail::view(Select{i, at}, *this);
}

Tensor Tensor::slice(int64_t dim, int64_t start, std::optional<int64_t> end, int64_t step) const {
  defined_impl();
  if (shape().rank() == 0) fail<IndexError>("slice: a 0-d tensor has nothing to slice");
  const int i = normalize_dim("slice", dim, shape().rank());
  if (step <= 0) fail<IndexError>("slice: step must be positive, not {}", step);
  const int64_t n = shape()[i];
  const auto bound = [n](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + n : at, 0, n); };
  const int64_t first = bound(start), last = end ? bound(*end) : n;
  const int64_t length = last > first ? (last - first - 1) / step + 1 : 0;
  // A step that is not taken must not overflow the stride.
  return detail::view(Slice{i, first, length, length > 1 ? step : 1}, *this);
}

Tensor Tensor::narrow(int64_t dim, int64_t start, int64_t length) const {
  defined_impl();
  const int i = part_dim("narrow", *this, dim);
  const int64_t n = shape()[i], first = start < 0 ? start + n : start;
  if (first < 0 || first > n || length < 0 || length > n - first)
    fail<IndexError>("narrow: {} elements from {} on are not inside of dim {} of {}", length, start, i,
                     shape());
  return detail::view(Slice{i, first, length, 1}, *this);
}

Tensors Tensor::split(int64_t size, int64_t dim) const {
  defined_impl();
  const int i = part_dim("split", *this, dim);
  const int64_t n = shape()[i];
  if (size < 0 || (size == 0 && n > 0))
    fail<ShapeError>("split: parts of size {} along dim {} of {}: the size must be positive", size, i,
                     shape());
  return split_along(*this, i, equal_sizes("split", n, std::max<int64_t>(size, 1)));
}

Tensors Tensor::split(const std::vector<int64_t>& sizes, int64_t dim) const {
  defined_impl();
  const int i = part_dim("split", *this, dim);
  int64_t sum = 0;
  bool fits = true;
  for (int64_t n : sizes) fits = fits && n >= 0 && !__builtin_add_overflow(sum, n, &sum);
  if (!fits || sum != shape()[i])
    fail<ShapeError>("split: sizes [{}] do not add up to dim {} of {}", fmt::join(sizes, ", "), i, shape());
  return split_along(*this, i, sizes);
}

Tensors Tensor::chunk(int64_t chunks, int64_t dim) const {
  defined_impl();
  const int i = part_dim("chunk", *this, dim);
  if (chunks <= 0) fail<ShapeError>("chunk: into {} parts: there must be 1 at least", chunks);
  const int64_t n = shape()[i];
  if (n == 0) return split_along(*this, i, make_vector<int64_t>("chunk", chunks));
  return split_along(*this, i, equal_sizes("chunk", n, n / chunks + (n % chunks != 0)));
}

Tensors Tensor::unbind(int64_t dim) const {
  defined_impl();
  const int i = part_dim("unbind", *this, dim);
  return detail::views(Unbind{i}, *this, shape()[i], [&](int64_t k) { return Select{i, k}.of(layout()); });
}

Tensor Tensor::clone() const { return defined_impl(), apply(Clone{}, *this); }
Tensor Tensor::contiguous() const { return defined_impl().layout.contiguous() ? *this : clone(); }
Tensor Tensor::to(Dtype dtype) const {
  return defined_impl().dtype == dtype ? *this : apply(Cast{dtype}, *this);
}

}  // namespace gradus
