#include <gmock/gmock.h>
#include <gradus/autograd/check/gradcheck.h>
#include <gradus/gradus.h>

#include <cmath>

#include "core_support.h"

/// Wrong rules and wrong hand-derived gradients: each must be caught, and its mistake named.
namespace gradus {
namespace {

using testing::HasSubstr;

void expect(const GradcheckReport& report, Finding kind, const std::string& evidence = "",
            const std::string& name = "") {
  EXPECT_FALSE(report) << report.str();
  EXPECT_EQ(report.reason, "");
  const Diagnosis& d = name.empty() ? report.diagnosis() : report.input(name).diagnosis;
  EXPECT_STREQ(name_of(d.kind), name_of(kind)) << report.str();
  EXPECT_THAT(d.text, HasSubstr(evidence));
  EXPECT_THAT(report.str(), HasSubstr(d.text));
}

// ---- wrong pointwise formulas

// clang-format off
#define WRONG_FORMULA(Name, VALUE, VJP)                                              \
  struct Name {                                                                      \
    static constexpr auto name = #Name;                                              \
    template <class T> constexpr T value([[maybe_unused]] T x) const { return VALUE; } \
    template <class T> constexpr T vjp(In<0>, [[maybe_unused]] T x, [[maybe_unused]] T y, [[maybe_unused]] T g) const { return VJP; } \
  };
WRONG_FORMULA(FlippedSign, tanh(x), -g * (1 - y * y))
WRONG_FORMULA(FactorTwo, tanh(x), 2 * g * (1 - y * y))
WRONG_FORMULA(FactorPi, exp(x), 3.25 * g * y)
WRONG_FORMULA(ForgottenTwo, x * x, g * x)
WRONG_FORMULA(ForgottenDerivative, tanh(x), g)
WRONG_FORMULA(SigmoidsInTanh, tanh(x), g * y * (1 - y))
WRONG_FORMULA(TanhsInSigmoid, sigmoid(x), g * (1 - y * y))
WRONG_FORMULA(AtTheInput, tanh(x), g * (1 - x * x))
WRONG_FORMULA(AtTheOutput, sin(x), g * cos(y))
WRONG_FORMULA(TwiceTheDerivative, sigmoid(x), g * y * (1 - y) * y * (1 - y))
WRONG_FORMULA(NoMask, maximum(x, 0), g)
WRONG_FORMULA(ForgottenGradient, tanh(x), 1 - y * y)
WRONG_FORMULA(SquaredGradient, tanh(x), g * g * (1 - y * y))
WRONG_FORMULA(NoGradient, tanh(x), g * 0 * y)
WRONG_FORMULA(Additive, exp(x), g * (y + 0.1 * sin(3 * x) + 0.1))
// clang-format on

template <class F>
GradcheckReport check(const Tensor& x) {
  return gradcheck([](const Tensor& v) { return pointwise(F{}, v); }, {x});
}

TEST(Mistakes, PointwiseFormulas) {
  const Tensor x = normal({5});
  expect(check<FlippedSign>(x), Finding::Sign, "sign is flipped");
  expect(check<FactorTwo>(x), Finding::Factor, "numeric / gradient = 0.5");
  expect(check<FactorPi>(x), Finding::Factor, "numeric / gradient = 0.307692");
  expect(check<ForgottenTwo>(x), Finding::Factor, "numeric / gradient = 2");
  expect(check<ForgottenDerivative>(x), Finding::MissingDerivative,
         "the derivative of tanh in 'ForgottenDerivative', (1 - y) (1 + y), is missing");
  expect(check<SigmoidsInTanh>(x), Finding::OtherDerivative,
         "the derivative of sigmoid, y (1 - y) with y = its output, stands where that of tanh in "
         "'SigmoidsInTanh', (1 - y) (1 + y), belongs: off by the factor ((1 - y) (1 + y)) / (y (1 - y))");
  expect(check<TanhsInSigmoid>(x), Finding::OtherDerivative,
         "the derivative of tanh, (1 - y) (1 + y) with y = its output, stands where that of sigmoid");
  expect(
      check<AtTheInput>(x), Finding::WrongPlace,
      "the derivative of tanh in 'AtTheInput', (1 - y) (1 + y), is taken at y = the input of tanh instead of "
      "its output");
  expect(check<AtTheOutput>(x), Finding::WrongPlace,
         "is taken at x = the output of sin instead of its input");
  expect(check<TwiceTheDerivative>(x), Finding::OtherDerivative,
         "the derivative of sigmoid in 'TwiceTheDerivative', y (1 - y), is in it twice");
  expect(check<NoMask>(x), Finding::MissingDerivative, "the derivative of relu in 'NoMask'");
  expect(check<NoGradient>(x), Finding::NotConnected, "it is not connected");
  expect(check<Additive>(x), Finding::WrongRule,
         "the rule of 'Additive', which computes exp, should give g y");
}

TEST(Mistakes, ARuleMustPassTheIncomingGradientOnceOn) {
  const Tensor x = normal({3});
  expect(check<ForgottenGradient>(x), Finding::NotLinear, "the same for three times");
  expect(check<SquaredGradient>(x), Finding::NotLinear, "not proportional");
  // Where f has one element the incoming gradient is 1, and a plain comparison would see nothing.
  expect(gradcheck([](const Tensor& v) { return pointwise(ForgottenGradient{}, v); }, {normal({1})}),
         Finding::NotLinear);
}

// ---- wrong rules of structs

struct WrongMul {
  static constexpr auto name = "wrong_mul";
  template <class T>
  constexpr T value(T a, T b) const {
    return a * b;
  }
  template <class T>
  constexpr T vjp(In<0>, T a, T, T, T g) const {
    return g * a;
  }
  template <class T>
  constexpr T vjp(In<1>, T, T b, T, T g) const {
    return g * b;
  }
};

struct NoFactor {
  static constexpr auto name = "no_factor";
  template <class T>
  constexpr T value(T a, T b) const {
    return a * b;
  }
  template <class T>
  constexpr T vjp(In<0>, T, T, T, T g) const {
    return g;
  }
  template <class T>
  constexpr T vjp(In<1>, T a, T, T, T g) const {
    return g * a;
  }
};

TEST(Mistakes, TwoOperands) {
  const Tensor a = normal({4}), b = normal({4}, 2);
  const auto exchanged =
      gradcheck([](const Tensor& u, const Tensor& v) { return pointwise(WrongMul{}, u, v); }, {a, b},
                {.names = {"a", "b"}});
  expect(exchanged, Finding::Swapped, "the gradients of a and b are exchanged", "a");
  expect(exchanged, Finding::Swapped, "", "b");
  const auto report = gradcheck([](const Tensor& u, const Tensor& v) { return pointwise(NoFactor{}, u, v); },
                                {a, b}, {.names = {"a", "b"}});
  expect(report, Finding::MissingDerivative, "the derivative of mul in 'no_factor', b, is missing", "a");
  EXPECT_TRUE(report.input("b").ok());
}

struct TransposedMatmul {
  static constexpr auto name = "transposed_matmul";
  static constexpr Needs needs[] = {in(1), in(0)};
  Tensor value(const Tensor& a, const Tensor& b) const { return matmul(a, b); }
  Tensor vjp(In<0>, const Back& b) const { return matmul(b.g(), b.in(1).mT()).t(); }
  Tensor vjp(In<1>, const Back& b) const { return matmul(b.in(0).mT(), b.g()); }
};

TEST(Mistakes, MatrixProducts) {
  const auto f = [](const Tensor& a, const Tensor& b) { return apply(TransposedMatmul{}, a, b); };
  const auto square = gradcheck(f, {normal({3, 3}), normal({3, 2}, 2)});
  expect(square, Finding::Transposed, "transposed", "x0");
  EXPECT_TRUE(square.input("x1").ok());
  const auto wide = gradcheck(f, {normal({2, 3}), normal({3, 2}, 2)});
  EXPECT_FALSE(wide);
  EXPECT_EQ(wide.diagnosis().kind, Finding::BackwardFailed);
  EXPECT_THAT(wide.reason, HasSubstr("a gradient of shape [3, 2]"));
}

/// y = x + b, b one row
struct FirstRowBias {
  static constexpr auto name = "first_row_bias";
  Tensor value(const Tensor& x, const Tensor& b) const { return x + b; }
  Tensor vjp(In<0>, const Back& b) const { return b.g(); }
  Tensor vjp(In<1>, const Back& b) const { return b.g().select(0, 0); }
};
struct MeanBias {
  static constexpr auto name = "mean_bias";
  Tensor value(const Tensor& x, const Tensor& b) const { return x + b; }
  Tensor vjp(In<0>, const Back& b) const { return b.g(); }
  Tensor vjp(In<1>, const Back& b) const { return b.g().mean({0}); }
};
struct OneWrong {
  static constexpr auto name = "one_wrong";
  static constexpr Needs needs[] = {out(0)};
  int64_t row, column;
  Tensor value(const Tensor& x) const { return exp(x); }
  Tensor vjp(In<0>, const Back& b) const {
    Tensor g = (b.g() * b.out()).clone();
    Tensor part = column < 0 ? g.select(0, row) : g.select(0, row).select(0, column);
    part.add_(b.g().sum() * 0.25);
    return g;
  }
};

TEST(Mistakes, BroadcastSums) {
  const Tensor x = normal({5, 3}), b = normal({3}, 2);
  expect(gradcheck([](const Tensor& u, const Tensor& v) { return apply(FirstRowBias{}, u, v); }, {x, b}),
         Finding::MissingSum, "only index 0 along the rows of the result counts", "x1");
  expect(gradcheck([](const Tensor& u, const Tensor& v) { return apply(MeanBias{}, u, v); }, {x, b}),
         Finding::Size,
         "off by 5 = the rows of the result = the rows of x0: the gradient is 5 times too small", "x1");
}

TEST(Mistakes, OneElementOrRow) {
  const Tensor x = normal({4, 3});
  expect(gradcheck(
             [](const Tensor& v) {
               return apply(OneWrong{2, 1}, v).sum();
             },
             {x}),
         Finding::OneElement, "[2, 1]");
  expect(gradcheck(
             [](const Tensor& v) {
               return apply(OneWrong{2, -1}, v).sum();
             },
             {x}),
         Finding::OneRow, "index 2 along the rows of x");
}

// ---- wrong functions of one's own

Tensor right_once(const Tensor& x) {
  return custom(
      "right_once", {x},
      [](Context& ctx, const Tensors& in) {
        ctx.save(in[0]);
        return square(in[0]) * in[0];
      },
      [](const Context& ctx, const Tensor& g) -> Tensors { return {g * 3 * square(ctx[0].detach())}; });
}

Tensor without_gradient(const Tensor& x) {
  return custom(
      "without_gradient", {x}, [](Context&, const Tensors& in) { return tanh(in[0]); },
      [](const Context&, const Tensor&) -> Tensors { return {Tensor()}; });
}

TEST(Mistakes, CustomFunctions) {
  const Tensor x = normal({3});
  EXPECT_TRUE(gradcheck(right_once, {x}));
  const auto report = gradcheck(right_once, {x}, {.order = 2});
  EXPECT_FALSE(report);
  EXPECT_TRUE(report.input("x", 1).ok());
  EXPECT_EQ(report.input("x", 2).diagnosis.kind, Finding::HigherOrder);
  EXPECT_THAT(report.input("x", 2).diagnosis.text,
              HasSubstr("right up to order 1, wrong at order 2: the gradient is zero"));
  EXPECT_TRUE(report.input("g", 2).ok()) << report.str();
  expect(gradcheck(without_gradient, {x}), Finding::NotConnected);
  expect(gradcheck([](const Tensor& v) { return tanh(v.detach()) * 2; }, {x}), Finding::NotConnected);
}

// ---- wrong hand-derived gradients: a network with samples in columns, cost = mean of the cross-entropies

struct Network {
  static constexpr int64_t m = 7;
  Tensor x = normal({2, m}, 3), y = values({0, 1, 1, 0, 1, 0, 1}, {1, m});
  Tensor w1 = normal({4, 2}, 4), b1 = normal({4, 1}, 5), w2 = normal({1, 4}, 6), b2 = normal({1, 1}, 7);
  Tensor a1 = tanh(matmul(w1, x) + b1), a2 = sigmoid(matmul(w2, a1) + b2);
  Tensor dz2 = a2 - y, dz1 = matmul(w2.t(), dz2) * (1 - square(a1));
  Tensor dw1 = matmul(dz1, x.t()) / m, db1 = dz1.sum({1}, true) / m;
  Tensor dw2 = matmul(dz2, a1.t()) / m, db2 = dz2.sum({1}, true) / m;

  GradcheckReport check(const Tensors& claims) const {
    return check_gradient(
        [&](const Tensors& p) {
          return binary_cross_entropy(sigmoid(matmul(p[2], tanh(matmul(p[0], x) + p[1])) + p[3]), y);
        },
        {w1, b1, w2, b2}, claims, {.names = {"W1", "b1", "W2", "b2"}, .sizes = {{"samples", m}}});
  }
};

TEST(Mistakes, HandDerivedBackprop) {
  const Network n;
  const int64_t m = Network::m;
  const Tensor none;
  EXPECT_TRUE(n.check({n.dw1, n.db1, n.dw2, n.db2})) << n.check({n.dw1, n.db1, n.dw2, n.db2}).str();

  expect(n.check({n.dw1, n.db1, -n.dw2, n.db2}), Finding::Sign, "", "W2");
  expect(n.check({n.dw1 * m, n.db1, n.dw2, n.db2}), Finding::Size,
         "off by 7 = the number of samples: the gradient is 7 times too large", "W1");
  expect(n.check({n.dw1, n.db1, n.dw2, n.db2 / m}), Finding::Size,
         "7 times too small. Divided by it once too often", "b2");
  expect(n.check({n.dw1, n.db1, n.dw2 * (m * m), n.db2}), Finding::Size, "off by 7 squared", "W2");
  expect(n.check({n.dw1, n.db1, -n.dw2 * m, n.db2}), Finding::Size, "the sign is flipped and off by 7", "W2");
  expect(n.check({n.dw1.t(), n.db1, n.dw2, n.db2}), Finding::Transposed,
         "of shape [2, 4] for W1 of shape [4, 2]", "W1");
  expect(n.check({n.dw1.t().reshape({4, 2}), n.db1, n.dw2, n.db2}), Finding::Transposed, "", "W1");
  expect(n.check({n.dw1, n.dz1 / m, n.dw2, n.db2}), Finding::MissingSum,
         "of shape [4, 7] for b1 of shape [4, 1]", "b1");
  expect(n.check({n.dw1, n.dz1, n.dw2, n.db2}), Finding::MissingSum, "not averaged", "b1");
  expect(n.check({n.dw1, n.db1.reshape({4}), n.dw2, n.db2}), Finding::Shape, "right but for the shape", "b1");
  expect(n.check({n.dw1, values({1, 2}, {2}), n.dw2, n.db2}), Finding::Shape,
         "of shape [2] for b1 of shape [4, 1]", "b1");
  expect(n.check({n.dw1 + n.w1 * 0.7, n.db1, n.dw2, n.db2}), Finding::WeightDecay, "0.7 times W1", "W1");
  expect(n.check({zeros_like(n.dw1), n.db1, n.dw2, n.db2}), Finding::NotConnected, "", "W1");
  expect(n.check({n.dw1, n.dw2.t(), n.dw2, n.db2}), Finding::Unknown, "", "b1");

  // The rest of a report with one wrong gradient is right.
  const auto report = n.check({n.dw1, n.db1, -n.dw2, n.db2});
  for (const char* name : {"W1", "b1", "b2"}) EXPECT_TRUE(report.input(name).ok());
  // A wrong claim beside one of another shape.
  const auto two = n.check({-n.dw1, n.dz1 / m, n.dw2, n.db2});
  expect(two, Finding::Sign, "", "W1");
  expect(two, Finding::MissingSum, "", "b1");
  EXPECT_EQ(two.inputs.size(), 4u);
  EXPECT_EQ(n.check({none, n.db1, none, none}).inputs.size(), 1u);
}

// The loss and its mean are one op where nobody looks for mistakes.
TEST(Mistakes, TheLossItself) {
  const Tensor p = values({0.2, 0.7, 0.4}, {3}), t = values({0, 1, 1}, {3}), each = ones_like(p) / 3;
  expect(check_gradient([&](const Tensor& q) { return binary_cross_entropy(q, t); }, {p}, {each}),
         Finding::MissingDerivative,
         "the derivative of bce_loss, (a - b) / max(a (1 - a), 1e-12), is missing");
  expect(check_gradient([&](const Tensor& q) { return mse_loss(q, t); }, {p}, {each}),
         Finding::MissingDerivative, "the derivative of mse_loss, 2 (a - b), is missing");
}

TEST(Mistakes, GradientsOfOtherInputs) {
  const Tensor a = normal({3}), b = normal({3}, 2), c = normal({3}, 3);
  const auto f = [](const Tensor& x, const Tensor& y, const Tensor& z) { return (x * y + exp(z)).sum(); };
  const GradcheckOptions options{.names = {"a", "b", "c"}};
  expect(check_gradient(f, {a, b, c}, {a, b, exp(c)}, options), Finding::Swapped, "exchanged", "a");
  expect(check_gradient(f, {a, b, c}, {exp(c), a, exp(c)}, options), Finding::Swapped,
         "this is the gradient of c", "a");
  expect(check_gradient(f, {a, b, c}, {b, a, exp(c) * b}, options), Finding::ElementwiseFactor,
         "numeric / gradient = 1 / b: the factor b should not be in it", "c");
  const auto ignores = [](const Tensor& x, const Tensor& y, const Tensor&) { return (x * y).sum(); };
  expect(check_gradient(ignores, {a, b, c}, {b, a, c}, options), Finding::NotUsed, "does not change with c",
         "c");
}

TEST(Mistakes, SingleNumbers) {
  const auto f = [](const Tensor& x) { return square(x).sum(); };
  const Tensor x = values({1.5}, {1});
  expect(check_gradient(f, {x}, {values({-3}, {1})}), Finding::Sign);
  expect(check_gradient(f, {x}, {values({1.5}, {1})}), Finding::Factor, "= 2");
  expect(check_gradient(f, {x}, {values({3 * 209}, {1})}, {.sizes = {{"samples", 209}}}), Finding::Size,
         "209");
  // One number is always off by some factor: that explains nothing.
  expect(check_gradient(f, {x}, {values({4.1}, {1})}), Finding::Unknown, "0.731707");
}

TEST(Mistakes, SmallErrorsAreSeen) {
  const Tensor x = normal({6});
  const auto f = [](const Tensor& v) { return exp(v).sum(); };
  EXPECT_TRUE(check_gradient(f, {x}, {exp(x) * (1 + 1e-6)}));
  for (double error : {1e-4, 3e-3, 0.1}) {
    EXPECT_FALSE(check_gradient(f, {x}, {exp(x) * (1 + error)})) << error;
    Tensor g = exp(x);
    g.select(0, 3).mul_(1 + error);
    expect(check_gradient(f, {x}, {g}), Finding::OneElement, "[3]");
  }
}

TEST(MistakesSlow, InLargeInputs) {
  const Tensor x = normal({80, 60}), y = normal({60, 80}, 2);
  const auto f = [](const Tensor& v) { return (tanh(v) * v).mean(); };
  const Tensor t = tanh(x), g = (t + x * (1 - t * t)) / 4800;
  EXPECT_TRUE(check_gradient(f, {x}, {g}));
  expect(check_gradient(f, {x}, {-g}), Finding::Sign);
  expect(check_gradient(f, {x}, {g * 4800}), Finding::Size, "off by 4800 = all elements of x");
  const Tensor s = normal({70, 70}), u = normal({70, 70}, 2);
  const auto product = [&](const Tensor& v) { return (matmul(v, v) * u).sum(); };
  const Tensor right = matmul(u, s.t()) + matmul(s.t(), u);
  EXPECT_TRUE(check_gradient(product, {s}, {right}));
  expect(check_gradient(product, {s}, {right.t()}), Finding::Transposed);
  // A mistake in few of many elements, beside the sampled ones.
  Tensor one = right.clone();
  one.select(0, 13).select(0, 57).add_(3);
  expect(check_gradient(product, {s}, {one}), Finding::OneElement, "[13, 57]");
}

// ---- the first tutorial: it ends in tanh but backpropagates dZ2 = A2 - Y, the gradient of the sigmoid
// network

TEST(Mistakes, TheTutorialsTanhNetwork) {
  const int64_t m = 5;
  const Tensor z2 = values({0.3, 1.2, 0.8, 0.1, 2}, {1, m}), y = values({1, 0, 1, 0, 1}, {1, m});
  const Tensor a2 = tanh(z2);
  const auto cost = [&](const Tensor& z) {
    const Tensor a = tanh(z);
    return -(log(a) * y + (1 - y) * log(1 - a)).sum() / static_cast<double>(m);
  };
  const auto report = check_gradient(cost, {z2}, {(a2 - y) / m}, {.names = {"Z2"}});
  expect(
      report, Finding::OtherDerivative,
      "the derivative of sigmoid, y (1 - y) with y = its output, stands where that of tanh, (1 - y) (1 + y), "
      "belongs: off by the factor ((1 - y) (1 + y)) / (y (1 - y))",
      "Z2");
  const Tensor ratio = report.input("Z2").ratio(), factor = (1 + a2) / a2;
  for (int64_t i = 0; i < m; i++) EXPECT_NEAR(ratio.at({0, i}), factor.at({0, i}), 1e-7);
  EXPECT_TRUE(check_gradient(cost, {z2}, {(a2 - y) / m * factor}));

  // Where an output is negative, the cost is NaN, and nothing is proved.
  const Tensor start = values({0.3, -0.01, 0.8, 0.1, 2}, {1, m});
  const auto nothing = check_gradient(cost, {start}, {(tanh(start) - y) / m}, {.names = {"Z2"}});
  EXPECT_FALSE(nothing);
  EXPECT_THAT(nothing.str(),
              HasSubstr("the function value is NaN at this point: nothing can be checked here"));
}

TEST(Mistakes, EveryFindingHasAName) {
  for (int k = 0; k <= static_cast<int>(Finding::Unknown); k++)
    EXPECT_STRNE(name_of(static_cast<Finding>(k)), "?");
}

}  // namespace
}  // namespace gradus
