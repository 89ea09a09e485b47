#include <gradus/autograd/core/apply.h>
#include <gradus/autograd/kernels/compare.h>
#include <gradus/autograd/kernels/reduce.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/index.h>
#include <gradus/autograd/ops/reduce.h>

namespace gradus {
namespace {

/// The dims of x to reduce, as bits.
uint32_t mask_of(const char* op, const Tensor& x, const Shape& dims) {
  detail::check_defined(op, x);
  const int rank = x.shape().rank();
  uint32_t mask = 0;
  for (int64_t d : dims) {
    const int i = normalize_dim(op, d, rank);
    if (mask >> i & 1) fail<IndexError>("{}: dim {} is named twice: {}", op, i, dims);
    mask |= 1u << i;
  }
  // A list without dims means all of them, as in PyTorch.
  return dims.rank() == 0 ? (1u << rank) - 1 : mask & ((1u << rank) - 1);
}

/// The dims whose bit is set.
Shape dims_of(uint32_t mask) {
  Shape dims;
  for (int i = 0; i < kMaxRank; i++)
    if (mask >> i & 1) dims.push_back(i);
  return dims;
}

Shape kept_shape(const Shape& s, uint32_t mask, bool keepdim) {
  Shape y;
  for (int i = 0; i < s.rank(); i++) {
    if (!(mask >> i & 1))
      y.push_back(s[i]);
    else if (keepdim)
      y.push_back(1);
  }
  return y;
}

/// A reduced tensor over x's shape again: the dims that are gone become dims of stride 0.
Tensor spread(Tensor y, const Shape& x, uint32_t mask, bool keepdim) {
  if (!keepdim && y.dim() > 0)
    for (int i = 0; i < x.rank(); i++)
      if (mask >> i & 1) y = y.unsqueeze(i);
  return y.expand(x);
}

int64_t count(const Shape& s, uint32_t mask) {
  int64_t n = 1;
  for (int i = 0; i < s.rank(); i++)
    if (mask >> i & 1) n *= s[i];
  return n;
}

struct Sum {
  static constexpr auto name = "sum";
  static constexpr auto formula = "y = Σ x        dx = g, repeated over the dims that were summed";
  uint32_t mask;
  bool keepdim;
  void describe(Describe& d) const { d("dim", dims_of(mask)), d("keepdim", keepdim); }
  Tensor value(const Tensor& x) const {
    Tensor y = make_empty(kept_shape(x.shape(), mask, keepdim), is_floating(x.dtype()) ? x.dtype() : kInt64);
    launch(kernels::Sum{writes(y), reads(x), mask});
    return y;
  }
  Tensor vjp(In<0>, const Back& b) const { return spread(b.g(), b.shape(0), mask, keepdim); }
};

struct Mean {
  static constexpr auto name = "mean";
  static constexpr auto formula = "y = Σ x / n        dx = g / n, repeated over the dims that were summed";
  uint32_t mask;
  bool keepdim;
  void describe(Describe& d) const { d("dim", dims_of(mask)), d("keepdim", keepdim); }
  Tensor value(const Tensor& x) const {
    Tensor y = make_empty(kept_shape(x.shape(), mask, keepdim), x.dtype());
    launch(kernels::Mean{writes(y), reads(x), mask});
    return y;
  }
  Tensor vjp(In<0>, const Back& b) const {
    return spread(b.g() / count(b.shape(0), mask), b.shape(0), mask, keepdim);
  }
};

struct Extreme {
  const char* name;
  static constexpr auto formula = "y = max x (or min x)        dx = g / k where x = y, k being how many are";
  static constexpr Needs needs[] = {in(0) | out(0)};
  bool max;
  uint32_t mask;
  bool keepdim;
  void describe(Describe& d) const { d("dim", dims_of(mask)), d("keepdim", keepdim); }
  Tensor value(const Tensor& x) const {
    Tensor y = make_empty(kept_shape(x.shape(), mask, keepdim), x.dtype());
    launch(kernels::Extreme{writes(y), reads(x), max, mask});
    return y;
  }
  Tensor vjp(In<0>, const Back& b) const {
    const Tensor x = b.in(0).detach(), y = spread(b.out().detach(), x.shape(), mask, keepdim);
    const Tensor chosen = make_empty(x.shape(), kBool);
    launch(kernels::Compared{kernels::Compare::Same, writes(chosen), reads(x), reads(y)});
    const Tensor each = b.g() / Sum{mask, keepdim}.value(chosen);
    return where(chosen, spread(each, x.shape(), mask, keepdim), 0);
  }
};

/// Results: the values and their indices.
struct ExtremeIndex {
  const char* name;
  static constexpr auto formula =
      "y = max x (or min x) along a dim        dx = zeros with g at the chosen index";
  static constexpr Needs needs[] = {out(1)};
  bool max;
  int dim;
  bool keepdim;
  void describe(Describe& d) const { d("dim", dim), d("keepdim", keepdim); }
  std::tuple<Tensor, Tensor> value(const Tensor& x) const {
    const Shape shape = kept_shape(x.shape(), x.dim() ? 1u << dim : 0, keepdim);
    Tensor values = make_empty(shape, x.dtype()), indices = make_empty(shape, kInt64);
    if (x.dim() == 0) return {x.clone(), zeros({}, kInt64)};
    launch(kernels::ExtremeIndex{writes(values), writes(indices), reads(x), max, dim});
    return {values, indices};
  }
  Tensor vjp(In<0>, const Back& b) const {
    const Shape shape = b.shape(0);
    if (shape.rank() == 0) return b.g();
    const bool dropped = !keepdim;
    const Tensor g = dropped ? b.g().unsqueeze(dim) : b.g(),
                 index = dropped ? b.out(1).unsqueeze(dim) : b.out(1);
    return scatter_add(zeros(shape, g.dtype()), dim, index, g);
  }
};

/// Sums from the first element on, or from the last.
struct Cumsum {
  static constexpr auto name = "cumsum";
  static constexpr auto formula = "y_i = x_0 + … + x_i        dx_i = g_i + … + g_n";
  int dim;
  bool reverse;
  void describe(Describe& d) const { d("dim", dim), d("reverse", reverse); }
  Tensor value(const Tensor& x) const {
    Tensor y = make_empty(x.shape(), x.dtype());
    launch(kernels::Cumsum{writes(y), reads(x), reverse, dim});
    return y;
  }
  Tensor vjp(In<0>, const Back& b) const { return apply(Cumsum{dim, !reverse}, b.g()); }
};

template <bool log>
struct Softmax {
  static constexpr auto name = log ? "log_softmax" : "softmax";
  static constexpr auto formula =
      log ? "y = x - ln Σ eˣ        dx = g - eʸ Σ g" : "y = eˣ / Σ eˣ        dx = y (g - Σ g y)";
  static constexpr Needs needs[] = {out(0)};
  int dim;
  void describe(Describe& d) const { d("dim", dim); }
  Tensor value(const Tensor& x) const {
    Tensor y = make_empty(x.shape(), x.dtype());
    launch(kernels::Softmax{writes(y), reads(x), log, dim});
    return y;
  }
  Tensor vjp(In<0>, const Back& b) const {
    const Tensor y = b.out(), g = b.g();
    if (b.create_graph() && log) return g - exp(y) * g.sum({dim}, true);
    if (b.create_graph()) return y * (g - (g * y).sum({dim}, true));
    const Tensor rows = y.contiguous(), gradients = g.contiguous();
    Tensor dx = make_empty(y.shape(), y.dtype());
    launch(kernels::SoftmaxGradient{writes(dx), reads(rows), reads(gradients), log, dim});
    return dx;
  }
};

uint32_t all_of(const char* op, const Tensor& x) {
  detail::check_defined(op, x);
  return (1u << x.shape().rank()) - 1;
}
Tensor floating(const char* op, const Tensor& x) {
  detail::check_defined(op, x);
  return is_floating(x.dtype()) ? x : x.to(kFloat32);
}
int dim_of(const char* op, const Tensor& x, int64_t dim) {
  detail::check_defined(op, x);
  return normalize_dim(op, dim, x.shape().rank());
}

void check_any(const char* op, const Tensor& x, uint32_t mask) {
  if (x.numel() == 0 && count(x.shape(), mask) == 0)
    fail<ShapeError>("{}: there is no element to choose from: {}", op, x.shape());
}

Tensor extreme(const char* op, bool max, const Tensor& x, uint32_t mask, bool keepdim) {
  check_any(op, x, mask);
  return apply(Extreme{op, max, mask, keepdim}, x);
}

std::tuple<Tensor, Tensor> extreme_index(const char* op, bool max, const Tensor& x, int64_t dim,
                                         bool keepdim) {
  const int i = dim_of(op, x, dim);
  if (x.dim() > 0 && x.shape()[i] == 0)
    fail<ShapeError>("{}: dim {} has no element to choose from: {}", op, i, x.shape());
  return apply(ExtremeIndex{op, max, i, keepdim}, x);
}

}  // namespace

Tensor sum(const Tensor& x) { return apply(Sum{all_of("sum", x), false}, x); }
Tensor sum(const Tensor& x, const Shape& dims, bool keepdim) {
  return apply(Sum{mask_of("sum", x, dims), keepdim}, x);
}
Tensor mean(const Tensor& x) { return apply(Mean{all_of("mean", x), false}, floating("mean", x)); }
Tensor mean(const Tensor& x, const Shape& dims, bool keepdim) {
  return apply(Mean{mask_of("mean", x, dims), keepdim}, floating("mean", x));
}
Tensor max(const Tensor& x) { return extreme("max", true, x, all_of("max", x), false); }
Tensor min(const Tensor& x) { return extreme("min", false, x, all_of("min", x), false); }
Tensor amax(const Tensor& x, const Shape& dims, bool keepdim) {
  return extreme("amax", true, x, mask_of("amax", x, dims), keepdim);
}
Tensor amin(const Tensor& x, const Shape& dims, bool keepdim) {
  return extreme("amin", false, x, mask_of("amin", x, dims), keepdim);
}
std::tuple<Tensor, Tensor> max(const Tensor& x, int64_t dim, bool keepdim) {
  return extreme_index("max", true, x, dim, keepdim);
}
std::tuple<Tensor, Tensor> min(const Tensor& x, int64_t dim, bool keepdim) {
  return extreme_index("min", false, x, dim, keepdim);
}
Tensor argmax(const Tensor& x, int64_t dim, bool keepdim) {
  detail::check_defined("argmax", x);
  return std::get<1>(extreme_index("argmax", true, x.detach(), dim, keepdim));
}
Tensor argmin(const Tensor& x, int64_t dim, bool keepdim) {
  detail::check_defined("argmin", x);
  return std::get<1>(extreme_index("argmin", false, x.detach(), dim, keepdim));
}
Tensor cumsum(const Tensor& x, int64_t dim) {
  const int i = dim_of("cumsum", x, dim);
  const Tensor numbers = is_floating(x.dtype()) ? x : x.to(kInt64);
  return apply(Cumsum{i, false}, numbers);
}
Tensor softmax(const Tensor& x, int64_t dim) {
  return apply(Softmax<false>{dim_of("softmax", x, dim)}, floating("softmax", x));
}
Tensor log_softmax(const Tensor& x, int64_t dim) {
  return apply(Softmax<true>{dim_of("log_softmax", x, dim)}, floating("log_softmax", x));
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  detail::check_defined("sum_to", x);
  if (x.shape() == shape) return x;
  if (!broadcastable(shape, x.shape()))
    fail<ShapeError>("sum_to: {} does not broadcast to {}", shape, x.shape());
  const int shift = x.shape().rank() - shape.rank();
  uint32_t mask = (1u << shift) - 1;
  const uint32_t leading = mask;
  for (int i = 0; i < shape.rank(); i++)
    if (shape[i] == 1 && x.shape()[shift + i] != 1) mask |= 1u << (shift + i);
  if (mask == leading) return apply(Sum{mask, false}, x);
  Tensor y = apply(Sum{mask, true}, x);
  return shift ? y.reshape(shape) : y;
}

Tensor Tensor::sum() const { return gradus::sum(*this); }
Tensor Tensor::sum(const Shape& dims, bool keepdim) const { return gradus::sum(*this, dims, keepdim); }
Tensor Tensor::mean() const { return gradus::mean(*this); }
Tensor Tensor::mean(const Shape& dims, bool keepdim) const { return gradus::mean(*this, dims, keepdim); }

}  // namespace gradus
