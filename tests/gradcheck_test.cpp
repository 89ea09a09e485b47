#include <gmock/gmock.h>
#include <gradus/autograd/check/gradcheck.h>
#include <gradus/gradus.h>

#include <cmath>
#include <cstdlib>

#include "core_support.h"

namespace gradus {
namespace {

using testing::HasSubstr;
using Verdict = GradcheckElement::Verdict;

TEST(Gradcheck, ComparesTheWholeJacobian) {
  const auto report = gradcheck([](const Tensor& x) { return tanh(x); }, {values({0.5, -1, 2}, {3})});
  ASSERT_TRUE(report) << report.str();
  const GradcheckInput& x = report.input("x");
  EXPECT_EQ(x.elements.size(), 9u);
  EXPECT_EQ(x.count(Verdict::Right), 9);
  EXPECT_EQ(x.numeric().shape(), (Shape{3, 3}));
  for (int64_t i = 0; i < 3; i++)
    for (int64_t j = 0; j < 3; j++) {
      const double y = std::tanh(std::vector<double>{0.5, -1, 2}[static_cast<size_t>(i)]);
      EXPECT_NEAR(x.numeric().at({i, j}), i == j ? 1 - y * y : 0, 1e-9);
      EXPECT_NEAR(x.analytic().at({i, j}), i == j ? 1 - y * y : 0, 1e-15);
    }
  EXPECT_LT(report.error(), 1e-9);
  EXPECT_THAT(report.str(), HasSubstr("right"));
}

TEST(Gradcheck, ErrorsAreTheCoursesMeasure) {
  // y = x0² + x1², claimed 2 x0 + 1 for the first: a = (3, 4), n = (2, 4)
  const auto report = check_gradient([](const Tensor& x) { return square(x).sum(); }, {values({1, 2}, {2})},
                                     {values({3, 4}, {2})});
  ASSERT_FALSE(report);
  EXPECT_NEAR(report.error(), 1 / (5 + std::sqrt(20.)), 1e-9);
  const GradcheckElement* worst = report.inputs[0].worst();
  ASSERT_NE(worst, nullptr);
  EXPECT_EQ(report.inputs[0].index(*worst), Shape{0});
  EXPECT_EQ(worst->verdict, Verdict::Wrong);
  EXPECT_NEAR(worst->absolute_error(), 1, 1e-9);
  EXPECT_NEAR(worst->relative_error(), 1. / 3, 1e-9);
  EXPECT_NEAR(report.inputs[0].ratio().at({0}), 2. / 3, 1e-9);
}

TEST(Gradcheck, ChecksHigherOrders) {
  const Tensor x = normal({2, 2});
  const auto report = gradcheck(log1pexp, {x}, {.order = 3});
  ASSERT_TRUE(report) << report.str();
  EXPECT_EQ(report.input("x", 3).order, 3);
  EXPECT_EQ(report.input("g", 2).shape, (Shape{2, 2}));
  EXPECT_TRUE(gradcheck([](const Tensor& a, const Tensor& b) { return matmul(a, b); },
                        {normal({2, 3}), normal({3, 2}, 2)}, {.order = 2}));
}

TEST(Gradcheck, TakesFunctionsOfOneToThreeTensorsAndOfLists) {
  const Tensor x = normal({3}), y = normal({3}, 2), z = normal({3}, 3);
  EXPECT_TRUE(
      gradcheck([](const Tensor& a, const Tensor& b, const Tensor& c) { return a * b + c; }, {x, y, z}));
  EXPECT_TRUE(gradcheck([](const Tensors& v) { return cat(v); }, {x, y, z, x}));
  EXPECT_THROW(gradcheck(log1pexp, {x, y}), Error);
}

TEST(Gradcheck, ChecksOnlyInputsThatRequireGradIfThereAreAny) {
  const auto f = [](const Tensor& a, const Tensor& b) { return a * b; };
  const auto report = gradcheck(f, {normal({2}), normal({2}, 2).requires_grad_()});
  ASSERT_EQ(report.inputs.size(), 1u);
  EXPECT_EQ(report.inputs[0].name, "x1");
  EXPECT_EQ(gradcheck(f, {normal({2}), normal({2}, 2)}).inputs.size(), 2u);
}

TEST(Gradcheck, KeepsTheLayoutOfTheInputsAndLeavesThemAlone) {
  const Tensor x = normal({3, 2});
  const auto before = x.to_vector();
  bool strided = false;
  const auto report = gradcheck(
      [&](const Tensor& v) {
        strided = !v.is_contiguous() && v.shape() == Shape{2, 3};
        return exp(v).sum({0});
      },
      {x.t()});
  EXPECT_TRUE(report) << report.str();
  EXPECT_TRUE(strided);
  EXPECT_EQ(x.to_vector(), before);
  EXPECT_FALSE(x.requires_grad());
  EXPECT_TRUE(gradcheck([](const Tensor& v) { return exp(v); }, {normal({1, 2}).expand({3, 2})}));
  EXPECT_TRUE(gradcheck([](const Tensor& v) { return exp(v); }, {normal({4, 2}).slice(0, 0, 4, 2)}));
}

TEST(Gradcheck, WorksUnderNoGrad) {
  const NoGrad no_grad;
  EXPECT_TRUE(gradcheck(log1pexp, {normal({2})}));
}

TEST(Gradcheck, LargeInputsAreSampledAndOneWrongElementIsHuntedDown) {
  const Tensor x = normal({100, 100});
  const auto f = [](const Tensor& v) { return (tanh(v) * tanh(v)).sum(); };
  const auto right = gradcheck(f, {x});
  ASSERT_TRUE(right) << right.str();
  EXPECT_FALSE(right.inputs[0].complete);
  EXPECT_LT(right.inputs[0].elements.size(), 100u);

  Tensor at = x.clone().requires_grad_();
  Tensor g = grad({f(at)}, {at})[0];
  EXPECT_TRUE(check_gradient(f, {x}, {g}));
  g.select(0, 61).select(0, 7).add_(0.5);
  const auto wrong = check_gradient(f, {x}, {g});
  ASSERT_FALSE(wrong);
  const GradcheckElement* worst = wrong.inputs[0].worst();
  ASSERT_NE(worst, nullptr);
  EXPECT_EQ(wrong.inputs[0].index(*worst), (Shape{61, 7}));
  EXPECT_EQ(wrong.diagnosis().kind, Finding::OneElement) << wrong.str();
}

TEST(Gradcheck, LargeResultsAreProjected) {
  const auto f = [](const Tensor& a, const Tensor& b) { return matmul(a, b); };
  const auto report = gradcheck(f, {normal({20, 5}), normal({5, 30}, 2)});
  ASSERT_TRUE(report) << report.str();
  EXPECT_EQ(report.inputs[0].outputs, Shape{2});
  EXPECT_TRUE(report.inputs[0].complete);
}

// ---- what must not pass

TEST(GradcheckRefuses, Float32) {
  const auto f = [](const Tensor& x) { return exp(x); };
  try {
    gradcheck(f, {randn({2})});
    FAIL() << "float32 was taken";
  } catch (const DtypeError& e) {
    EXPECT_THAT(e.what(), HasSubstr("x is float32"));
    EXPECT_THAT(e.what(), HasSubstr("to(kFloat64)"));
  }
  EXPECT_THROW(check_gradient([](const Tensor& x) { return x.sum(); }, {ones({2})}, {ones({2})}), DtypeError);
}

void expect_reason(const GradcheckReport& report, const std::string& reason) {
  EXPECT_FALSE(report);
  EXPECT_THAT(report.reason, HasSubstr(reason));
  EXPECT_THAT(report.str(), HasSubstr("not passed"));
}

TEST(GradcheckRefuses, NothingToCompare) {
  const auto f = [](const Tensor& x) { return exp(x); };
  expect_reason(gradcheck(f, {arange(3)}), "no floating input");
  expect_reason(gradcheck([](const Tensors&) { return ones({1}, kFloat64); }, {}), "no floating input");
  expect_reason(gradcheck(f, {zeros({0, 3}, kFloat64)}), "no elements");
  expect_reason(gradcheck([](const Tensor& x) { return x.slice(0, 0, 0); }, {normal({3})}), "no elements");
  expect_reason(gradcheck([](const Tensor& x) { return argmax(x, 0); }, {normal({3})}), "int64");
  expect_reason(check_gradient([](const Tensor& x) { return x.sum(); }, {normal({3})}, {Tensor()}),
                "no floating input");
}

TEST(GradcheckRefuses, NaNAndInfinity) {
  const auto f = [](const Tensor& x) { return log(x); };
  expect_reason(gradcheck(f, {values({1, -2}, {2})}),
                "the function value is NaN at [1] at this point: nothing can be checked here");
  expect_reason(gradcheck(f, {values({0, 2}, {2})}), "-inf");
  expect_reason(gradcheck(f, {values({0, NAN}, {2})}), "x is NaN at [1]");
  expect_reason(gradcheck([](const Tensor& x) { return sqrt(x); }, {values({0, 2}, {2})}),
                "the gradient of x is inf at [0]");
  const auto g = [](const Tensor& x) { return x.sum(); };
  expect_reason(check_gradient(g, {normal({2})}, {values({1, NAN}, {2})}),
                "the claimed gradient of x is NaN at [1]");
}

TEST(GradcheckRefuses, FunctionsThatChange) {
  int64_t calls = 0;
  expect_reason(gradcheck([&](const Tensor& x) { return x * static_cast<double>(++calls); }, {normal({2})}),
                "different values");
  expect_reason(gradcheck([&](const Tensor& x) { return x * rand({2}, kFloat64); }, {normal({2})}),
                "different values");
}

TEST(GradcheckRefuses, BadOptionsAndArguments) {
  const auto f = [](const Tensor& x) { return x.sum(); };
  const Tensor x = normal({2});
  EXPECT_THROW(gradcheck(f, {x}, {.order = 0}), Error);
  EXPECT_THROW(gradcheck(f, {x}, {.eps = 0}), Error);
  EXPECT_THROW(gradcheck(f, {x}, {.names = {"a", "b"}}), Error);
  EXPECT_THROW(check_gradient(f, {x}, {}), Error);
  EXPECT_THROW(check_gradient(f, {x}, {x}, {.order = 2}), Error);
  expect_reason(check_gradient([](const Tensor& v) { return v * 2; }, {x}, {x}), "f must give one element");
}

TEST(GradcheckNotes, ZeroGradients) {
  const auto exact = gradcheck([](const Tensor& x) { return floor(x); }, {values({0.5, 1.5}, {2})});
  EXPECT_TRUE(exact) << exact.str();
  EXPECT_EQ(exact.inputs[0].diagnosis.kind, Finding::Zero);
  const auto rounded = gradcheck([](const Tensor& x) { return softmax(x, 0).sum(); }, {normal({5})});
  EXPECT_TRUE(rounded) << rounded.str();
  EXPECT_EQ(rounded.inputs[0].diagnosis.kind, Finding::Zero);
}

TEST(GradcheckNotes, KinksAreNotErrors) {
  // relu at 0: slope 0 on the left, 1 on the right, gradient 0 by convention
  const auto report =
      gradcheck([](const Tensor& x) { return relu(x).sum(); }, {values({0, 1, -1, 0.5}, {4})});
  EXPECT_TRUE(report) << report.str();
  EXPECT_EQ(report.inputs[0].diagnosis.kind, Finding::Kink);
  EXPECT_EQ(report.inputs[0].count(Verdict::Untrusted), 1);
  EXPECT_EQ(report.inputs[0].count(Verdict::Right), 3);
  // Closer than a step to the kink, a smaller step tells.
  const auto close =
      gradcheck([](const Tensor& x) { return relu(x).sum(); }, {values({3e-6, 1, -4e-6}, {3})});
  EXPECT_TRUE(close) << close.str();
  EXPECT_EQ(close.inputs[0].count(Verdict::Right), 3);
  // A slope outside of what lies between the one-sided ones is wrong at a kink, too.
  const auto wrong = check_gradient([](const Tensor& x) { return relu(x).sum(); },
                                    {values({0, 1, -1, 0.5}, {4})}, {values({3, 1, 0, 1}, {4})});
  EXPECT_FALSE(wrong);
  // Kinks alone prove nothing.
  expect_reason(gradcheck([](const Tensor& x) { return relu(x).sum(); }, {values({0, 0}, {2})}), "kink");
}

TEST(GradcheckNotes, DigitsLostOnTheWayAreNoErrors) {
  // 1 - sigmoid(36) is two units in the last place of 1: f is a stair there, and flat at every step.
  const auto f = [](const Tensor& x) { return -log(1 - sigmoid(x)).sum(); };
  const Tensor x = values({36, 0.3, -2}, {3});
  const auto report = gradcheck(f, {x});
  EXPECT_EQ(report.diagnosis().kind, Finding::None) << report.str();
  EXPECT_EQ(report.inputs[0].diagnosis.kind, Finding::Noise);
  EXPECT_EQ(report.inputs[0].count(Verdict::Right), 2);
  EXPECT_FALSE(check_gradient(f, {x}, {sigmoid(x) * values({1, 1, 1.01}, {3})}));
}

TEST(GradcheckNotes, EitherSlopeWillDoAtAKink) {
  const auto f = [](const Tensor& x) { return relu(x).sum(); };
  const Tensor x = values({0, 1, -1, 0.5}, {4});
  for (double slope : {0.0, 1.0}) {
    const auto report = check_gradient(f, {x}, {values({slope, 1, 0, 1}, {4})});
    EXPECT_TRUE(report) << report.str();
    EXPECT_EQ(report.inputs[0].diagnosis.kind, Finding::Kink);
  }
}

TEST(GradcheckNotes, HowFarCentralDifferencesCanBeTrusted) {
  const auto f = [](const Tensor& x) { return exp(x).sum(); };
  const auto report = gradcheck(f, {normal({6})});
  EXPECT_GT(report.doubt(), 0);
  EXPECT_LT(report.doubt(), 1e-8);
  EXPECT_LT(report.error(), report.doubt());
  EXPECT_THAT(report.str(),
              HasSubstr(fmt::format("n itself is off by at most {:.1e} of its length", report.doubt())));
  EXPECT_THAT(report.str(), testing::Not(HasSubstr("kink")));
  // Two steps disagree more on a function that changes fast.
  EXPECT_GT(gradcheck([](const Tensor& x) { return sin(x * 2000).sum(); }, {normal({6})}).doubt(), 1e-6);
  const auto kink = gradcheck([](const Tensor& x) { return relu(x).sum(); }, {values({0, 1, -1}, {3})});
  EXPECT_THAT(kink.str(), HasSubstr("there is a kink at 1 of the elements"));
}

TEST(GradcheckNotes, ClaimsInFloat32AreHeldToItsPrecision) {
  // Terms that cancel: the rounding of floats is large beside what is left of them.
  const Tensor x = normal({40, 3}), w = normal({3, 2}, 2), t = normal({40, 2}, 3);
  const auto cost = [&](const Tensor& v) { return square(matmul(x, v) - t).sum() / 2; };
  const auto gradient = [&](Dtype d) { return matmul(x.to(d).t(), matmul(x.to(d), w.to(d)) - t.to(d)); };
  EXPECT_TRUE(check_gradient(cost, {w}, {gradient(kFloat64)}));
  const auto report = check_gradient(cost, {w}, {gradient(kFloat32)});
  EXPECT_TRUE(report) << report.str();
  // The same floats in a float64 tensor are known by their digits; one digit more is an error.
  EXPECT_TRUE(check_gradient(cost, {w}, {gradient(kFloat32).to(kFloat64)}));
  EXPECT_FALSE(check_gradient(cost, {w}, {gradient(kFloat32) * 1.001f}));
}

TEST(GradcheckNotes, Float32InsideIsNoError) {
  const auto f = [](const Tensor& x) { return exp(x.to(kFloat32)).to(kFloat64).sum(); };
  const auto report = gradcheck(f, {normal({6})});
  EXPECT_EQ(report.diagnosis().kind, Finding::None) << report.str();
  if (!report) expect_reason(report, "float32");
  EXPECT_FALSE(check_gradient(f, {normal({6})}, {-exp(normal({6}))}));
}

TEST(GradcheckNotes, SteepAndNearlySingularFunctions) {
  EXPECT_TRUE(gradcheck([](const Tensor& x) { return exp(x * 300); }, {values({1, 2, -3}, {3})}));
  EXPECT_TRUE(gradcheck([](const Tensor& x) { return log(x); }, {values({1e-7, 1e-5, 3e9}, {3})}));
  EXPECT_TRUE(gradcheck([](const Tensor& x) { return (x * 1e-9).sum() + 1; }, {normal({4})}));
  EXPECT_FALSE(check_gradient([](const Tensor& x) { return (x * 1e-9).sum() + 1; }, {normal({4})},
                              {full({4}, 1.1e-9, kFloat64)}));
}

// ---- models

struct Model {
  Tensor w1 = normal({4, 2}).requires_grad_(), b1 = normal({4}, 2).requires_grad_();
  Tensor w2 = normal({1, 4}, 3).requires_grad_(), b2 = normal({1}, 4).requires_grad_();
  Tensor x = normal({6, 2}, 5), y = values({0, 1, 1, 0, 1, 0}, {6, 1});
  Tensor loss() const { return binary_cross_entropy(sigmoid(linear(tanh(linear(x, w1, b1)), w2, b2)), y); }
  NamedTensors parameters() const { return {{"w1", w1}, {"b1", b1}, {"w2", w2}, {"b2", b2}}; }
};

TEST(GradcheckModel, ChecksParametersInPlaceAndPutsThemBack) {
  const Model m;
  const auto before = m.w1.to_vector();
  const auto report = gradcheck([&] { return m.loss(); }, m.parameters(), {.order = 2});
  EXPECT_TRUE(report) << report.str();
  EXPECT_EQ(report.input("w1").elements.size(), 8u);
  EXPECT_EQ(m.w1.to_vector(), before);
  EXPECT_FALSE(m.w1.grad().defined());
}

TEST(GradcheckModel, FailsOnALeafThatIsNotNamed) {
  const Model m;
  auto parameters = m.parameters();
  parameters.erase(parameters.begin() + 1);
  const auto report = gradcheck([&] { return m.loss(); }, parameters);
  expect_reason(report, "leaves that are not among the parameters, of shapes [4]");
}

TEST(GradcheckModel, FindsAParameterThatIsCutOff) {
  const Model m;
  const auto loss = [&] {
    return binary_cross_entropy(sigmoid(linear(tanh(linear(m.x, m.w1.detach(), m.b1)), m.w2, m.b2)), m.y);
  };
  const auto report = gradcheck(loss, m.parameters());
  ASSERT_FALSE(report);
  EXPECT_EQ(report.input("w1").diagnosis.kind, Finding::NotConnected);
  EXPECT_TRUE(report.input("b1").ok());
}

TEST(GradcheckModel, PutsParametersBackAfterAnError) {
  const Model m;
  const auto before = m.w1.to_vector();
  int calls = 0;
  const auto loss = [&] {
    if (++calls == 9) fail("no more");
    return m.loss();
  };
  EXPECT_THROW(gradcheck(loss, m.parameters()), Error);
  EXPECT_EQ(m.w1.to_vector(), before);
}

TEST(GradcheckModel, BadArguments) {
  const Model m;
  EXPECT_THROW(gradcheck([&] { return linear(m.x, m.w1); }, m.parameters()), ShapeError);
  EXPECT_THROW(gradcheck([&] { return m.loss(); }, {{"w1", m.w1 * 2}}), GradError);
  EXPECT_THROW(gradcheck([&] { return m.loss(); }, {{"w", randn({2}).requires_grad_()}}), DtypeError);
}

// ---- it never accuses a right gradient

/// A random composition of ops on two matrices, the same for the same seed.
Tensor composition(const Tensors& in, int64_t seed) {
  NumpyRandom random = numpy_random(seed);
  Tensors pool = in;
  const auto pick = [&] {
    return pool[static_cast<size_t>(random.randint(0, static_cast<int64_t>(pool.size())))];
  };
  const int64_t steps = random.randint(2, 8);
  for (int64_t k = 0; k < steps; k++) {
    const Tensor a = pick(), b = pick();
    switch (random.randint(0, 22)) {
      case 0: pool.push_back(a + b); break;
      case 1: pool.push_back(a - b * 3); break;
      case 2: pool.push_back(tanh(a) * b); break;
      case 3: pool.push_back(a / (square(b) + 0.5)); break;
      case 4: pool.push_back(tanh(a)); break;
      case 5: pool.push_back(sigmoid(a * 2)); break;
      case 6: pool.push_back(exp(tanh(a))); break;
      case 7: pool.push_back(log(square(a) + 1e-3)); break;
      case 8:
        pool.push_back(matmul(a, b.t()));
        pool.back() = matmul(pool.back(), tanh(b));
        break;
      case 9: pool.push_back(softmax(a, -1)); break;
      case 10: pool.push_back(relu(a) - 0.1 * b); break;
      case 11: pool.push_back(a - a.mean({0}, true)); break;
      case 12: pool.push_back(sin(a * 5) + cos(b)); break;
      case 13: pool.push_back(maximum(a, b)); break;
      case 14: pool.push_back(where(a > 0, a * a, b)); break;
      case 15: pool.push_back(softplus(a)); break;
      case 16: pool.push_back(log_softmax(a, 0)); break;
      case 17: pool.push_back(sqrt(square(a) + 1e-2) * a.sum({1}, true)); break;
      case 18: pool.push_back(cat({a.slice(0, 1), b.slice(0, 0, 1)})); break;
      case 19: pool.push_back(abs(a) + clamp(b, -0.5, 0.5)); break;
      case 20: pool.push_back(amax(a, {1}, true) * b); break;
      default: pool.push_back(pow(sigmoid(a), 2.5)); break;
    }
  }
  const Tensor y = pool.back();
  return random.rand() < 0.5 ? y.sum() : random.rand() < 0.5 ? y.mean({1}) : y;
}

TEST(Gradcheck, NeverAccusesARightGradient) {
  const int64_t trials = std::getenv("GRADUS_LONG") ? 10'000 : 600;
  int64_t proved = 0, elements = 0;
  for (int64_t seed = 0; seed < trials; seed++) {
    NumpyRandom random = numpy_random(10'000 + seed);
    const Shape shape{random.randint(2, 4), random.randint(1, 4)};
    const double scale = std::pow(10., random.uniform(-3, 2));
    Tensors in;
    for (int k = 0; k < 2; k++) in.push_back(values(random.randn(shape.numel()), shape) * scale);
    const auto report =
        gradcheck([&](const Tensors& x) { return composition(x, seed); }, in, {.order = 1 + (seed % 5 == 0)});
    ASSERT_EQ(report.diagnosis().kind, Finding::None) << "seed " << seed << ", scale " << scale << "\n"
                                                      << report.str();
    proved += report.ok();
    for (const auto& x : report.inputs) elements += x.count(Verdict::Right);
  }
  // A check that can tell nothing would accuse nobody either.
  EXPECT_GE(proved, trials * 98 / 100);
  EXPECT_GT(elements, trials * 33);
}

TEST(GradcheckSlow, NeverPassesAWrongGradient) {
  int64_t planted = 0;
  for (int64_t seed = 0; seed < 400; seed++) {
    NumpyRandom random = numpy_random(20'000 + seed);
    const Shape shape{random.randint(2, 4), random.randint(2, 4)};
    Tensors in;
    for (int k = 0; k < 2; k++) in.push_back(values(random.randn(shape.numel()), shape).requires_grad_());
    const auto f = [&](const Tensors& x) { return sin(composition(x, seed)).sum(); };
    Tensors g = grad({f(in)}, in, {}, {.allow_unused = true});
    const auto k = static_cast<size_t>(random.randint(0, 2));
    if (!g[k].defined()) continue;
    const double size = abs(g[k]).sum().item() / static_cast<double>(g[k].numel());
    if (size < 1e-6) continue;
    switch (random.randint(0, 4)) {
      case 0: g[k] = -g[k]; break;
      case 1: g[k] = g[k] * 1.01; break;
      case 2: g[k] = g[k] + values(random.randn(shape.numel()), shape) * size * 0.01; break;
      default: g[k].select(0, 0).select(0, 1).add_(size * 0.01); break;
    }
    Tensors claims(2);
    claims[k] = g[k];
    const auto report = check_gradient(f, in, claims);
    EXPECT_FALSE(report) << "seed " << seed << "\n" << report.str();
    planted++;
  }
  EXPECT_GT(planted, 250);
}

}  // namespace
}  // namespace gradus
