#include <gradus/autograd/core/apply.h>
#include <gradus/autograd/kernels/gemm.h>
#include <gradus/autograd/ops/matmul.h>
#include <gradus/autograd/ops/reduce.h>

namespace gradus {
namespace {

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
      // A batch by one matrix is one product of all rows.
      const int64_t rows = a.dim() == 2 ? m : batch_of(a.shape()).numel() * m;
      const Tensor all = a.dim() == 2 ? a : a.reshape({rows, k});
      launch(kernels::Matmul{writes(y, Layout(Shape{rows, n})), reads(all), reads(b)});
      return y;
    }
    const Shape batch = broadcast(name, batch_of(a.shape()), batch_of(b.shape()));
    const auto matrices = [&](int64_t rows, int64_t cols) {
      Shape shape = batch;
      shape.push_back(rows);
      shape.push_back(cols);
      return shape;
    };
    Tensor y = make_empty(matrices(m, n), a.dtype());
    launch(kernels::Matmul{writes(y), reads(a, broadcast_to(a.layout(), matrices(m, k))),
                           reads(b, broadcast_to(b.layout(), matrices(k, n)))});
    return y;
  }
  Tensor vjp(In<0>, const Back& b) const { return matmul(b.g(), b.in(1).mT()); }
  Tensor vjp(In<1>, const Back& b) const { return matmul(b.in(0).mT(), b.g()); }
};

/// a · b, or aᵀ · b, of two matrices of one dtype, unrecorded.
Tensor product(const Tensor& a, bool turned, const Tensor& b) {
  Tensor y = make_empty({a.shape()[turned ? 1 : 0], b.shape()[1]}, a.dtype());
  launch(kernels::Matmul{writes(y), reads(a), reads(b), {}, turned, false});
  return y;
}

/// x [n, in], w [out, in], b [out] or undefined.
struct Linear {
  static constexpr auto name = "linear";
  static constexpr auto formula =
      "y = x wᵀ + b        dx = g w        dw = gᵀ x        db = Σ g over the rows";
  static constexpr Needs needs[] = {in(1), in(0), nothing};
  Tensor value(const Tensor& x, const Tensor& w, const Tensor& b) const {
    Tensor y = make_empty({x.shape()[0], w.shape()[0]}, x.dtype());
    const Tensor bias = b.defined() ? b.contiguous() : b;
    launch(
        kernels::Matmul{writes(y), reads(x), reads(w), bias.defined() ? reads(bias) : Read{}, false, true});
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
    const int64_t m = g.shape()[1], n = x.shape()[1];
    Tensor dw = make_empty({m, n}, g.dtype()), db = make_empty({m}, g.dtype());
    launch(kernels::LinearGradients{writes(dw), writes(db), reads(g), reads(x)});
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
