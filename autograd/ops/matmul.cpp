#include <gradus/autograd/core/apply.h>
#include <gradus/autograd/kernels/gemm.h>
#include <gradus/autograd/ops/matmul.h>
#include <gradus/autograd/ops/reduce.h>

namespace gradus {
namespace {

/// C = A · B on the matrices at the given element offsets of a, b and the contiguous c.
void multiply(const Tensor& a, int64_t at_a, const Tensor& b, int64_t at_b, const Tensor& c, int64_t at_c,
              int64_t m, int64_t n, int64_t k) {
  const Layout &la = a.layout(), &lb = b.layout();
  const int ra = la.rank(), rb = lb.rank();
  const int64_t item = item_size(c.dtype());
  launch({&c.storage(), &a.storage(), &b.storage()}, kernels::gemm, c.dtype(), m, n, k,
         a.storage().data() + at_a * item, la.strides[ra - 2], la.strides[ra - 1],
         b.storage().data() + at_b * item, lb.strides[rb - 2], lb.strides[rb - 1], nullptr,
         c.raw() + at_c * item, n);
}

Shape batch_of(const Shape& s) { return Shape(s.begin(), static_cast<size_t>(s.rank() - 2)); }

struct Matmul {
  static constexpr auto name = "matmul";
  static constexpr auto formula = "y = a b        da = g bᵀ        db = aᵀ g";
  static constexpr Needs needs[] = {in(1), in(0)};
  Tensor value(const Tensor& a, const Tensor& b) const {
    const int64_t m = a.size(-2), k = a.size(-1), n = b.size(-1);
    if (b.dim() == 2 && (a.dim() == 2 || a.is_contiguous())) {
      Shape shape = a.shape();
      shape[shape.rank() - 1] = n;
      Tensor y = make_empty(shape, a.dtype());
      const Tensor rows = a.dim() == 2 ? a : a.reshape({batch_of(a.shape()).numel() * m, k});
      multiply(rows, rows.layout().offset, b, b.layout().offset, y, 0, rows.size(0), n, k);
      return y;
    }
    const Shape batch = broadcast(name, batch_of(a.shape()), batch_of(b.shape()));
    Shape shape = batch;
    shape.push_back(m);
    shape.push_back(n);
    Tensor y = make_empty(shape, a.dtype());
    Layout la = a.layout(), lb = b.layout();
    la.shape = batch_of(a.shape());
    lb.shape = batch_of(b.shape());
    if (y.numel() == 0) return y;
    const Layout wide_a = broadcast_to(la, batch), wide_b = broadcast_to(lb, batch);
    for (int64_t i = 0, count = batch.numel(); i < count; i++)
      multiply(a, element_offset(wide_a, i), b, element_offset(wide_b, i), y, i * m * n, m, n, k);
    return y;
  }
  Tensor vjp(In<0>, const Back& b) const { return matmul(b.g(), b.in(1).mT()); }
  Tensor vjp(In<1>, const Back& b) const { return matmul(b.in(0).mT(), b.g()); }
};

/// a · b, or aᵀ · b, of two matrices of one dtype, unrecorded.
Tensor product(const Tensor& a, bool transposed, const Tensor& b) {
  const Layout &la = a.layout(), &lb = b.layout();
  const int rows = transposed ? 1 : 0, cols = 1 - rows;
  const int64_t m = la.shape[rows], k = la.shape[cols], n = lb.shape[1];
  Tensor y = make_empty({m, n}, a.dtype());
  launch({&y.storage(), &a.storage(), &b.storage()}, kernels::gemm, y.dtype(), m, n, k, a.raw(),
         la.strides[rows], la.strides[cols], b.raw(), lb.strides[0], lb.strides[1], nullptr, y.raw(), n);
  return y;
}

/// x [n, in], w [out, in], b [out] or undefined.
struct Linear {
  static constexpr auto name = "linear";
  static constexpr auto formula =
      "y = x wᵀ + b        dx = g w        dw = gᵀ x        db = Σ g over the rows";
  static constexpr Needs needs[] = {in(1), in(0), nothing};
  Tensor value(const Tensor& x, const Tensor& w, const Tensor& b) const {
    const Layout &lx = x.layout(), &lw = w.layout();
    const int64_t m = lx.shape[0], n = lw.shape[0], k = lw.shape[1];
    Tensor y = make_empty({m, n}, x.dtype());
    const Tensor bias = b.defined() ? b.contiguous() : b;
    launch({&y.storage(), &x.storage(), &w.storage(), bias.defined() ? &bias.storage() : &w.storage()},
           kernels::gemm, y.dtype(), m, n, k, x.raw(), lx.strides[0], lx.strides[1], w.raw(), lw.strides[1],
           lw.strides[0], bias.defined() ? bias.raw() : nullptr, y.raw(), n);
    return y;
  }
  Tensor vjp(In<0>, const Back& b) const {
    return b.create_graph() ? matmul(b.g(), b.in(1)) : product(b.g(), false, b.in(1));
  }
  Tensor vjp(In<1>, const Back& b) const {
    return b.create_graph() ? matmul(b.g().t(), b.in(0)) : product(b.g(), true, b.in(0));
  }
  // The engine sums a gradient to the shape of the input that it flows to.
  Tensor vjp(In<2>, const Back& b) const { return b.g(); }
  /// dw and db from one call, which for tiny layers reads g once.
  bool together(Back& b) const {
    if (!b.wanted(1) || !b.wanted(2)) return false;
    const Tensor g = b.g(), x = b.in(0);
    const Layout &lg = g.layout(), &lx = x.layout();
    const int64_t k = lg.shape[0], m = lg.shape[1], n = lx.shape[1];
    Tensor dw = make_empty({m, n}, g.dtype()), db = make_empty({m}, g.dtype());
    launch({&dw.storage(), &db.storage(), &g.storage(), &x.storage()}, kernels::gemm_and_sums, g.dtype(), m,
           n, k, g.raw(), lg.strides[1], lg.strides[0], x.raw(), lx.strides[0], lx.strides[1], dw.raw(), n,
           db.raw());
    if (b.wanted(0)) b.give(0, vjp(In<0>{}, b));
    b.give(1, std::move(dw));
    b.give(2, std::move(db));
    return true;
  }
};

Dtype common_dtype(const char* op, const Tensor& a, const Tensor& b) {
  detail::check_defined(op, a, b);
  const Dtype d = promote(a.dtype(), b.dtype());
  if (!is_floating(d))
    fail<DtypeError>("{}: floating operands are expected, not {} and {}", op, a.dtype(), b.dtype());
  return d;
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) {
  const Dtype d = common_dtype("matmul", a, b);
  if (a.dim() == 0 || b.dim() == 0)
    fail<ShapeError>("matmul: 0-d operands have no rows or columns: {} x {}", a.shape(), b.shape());
  const int64_t k = a.size(-1), inner = b.size(b.dim() == 1 ? 0 : -2);
  if (k != inner)
    fail<ShapeError>("matmul: inner sizes differ: {} x {} ({} != {})", a.shape(), b.shape(), k, inner);
  const bool row = a.dim() == 1, column = b.dim() == 1;
  Tensor y = apply(Matmul{}, row ? a.to(d).unsqueeze(0) : a.to(d), column ? b.to(d).unsqueeze(1) : b.to(d));
  if (row) y = y.squeeze(-2);
  if (column) y = y.squeeze(-1);
  return y;
}

Tensor dot(const Tensor& a, const Tensor& b) {
  detail::check_defined("dot", a, b);
  if (a.dim() != 1 || b.dim() != 1)
    fail<ShapeError>("dot: two 1-d tensors are expected, not {} and {}", a.shape(), b.shape());
  if (a.numel() != b.numel()) fail<ShapeError>("dot: sizes differ: {} and {}", a.shape(), b.shape());
  return matmul(a, b);
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b) {
  const Dtype d = common_dtype("linear", x, w);
  const Shape &sx = x.shape(), &sw = w.shape();
  if (sw.rank() != 2) fail<ShapeError>("linear: the weight must be [out, in], not {}", sw);
  if (sx.rank() == 0 || sx[sx.rank() - 1] != sw[1])
    fail<ShapeError>("linear: x {} does not end in the {} features that the weight {} takes", sx, sw[1], sw);
  if (b.defined() && (b.dim() != 1 || b.shape()[0] != sw[0]))
    fail<ShapeError>("linear: the bias {} does not fit the weight {}: [{}] is expected", b.shape(), sw,
                     sw[0]);
  const Tensor bias = b.defined() ? b.to(d) : b;
  if (sx.rank() == 2 && x.dtype() == w.dtype()) return apply(Linear{}, x, w, bias);
  if (sx.rank() == 2) return apply(Linear{}, x.to(d), w.to(d), bias);
  Shape shape = sx;
  shape[shape.rank() - 1] = sw[0];
  int64_t rows = 1;
  for (int i = 0; i + 1 < sx.rank(); i++) rows *= sx[i];
  return apply(Linear{}, x.to(d).reshape({rows, sw[1]}), w.to(d), bias).reshape(shape);
}

Tensor Tensor::matmul(const Tensor& other) const { return gradus::matmul(*this, other); }

}  // namespace gradus
