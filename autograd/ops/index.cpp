#include <gradus/autograd/core/apply.h>
#include <gradus/autograd/kernels/index.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/index.h>

namespace gradus {
namespace {

struct Gather {
  static constexpr auto name = "gather";
  static constexpr auto formula = "y = x[index]        dx = zeros with g added at index";
  static constexpr Needs needs[] = {in(1)};
  int dim;
  void describe(Describe& d) const { d("dim", dim); }
  Tensor value(const Tensor& x, const Tensor& index) const {
    Tensor y = make_empty(index.shape(), x.dtype());
    launch(kernels::Gather{writes(y), reads(x), reads(index), dim});
    return y;
  }
  Tensor vjp(In<0>, const Back& b) const {
    return scatter_add(zeros(b.shape(0), b.g().dtype()), dim, b.in(1), b.g());
  }
};

struct ScatterAdd {
  static constexpr auto name = "scatter_add";
  static constexpr auto formula = "y = x, src added at index        dx = g        dsrc = g[index]";
  static constexpr Needs needs[] = {nothing, nothing, in(1)};
  int dim;
  void describe(Describe& d) const { d("dim", dim); }
  Tensor value(const Tensor& x, const Tensor& index, const Tensor& src) const {
    Tensor y = x.clone();
    launch(kernels::ScatterAdd{writes(y), reads(src), reads(index), dim});
    return y;
  }
  Tensor vjp(In<0>, const Back& b) const { return b.g(); }
  Tensor vjp(In<2>, const Back& b) const {
    const Tensor index = b.in(1);
    Tensor g = gather(b.g(), dim, index);
    if (g.shape() == b.shape(2)) return g;
    // src was larger than index: what was not used has gradient 0.
    Tensor dsrc = zeros(b.shape(2), g.dtype()), used = dsrc;
    for (int i = 0; i < g.shape().rank(); i++) used = used.slice(i, 0, g.size(i));
    used.copy_(g);
    return dsrc;
  }
};

/// The index of rows along dim as gather takes it: of the rows' shape.
Layout spread(const Layout& index, const Shape& rows, int dim) {
  Layout l(rows);
  std::fill(l.strides, l.strides + kMaxRank, 0);
  l.strides[dim] = index.strides[0];
  l.offset = index.offset;
  return l;
}

struct IndexSelect {
  static constexpr auto name = "index_select";
  static constexpr auto formula = "y = rows index of x        dx = zeros with g added at the rows index";
  static constexpr Needs needs[] = {in(1)};
  int dim;
  void describe(Describe& d) const { d("dim", dim); }
  Tensor value(const Tensor& x, const Tensor& index) const {
    Shape shape = x.shape();
    shape[dim] = index.numel();
    Tensor y = make_empty(shape, x.dtype());
    launch(kernels::Gather{writes(y), reads(x), reads(index, spread(index.layout(), shape, dim)), dim});
    return y;
  }
  Part vjp(In<0>, const Back& b) const { return {b.g(), {}, b.in(1), dim}; }
};

struct IndexAdd {
  static constexpr auto name = "index_add";
  static constexpr auto formula =
      "y = x, src added at the rows index        dx = g        dsrc = rows index of g";
  static constexpr Needs needs[] = {nothing, nothing, in(1)};
  int dim;
  void describe(Describe& d) const { d("dim", dim); }
  void write(const Tensor& x, const Tensor&, const Tensor& index, const Tensor& src) const {
    const Layout rows = spread(index.layout(), src.shape(), dim);
    launch(kernels::ScatterAdd{writes(x), reads(src), reads(index, rows), dim});
  }
  Tensor vjp(In<0>, const Back& b) const { return b.g(); }
  Tensor vjp(In<2>, const Back& b) const { return index_select(b.g(), dim, b.in(1)); }
};

/// Every index is one of x's along dim.
struct CheckRange {
  static constexpr auto name = "check_range";
  const char* op;
  Read index;
  Shape x;
  int dim;
  void operands(auto f) { f(index); }
  void run() const {
    const int64_t* const at = index.at<const int64_t>();
    const int64_t bad = kernels::first_out_of_range(at, *index.layout, x.rank() > 0 ? x[dim] : 1);
    if (bad >= 0)
      fail<IndexError>("{}: index {} is out of range for dim {} of {}", op,
                       at[element_offset(*index.layout, bad)], dim, x);
  }
};

int checked_dim(const char* op, const Tensor& x, int64_t dim, const Tensor& index) {
  detail::check_defined(op, x, index);
  const int i = normalize_dim(op, dim, x.shape().rank());
  if (index.dtype() != kInt64) fail<DtypeError>("{}: the index must be int64, not {}", op, index.dtype());
  if (index.dim() != x.dim())
    fail<ShapeError>("{}: index and x have different numbers of dims: {} and {}", op, index.shape(),
                     x.shape());
  for (int k = 0; k < x.shape().rank(); k++)
    if (k != i && index.shape()[k] > x.shape()[k])
      fail<ShapeError>("{}: the index is larger than x in dim {}: {} and {}", op, k, index.shape(),
                       x.shape());
  launch(CheckRange{op, reads(index), x.shape(), i});
  return i;
}

int checked_rows(const char* op, const Tensor& x, int64_t dim, const Tensor& index) {
  detail::check_defined(op, x, index);
  if (x.dim() == 0) fail<IndexError>("{}: a 0-d tensor has no rows", op);
  const int i = normalize_dim(op, dim, x.shape().rank());
  if (index.dtype() != kInt64) fail<DtypeError>("{}: the index must be int64, not {}", op, index.dtype());
  if (index.dim() != 1)
    fail<ShapeError>("{}: the index has {} dims, not 1: {}", op, index.dim(), index.shape());
  launch(CheckRange{op, reads(index), x.shape(), i});
  return i;
}

}  // namespace

Tensor index_select(const Tensor& x, int64_t dim, const Tensor& index) {
  return apply(IndexSelect{checked_rows("index_select", x, dim, index)}, x, index);
}

Tensor& index_add_(Tensor& x, int64_t dim, const Tensor& index, const Tensor& src) {
  detail::check_defined("index_add", x, index, src);
  const int i = checked_rows("index_add", x, dim, index);
  if (src.dtype() != x.dtype()) fail<DtypeError>("index_add: x is {}, src is {}", x.dtype(), src.dtype());
  Shape rows = x.shape();
  rows[i] = index.numel();
  if (src.shape() != rows)
    fail<ShapeError>("index_add: src has shape {}, {} rows along dim {} of x have {}", src.shape(),
                     index.numel(), i, rows);
  apply_inplace(IndexAdd{i}, x, index, src);
  return x;
}

Tensor index_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src) {
  detail::check_defined("index_add", x, index, src);
  Tensor y = x.clone();
  return index_add_(y, dim, index, src);
}

Tensor gather(const Tensor& x, int64_t dim, const Tensor& index) {
  const int i = checked_dim("gather", x, dim, index);
  if (x.dim() == 0) return x.clone();
  return apply(Gather{i}, x, index);
}

Tensor scatter_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src) {
  detail::check_defined("scatter_add", x, index, src);
  const int i = checked_dim("scatter_add", x, dim, index);
  if (src.dtype() != x.dtype()) fail<DtypeError>("scatter_add: x is {}, src is {}", x.dtype(), src.dtype());
  if (src.dim() != index.dim())
    fail<ShapeError>("scatter_add: src and index have different numbers of dims: {} and {}", src.shape(),
                     index.shape());
  for (int k = 0; k < src.shape().rank(); k++)
    if (index.shape()[k] > src.shape()[k])
      fail<ShapeError>("scatter_add: the index is larger than src in dim {}: {} and {}", k, index.shape(),
                       src.shape());
  if (x.dim() == 0) return x + src;
  return apply(ScatterAdd{i}, x, index, src);
}

}  // namespace gradus
