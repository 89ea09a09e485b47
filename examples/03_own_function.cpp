// Functions of one's own, two ways, and the proof that their gradients are right.
#include <gradus/gradus.h>

using namespace gradus;

namespace {

// 1. custom(): any code forward, and a backward written in ops, so that it can be differentiated again.
Tensor log1pexp(const Tensor& x) {
  return custom(
      "log1pexp", {x},
      [](Context& ctx, const Tensors& in) {
        ctx.save(in[0]);
        return log1p(exp(in[0]));
      },
      [](const Context& ctx, const Tensor& g) -> Tensors { return {g * sigmoid(ctx[0])}; });
}

// 2. A formula: `value` is y, `vjp` is g · dy/dx. Gradus makes the kernels, fused and vectorised, and finds
// out what the gradient reads: here x and y.

/// y = e^(-x² / 2s²)        dx = -g y x / s²
struct Gauss {
  static constexpr auto name = "gauss";
  double s = 1;
  template <class T>
  constexpr T value(T x) const {
    return exp(-x * x / (2 * s * s));
  }
  template <class T>
  constexpr T vjp(In<0>, T x, T y, T g) const {
    return -g * y * x / (s * s);
  }
};
Tensor gauss(const Tensor& x, double s) { return pointwise(Gauss{s}, x); }

/// The same with a mistake that is easily made: a sign.
struct Careless : Gauss {
  static constexpr auto name = "careless";
  template <class T>
  constexpr T vjp(In<0>, T x, T y, T g) const {
    return g * y * x / (s * s);
  }
};

}  // namespace

int main() {
  const Tensor x = tensor({{-1.5, -0.5, 0.25}, {0.75, 1., 2.}}, kFloat64);

  fmt::print("x = {}\n\n", x);
  fmt::print("log1pexp(x) = {}\n", log1pexp(x));
  const GradcheckReport first = gradcheck(log1pexp, {x}, {.order = 2, .names = {"x"}});
  fmt::print("{}\n", first);

  fmt::print("gauss(x, 0.8) = {}\n", gauss(x, 0.8));
  const auto narrow = [](const Tensor& t) { return gauss(t, 0.8); };
  const GradcheckReport second = gradcheck(narrow, {x}, {.order = 2, .names = {"x"}});
  fmt::print("{}\n", second);

  fmt::print("The same with a mistake in it:\n");
  const auto careless = [](const Tensor& t) { return pointwise(Careless{}, t); };
  const GradcheckReport third = gradcheck(careless, {x}, {.names = {"x"}});
  fmt::print("{}", third);
  return first && second && !third ? 0 : 1;
}
