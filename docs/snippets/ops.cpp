// The code of docs/ops.md.
#include <gradus/gradus.h>

using namespace gradus;

namespace {

/// y = x / (1 + |x|)        dx = g / (1 + |x|)²
struct Softsign {
  static constexpr auto name = "softsign";
  template <class T>
  constexpr T value(T x) const {
    return x / (1 + abs(x));
  }
  template <class T>
  constexpr T vjp(In<0>, T x, T, T g) const {
    return g / ((1 + abs(x)) * (1 + abs(x)));
  }
};
Tensor softsign(const Tensor& x) { return pointwise(Softsign{}, x); }

/// y = a bᵀ of two vectors: [n], [m] -> [n, m]
struct Outer {
  static constexpr auto name = "outer";
  static constexpr auto formula = "y = a bᵀ        da = g b        db = gᵀ a";
  static constexpr Needs needs[] = {in(1), in(0)};
  Tensor value(const Tensor& a, const Tensor& b) const { return a.unsqueeze(1) * b; }
  Tensor vjp(In<0>, const Back& b) const { return matmul(b.g(), b.in(1)); }
  Tensor vjp(In<1>, const Back& b) const { return matmul(b.g().t(), b.in(0)); }
};
Tensor outer(const Tensor& a, const Tensor& b) {
  if (a.dim() != 1 || b.dim() != 1)
    fail<ShapeError>("outer: two vectors are needed, not {} and {}", a.shape(), b.shape());
  return apply(Outer{}, a, b);
}

/// A rule that reads what it does not declare.
struct Undeclared : Outer {
  static constexpr Needs needs[] = {in(1)};
};

}  // namespace

int main() {
  manual_seed(1);
  const Tensor x = randn({2, 3}, kFloat64);
  fmt::print("{}\n", gradcheck(softsign, {x}, {.order = 2, .names = {"x"}}));

  Tensor a = randn({3}, kFloat64), b = randn({4}, kFloat64);
  fmt::print("{}\n", gradcheck(outer, {a, b}, {.order = 2, .names = {"a", "b"}}));
  try {
    outer(x, b);
  } catch (const ShapeError& error) {
    fmt::print("{}\n", error.what());
  }
  try {
    b.requires_grad_();
    apply(Undeclared{}, a, b).sum().backward();
  } catch (const GradError& error) {
    fmt::print("{}\n", error.what());
  }
}
