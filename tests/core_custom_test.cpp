#include "core_support.h"

namespace gradus {
namespace {

/// Saves its output: dy/dx = y.
Tensor own_exp(const Tensor& x) {
  return custom(
      "own_exp", {x},
      [](Context& ctx, const Tensors& in) {
        Tensor y = exp(in[0]);
        ctx.save(y);
        return y;
      },
      [](const Context& ctx, const Tensor& g) -> Tensors { return {g * ctx[0]}; });
}

TEST(Custom, IsAsDifferentiableAsItsBackward) {
  EXPECT_LT(gradient_error([](const Tensors& x) { return log1pexp(x[0]); }, {noise({2, 3})}, 3), 1e-7);
  EXPECT_LT(gradient_error([](const Tensors& x) { return own_exp(x[0] * x[0]); }, {noise({4})}, 3), 1e-6);
  Tensor x = leaf({0});
  EXPECT_EQ(log1pexp(x).op_name(), "log1pexp");
  NoGrad no_grad;
  EXPECT_FALSE(log1pexp(x).requires_grad());
}

TEST(Custom, ForwardIsNotRecorded) {
  Tensor x = leaf({1, 2});
  const Tensor y = log1pexp(x);
  ASSERT_EQ(y.edge().node->edges().size(), 1u);
  EXPECT_TRUE(y.edge().node->edges()[0].node->is_leaf());
}

TEST(Custom, SeveralInputsOneWithoutAGradient) {
  const auto scaled = [](const Tensor& x, const Tensor& w) {
    return custom(
        "scaled", {x, w},
        [](Context& ctx, const Tensors& in) {
          ctx.save(in[0]);
          ctx.save(in[1]);
          return in[0] * in[1];
        },
        [](const Context& ctx, const Tensor& g) -> Tensors {
          return {g * ctx[1], {}};
        });
  };
  Tensor x = leaf({1, 2}), w = leaf({3, 4});
  scaled(x, w).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {3, 4}));
  EXPECT_FALSE(w.grad().defined());
  const Tensor broadcast = scaled(x, values({10}, {1}));
  broadcast.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {13, 14}));
}

TEST(Custom, WrongBackwardFunctionsAreRefused) {
  const auto with = [](Tensors (*backward)(const Context&, const Tensor&)) {
    return [backward](const Tensor& x) {
      return custom(
          "wrong", {x}, [](Context&, const Tensors& in) { return in[0] * 2; }, backward);
    };
  };
  Tensor x = leaf({1, 2});
  x.set_grad(values({7, 7}, {2}));
  const auto run = [&](auto f) { f(x).sum().backward(); };
  EXPECT_EQ(error_of<GradError>([&] {
              run(with([](const Context&, const Tensor& g) -> Tensors { return {g, g}; }));
            }),
            "wrong: the backward function gave 2 gradients for 1 inputs");
  EXPECT_EQ(error_of<GradError>([&] {
              run(with([](const Context&, const Tensor&) -> Tensors { return {ones({3}, kFloat64)}; }));
            }),
            "backward: a gradient of shape [3] was given to a result of 'leaf' of shape [2]");
  EXPECT_EQ(error_of<IndexError>(
                [&] { run(with([](const Context& ctx, const Tensor&) -> Tensors { return {ctx[0]}; })); }),
            "custom: saved tensor 0 was asked for, 0 were saved");
  EXPECT_THROW(run(with([](const Context&, const Tensor&) -> Tensors { throw std::out_of_range("x"); })),
               std::out_of_range);
  EXPECT_TRUE(equals(x.grad(), {7, 7}));
  run(with([](const Context&, const Tensor& g) -> Tensors { return {g * 2}; }));
  EXPECT_TRUE(equals(x.grad(), {9, 9}));
}

TEST(Custom, OnlyInputsAndOutputsCanBeSaved) {
  Tensor x = leaf({1, 2});
  EXPECT_EQ(error_of<GradError>([&] {
              custom(
                  "keeper", {x},
                  [](Context& ctx, const Tensors& in) {
                    const Tensor between = exp(in[0]);
                    ctx.save(between);
                    return between * 2;
                  },
                  [](const Context& ctx, const Tensor& g) -> Tensors { return {g * ctx[0]}; });
            }),
            "keeper: only inputs and outputs can be saved; return an intermediate as an output, or "
            "compute it again");
}

TEST(Custom, SavedValueThatChangedIsRefused) {
  Tensor x = leaf({1, 2}), a = x * 1, y = log1pexp(a);
  a.mul_(2);
  EXPECT_NE(error_of<GradError>([&] {
              y.sum().backward();
            }).find("'log1pexp' saved a value that was changed in place"),
            std::string::npos);
}

TEST(Custom, ResultThatIsItsInputBecomesATensorOfItsOwn) {
  const auto reversed = [](const Tensor& x) {
    return custom(
        "reversed", {x}, [](Context&, const Tensors& in) { return in[0]; },
        [](const Context&, const Tensor& g) -> Tensors { return {-g}; });
  };
  Tensor x = leaf({1, 2}), y = reversed(x);
  EXPECT_TRUE(x.is_leaf());
  (y * 3).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {-3, -3}));
  y.mul_(2);
  EXPECT_TRUE(equals(x, {1, 2}));
}

TEST(Custom, ResultThatBelongsToSomebodyElseIsCopied) {
  Tensor x = leaf({1, 2});
  Tensor outside = leaf({3, 4}) * 2;
  const Tensor y = custom(
      "outside", {x}, [&](Context&, const Tensors&) { return outside; },
      [](const Context&, const Tensor& g) -> Tensors { return {g}; });
  EXPECT_EQ(outside.op_name(), "mul");
  EXPECT_EQ(y.op_name(), "outside");
  y.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {1, 1}));
}

TEST(Custom, BackwardMayRunAPassOfItsOwn) {
  // Checkpointing by hand: the forward is computed again, recorded, and differentiated inside the backward.
  const auto checkpointed = [](const Tensor& x) {
    return custom(
        "checkpointed", {x},
        [](Context& ctx, const Tensors& in) {
          ctx.save(in[0]);
          return tanh(in[0] * in[0]);
        },
        [](const Context& ctx, const Tensor& g) -> Tensors {
          EnableGrad recording;
          const Tensor again = ctx[0].detach().requires_grad_();
          return grad({tanh(again * again)}, {again}, {g.detach()});
        });
  };
  EXPECT_LT(gradient_error([&](const Tensors& x) { return checkpointed(checkpointed(x[0]) + x[0]); },
                           {noise({3})}, 1),
            1e-8);
}

// ---- formulas that are not the library's

/// y = e^(-scale x²)
struct Gauss {
  static constexpr auto name = "gauss";
  double scale = 1;
  template <class T>
  constexpr T value(T x) const {
    return exp(-scale * x * x);
  }
  template <class T>
  constexpr T vjp(In<0>, T x, T y, T g) const {
    return -2 * scale * x * y * g;
  }
};

/// y = a where a b > 0, a sin(b) elsewhere
struct Mixed {
  static constexpr auto name = "mixed";
  template <class T>
  constexpr T value(T a, T b) const {
    return where(a * b > 0, a, a * sin(b));
  }
  template <class T>
  constexpr T vjp(In<0>, T a, T b, T, T g) const {
    return where(a * b > 0, g, g * sin(b));
  }
  template <class T>
  constexpr T vjp(In<1>, T a, T b, T, T g) const {
    return where(a * b > 0, 0, g * a * cos(b));
  }
};

/// y = x³ / 2 where x > 0, else 2 x - 1, with numbers of every kind.
struct Numbered {
  static constexpr auto name = "numbered";
  static constexpr int kTwo = 2;
  static constexpr float kHalf = 0.5f;
  int n = 3;
  unsigned one = 1;
  template <class T>
  constexpr T value(T x) const {
    const T zero = T(0);
    return where(x > zero, pow(x, n) * 0.5f, kTwo * x - one);
  }
  template <class T>
  constexpr T vjp(In<0>, T x, T, T g) const {
    return where(x > T(0), T(kHalf) * g * n * pow(x, n - 1L), T(2) * g);
  }
};

TEST(OwnFormulas, TakeNumbersInAnyPlace) {
  const auto f = [](const Tensors& x) { return pointwise(Numbered{}, x[0]); };
  EXPECT_LT(gradient_error(f, {noise({7})}, 3), 2e-5);
  const Tensor x = tensor({2, -1}, kFloat32).requires_grad_();
  const Tensor dx = grad({f({x}).sum()}, {x}, {}, {.create_graph = true})[0];
  EXPECT_EQ(dx.dtype(), kFloat32);
  EXPECT_TRUE(equals(dx, {6, 2}));
  EXPECT_TRUE(equals(Tensor(0.1), {0.1}));
  EXPECT_EQ(Tensor(int64_t{1} << 60).dtype(), kInt64);
}

TEST(OwnFormulas, AreOpsLikeAnyOther) {
  const auto gauss = [](const Tensors& x) { return pointwise(Gauss{0.7}, x[0]); };
  EXPECT_LT(gradient_error(gauss, {noise({2, 3})}, 3), 1e-7);
  const auto mixed = [](const Tensors& x) { return pointwise(Mixed{}, x[0], x[1]); };
  EXPECT_LT(gradient_error(mixed, {noise({2, 3}, 1), noise({3}, 2)}, 2), 1e-7);
  const Tensor x = noise({5, 5}, 3), y = pointwise(Gauss{2}, x.t());
  for (int64_t i = 0; i < 5; i++)
    for (int64_t j = 0; j < 5; j++)
      EXPECT_NEAR(y.at({i, j}), std::exp(-2 * x.at({j, i}) * x.at({j, i})), 1e-15);
  EXPECT_EQ(pointwise(Gauss{}, x.to(kFloat32)).dtype(), kFloat32);
  EXPECT_EQ(pointwise(Gauss{}, tensor({1, 2})).dtype(), kFloat32);
}

TEST(OwnFormulas, KeepOnlyWhatTheirGradientsRead) {
  static_assert(Pointwise<Gauss>::needs[0] == (in(0) | out(0)));
  static_assert(Pointwise<Mixed>::needs[0] == (in(0) | in(1)) &&
                Pointwise<Mixed>::needs[1] == (in(0) | in(1)));
  static_assert(Pointwise<formulas::Mul>::needs[0] == in(1) && Pointwise<formulas::Mul>::needs[1] == in(0));
  static_assert(Pointwise<formulas::Tanh>::needs[0] == out(0) &&
                Pointwise<formulas::Add>::needs[0] == nothing);
  static_assert(Pointwise<formulas::Clamp>::needs[0] == in(0));
  static_assert(Pointwise<formulas::BceWithLogits>::needs[0] == (in(0) | in(1)));
  static_assert(Pointwise<formulas::BceWithLogits>::needs[1] == in(0));
  // add saves nothing: its operands may change.
  Tensor x = leaf({1, 2}), a = x * 1, y = a + 1;
  a.mul_(5);
  y.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {1, 1}));
}

/// A structured op whose rule reads what it did not declare.
struct Undeclared {
  static constexpr auto name = "undeclared";
  Tensor value(const Tensor& x) const { return x * 2; }
  Tensor vjp(In<0>, const Back& b) const { return b.g() * b.in(0); }
};

TEST(OwnFormulas, ReadingWhatIsNotDeclaredIsRefused) {
  Tensor x = leaf({1, 2}), y = apply(Undeclared{}, x);
  EXPECT_EQ(error_of<GradError>([&] { y.sum().backward(); }),
            "backward: the rule of 'undeclared' reads input 0, which its needs do not declare");
}

// ---- the rules that everything else stands on, to second and third order

TEST(Rules, AgreeWithNumericDifferences) {
  const auto check = [](const char* name, const Function& f, const Tensors& at, int order) {
    EXPECT_LT(gradient_error(f, at, order), 1e-6) << name;
  };
  check(
      "tanh", [](const Tensors& x) { return tanh(x[0]); }, {noise({4})}, 3);
  check(
      "mul", [](const Tensors& x) { return x[0] * x[1]; }, {noise({2, 3}), noise({3}, 2)}, 2);
  check(
      "clamp", [](const Tensors& x) { return clamp(x[0], -0.5, 0.5) * x[0]; }, {noise({5})}, 2);
  check(
      "sum", [](const Tensors& x) { return square((x[0] * x[0]).sum({1})); }, {noise({2, 3})}, 2);
  check(
      "matmul", [](const Tensors& x) { return matmul(x[0], x[1]); }, {noise({2, 3}), noise({3, 2}, 2)}, 2);
  check(
      "max", [](const Tensors& x) { return square(std::get<0>(max(x[0], 1))); }, {noise({3, 4})}, 2);
  check(
      "gather",
      [](const Tensors& x) {
        return square(gather(x[0], 1, tensor({{0, 0}, {2, 1}})));
      },
      {noise({2, 3})}, 2);
  check(
      "bce",
      [](const Tensors& x) { return binary_cross_entropy_with_logits(x[0], x[1], {}, {}, Reduction::None); },
      {noise({4}), noise({4}, 2)}, 2);
}

}  // namespace
}  // namespace gradus
