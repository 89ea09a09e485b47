#include <gradus/autograd/engine/backward.h>
#include <gradus/autograd/engine/functional.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/join.h>

namespace gradus {
namespace {

/// x as an input of its own: connected to the caller's graph only if that is wanted.
Tensor input_of(const char* op, const Tensor& x, bool create_graph) {
  detail::check_defined(op, x);
  if (!is_floating(x.dtype())) fail<DtypeError>("{}: x must be floating, not {}", op, x.dtype());
  if (create_graph && x.requires_grad()) return x;
  return x.detach().requires_grad_();
}

Tensor jacobian_of(const char* op, const Tensor& y, const Tensor& x, bool create_graph) {
  if (y.dim() + x.dim() > kMaxRank)
    fail<ShapeError>("{}: f gives {}, x is {}: together they have more than {} dims", op, y.shape(),
                     x.shape(), kMaxRank);
  Shape shape = y.shape();
  for (int64_t d : x.shape()) shape.push_back(d);
  if (y.numel() == 0 || !y.requires_grad()) return zeros(shape, x.dtype());
  Tensors rows;
  for (int64_t i = 0, n = y.numel(); i < n; i++) {
    Tensor seed = zeros({n}, y.dtype());
    seed.select(0, i).fill_(1);
    const Tensor row = grad({y}, {x}, {seed.reshape(y.shape())},
                            {.retain_graph = true, .create_graph = create_graph, .allow_unused = true})[0];
    rows.push_back(row.defined() ? row : zeros_like(x));
  }
  return stack(rows).reshape(shape);
}

}  // namespace

Tensor jacobian(const std::function<Tensor(const Tensor&)>& f, const Tensor& x, bool create_graph) {
  check_function("jacobian", f);
  EnableGrad recording;
  const Tensor at = input_of("jacobian", x, create_graph);
  return jacobian_of("jacobian", f(at), at, create_graph);
}

Tensor hessian(const std::function<Tensor(const Tensor&)>& f, const Tensor& x, bool create_graph) {
  check_function("hessian", f);
  EnableGrad recording;
  const Tensor at = input_of("hessian", x, create_graph);
  const Tensor y = f(at);
  if (y.numel() != 1) fail<ShapeError>("hessian: f must give one element, it gave {}", y.shape());
  if (!y.requires_grad()) return jacobian_of("hessian", zeros_like(at), at, create_graph);
  const Tensor g = grad({y}, {at}, {}, {.create_graph = true, .allow_unused = true})[0];
  return jacobian_of("hessian", g.defined() ? g : zeros_like(at), at, create_graph);
}

}  // namespace gradus
