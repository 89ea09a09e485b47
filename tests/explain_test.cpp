#include <gmock/gmock.h>
#include <gradus/autograd/kernels/symbol.h>
#include <gradus/gradus.h>

#include <cmath>
#include <sstream>

namespace gradus {
namespace {

// ---- formulas print themselves

TEST(Symbol, KeepsWhatBelongsTogether) {
  const Symbol a("a"), b("b");
  EXPECT_EQ((a / b * b).text(), "(a / b) b");
  EXPECT_EQ((a / (b * b)).text(), "a / b²");
  EXPECT_EQ((a / (b / a)).text(), "a / (b / a)");
  EXPECT_EQ((a / b / a).text(), "(a / b) / a");
  EXPECT_EQ((a - (a - b)).text(), "a - (a - b)");
  EXPECT_EQ((a - b - a).text(), "a - b - a");
  EXPECT_EQ((a - -b).text(), "a - (-b)");
  EXPECT_EQ((a * -b).text(), "a (-b)");
  EXPECT_EQ((-(a + b)).text(), "-(a + b)");
  EXPECT_EQ((-(-a)).text(), "-(-a)");
  EXPECT_EQ((-(a / b)).text(), "-a / b");
  EXPECT_EQ((2 * (a + b)).text(), "2 (a + b)");
  EXPECT_EQ((a * 2).text(), "2 a");
  EXPECT_EQ((1 * a * 1 / 1).text(), "a");
  EXPECT_EQ((a * a * a).text(), "a³");
  EXPECT_EQ((-a * a).text(), "-a²");
  EXPECT_EQ(pow(-a, 2).text(), "(-a)²");
  EXPECT_EQ(pow(a * a, 3).text(), "(a²)³");
  EXPECT_EQ(pow(a, b + 1).text(), "a^(b + 1)");
  EXPECT_EQ(pow(a, 2.5).text(), "a^2.5");
  EXPECT_EQ(((a + 1) * (a + 1)).text(), "(a + 1)²");
  EXPECT_EQ((where(a > 0, b, 0) * a).text(), "(b where a > 0, else 0) a");
  EXPECT_EQ(where(a > 0, b, where(a == b, a, 0)).text(), "b where a > 0, a where a = b, else 0");
  EXPECT_EQ(maximum(abs(a - b), -0.25).text(), "max(|a - b|, -0.25)");
}

TEST(Symbol, FormulasOfTheLibraryAndOfAProgram) {
  using namespace formulas;
  EXPECT_EQ(formula_of(Tanh{}), "y = tanh(x)        dx = g (1 - y) (1 + y)");
  EXPECT_EQ(formula_of(Sigmoid{}), "y = sigmoid(x)        dx = g y (1 - y)");
  EXPECT_EQ(formula_of(Relu{}), "y = max(x, 0)        dx = 0 where y ≤ 0, else g");
  EXPECT_EQ(formula_of(Div{}), "y = a / b        da = g / b        db = -g (y / b)");
  EXPECT_EQ(formula_of(Rsqrt{}), "y = 1 / sqrt(x)        dx = -0.5 g y³");
  EXPECT_EQ(formula_of(Copy{}), "y = b        da = 0        db = g");
  EXPECT_EQ(formula_of(BceWithPosWeight{}).substr(0, 61),
            "y = (b - 1) logsigmoid(-a) - c b logsigmoid(a)        da = g ");
  // Attributes are numbers in the text.
  EXPECT_EQ(formula_of(LeakyRelu{0.2}),
            "y = x where x > 0, else 0.2 x        dx = g where x > 0, else 0.2 g");
  EXPECT_EQ(formula_of(PowScalar{3}), "y = x³        dx = g (3 x²)");
}

/// y = x e^(-x)
struct Own {
  static constexpr auto name = "own";
  template <class T>
  constexpr T value(T x) const {
    return x * exp(-x);
  }
  template <class T>
  constexpr T vjp(In<0>, T x, T, T g) const {
    return g * exp(-x) * (1 - x);
  }
};

TEST(Symbol, EveryNodeSaysItsFormula) {
  const auto formula = [](const Tensor& y) { return y.edge().node->formula(); };
  const Tensor x = ones({2, 2}).requires_grad_();
  EXPECT_EQ(formula(pointwise(Own{}, x)), "y = x exp(-x)        dx = g exp(-x) (1 - x)");
  EXPECT_EQ(formula(pow(x, 3)), "y = x³        dx = g (3 x²)");
  EXPECT_EQ(formula(matmul(x, x)), "y = a b        da = g bᵀ        db = aᵀ g");
  EXPECT_EQ(formula(x), "");
}

// ---- what a backward pass does, step by step

using testing::ElementsAre;
using testing::HasSubstr;

/// Two layers with samples in columns.
struct TwoLayers {
  Tensor x = tensor(numpy_random(1).randn(10), {2, 5}, kFloat64),
         y = tensor({{0., 1., 1., 0., 1.}}, kFloat64);
  Tensor w1 = tensor(numpy_random(2).randn(8), {4, 2}, kFloat64).requires_grad_();
  Tensor b1 = zeros({4, 1}, kFloat64).requires_grad_();
  Tensor w2 = tensor(numpy_random(3).randn(4), {1, 4}, kFloat64).requires_grad_();
  Tensor b2 = zeros({1, 1}, kFloat64).requires_grad_();
  Tensor a1 = tanh(matmul(w1, x) + b1);
  Tensor cost = binary_cross_entropy(sigmoid(matmul(w2, a1) + b2), y);
  NamedTensors names() const {
    return {{"W1", w1}, {"b1", b1}, {"W2", w2}, {"b2", b2}, {"A1", a1}, {"cost", cost}};
  }
};
const BackwardStep& named(const Explanation& e, const std::string& name) {
  for (const BackwardStep& s : e.steps)
    if (s.name == name) return s;
  fail("no step '{}'", name);
}
std::vector<std::string> ops(const Explanation& e) {
  std::vector<std::string> names;
  for (const BackwardStep& s : e.steps) names.push_back(s.op);
  return names;
}

TEST(Explain, GoesBackFromTheResultToTheLeaves) {
  const TwoLayers n;
  const Explanation e = explain(n.cost, n.names());
  EXPECT_THAT(ops(e), ElementsAre("bce_loss", "sigmoid", "add", "matmul", "tanh", "add", "matmul", "leaf",
                                  "leaf", "leaf", "leaf"));
  EXPECT_EQ(e.steps[0].name, "cost");
  EXPECT_EQ(e.steps[0].formula, "y = Σ ((b - 1) max(log1p(-a), -100) - b max(log(a), -100)) / n");
  EXPECT_EQ(e.steps[0].derivatives[0], "da = (g / n) (a - b) / max(a (1 - a), 1e-12)");
  EXPECT_THAT(e.steps[4].derivatives, ElementsAre("dx = g (1 - y) (1 + y)"));
  EXPECT_THAT(e.steps[3].derivatives, ElementsAre("da = g bᵀ", "db = aᵀ g"));
  EXPECT_EQ(e.steps[3].inputs[1].step, 4u);
  EXPECT_EQ(e.steps[0].inputs[1].step, std::nullopt);  // the labels want no gradient
  EXPECT_EQ(e.steps[6].inputs[1].value.shape, (Shape{2, 5}));
}

TEST(Explain, GradientsAreThoseOfBackwardWhichItDoesNotDisturb) {
  const TwoLayers n;
  n.w1.backward(ones({4, 2}, kFloat64), true);  // something to keep: w1.grad() is 1 everywhere
  const Explanation e = explain(n.cost, n.names());
  EXPECT_EQ(n.w1.grad().to_vector(), std::vector<double>(8, 1.0));
  EXPECT_FALSE(n.b1.grad().defined());
  const Tensors g = grad({n.cost}, {n.w1, n.b1, n.w2, n.b2});  // the graph was not freed
  const char* names[] = {"W1", "b1", "W2", "b2"};
  for (size_t i = 0; i < 4; i++) {
    const BackwardStep& s = named(e, names[i]);
    EXPECT_EQ(s.results[0].gradient.elements.to_vector(), g[i].to_vector()) << names[i];
    EXPECT_EQ(s.results[0].gradient.shape, g[i].shape());
  }
  EXPECT_THROW(explain(n.cost), GradError);  // now it is
}

TEST(Explain, SmallTensorsAreNumbersAndLargeOnesASummary) {
  const TwoLayers n;
  const Explanation e = explain(n.cost, n.names());
  const Numbers& a1 = named(e, "A1").results[0].value;
  EXPECT_FALSE(a1.elements.defined());
  EXPECT_TRUE(a1.known);
  EXPECT_EQ(a1.min, min(n.a1).item());
  EXPECT_EQ(a1.max, max(n.a1).item());
  EXPECT_NEAR(a1.mean, n.a1.mean().item(), 1e-15);
  EXPECT_NEAR(a1.norm, std::sqrt(square(n.a1).sum().item()), 1e-14);
  EXPECT_THAT(a1.str(), testing::StartsWith("min -"));
  EXPECT_EQ(e.steps[0].results[0].gradient.str(), "1");
  const Tensor w = tensor({{1., -0.5}, {2., 1e-7}}, kFloat64).requires_grad_();
  EXPECT_EQ(explain(w.sum()).steps[1].results[0].value.str(), "[[1, -0.5], [2, 1e-07]]");
  // A copy: what happens later does not change it.
  const Explanation before = explain(w.sum());
  NoGrad no_grad;
  Tensor(w).detach().fill_(7);
  EXPECT_EQ(before.steps[1].results[0].value.elements.at({1, 0}), 2);
}

TEST(Explain, ValuesAreShownWhereTheyAreKept) {
  const auto known = [](const Explanation& e) {
    return std::count_if(e.steps.begin(), e.steps.end(),
                         [](const BackwardStep& s) { return s.results[0].value.known; });
  };
  const TwoLayers sparing;
  const Explanation some = explain(sparing.cost);
  EXPECT_FALSE(some.steps[5].results[0].value.known);  // tanh reads its result, nobody its argument
  EXPECT_EQ(some.steps[5].results[0].value.str(), "not kept");
  const KeepValues keep;
  const TwoLayers all;
  EXPECT_EQ(known(explain(all.cost)), 12);  // the losses, too: their mean is an op of its own here
  EXPECT_EQ(explain(all.cost).steps[6].results[0].value.max, max(matmul(all.w1, all.x) + all.b1).item());
}

TEST(Explain, SaysWhatHappensToAGradientOnItsWay) {
  const TwoLayers n;
  const BackwardStep add = explain(n.cost, n.names()).steps[5];
  EXPECT_EQ(add.inputs[0].note, "");
  EXPECT_EQ(add.inputs[1].note, "summed from [4, 5] to [4, 1]: the input was broadcast");

  const Tensor a = tensor({2.}, kFloat64).requires_grad_(), b = tensor({3.f}).requires_grad_();
  const Tensor squared = a * a, product = a * b;  // in this order, whatever the compiler does first
  const Explanation e = explain((product + squared).sum(), {{"a", a}, {"b", b}});
  const BackwardStep& leaf = named(e, "a");
  EXPECT_THAT(leaf.results[0].from, ElementsAre(2, 4, 4));
  EXPECT_EQ(leaf.note, "3 gradients met here, from steps 2 and 4, and were added");
  EXPECT_EQ(leaf.results[0].gradient.elements.item(), 7);
  EXPECT_EQ(e.steps[3].op, "to");
  EXPECT_EQ(e.steps[3].inputs[0].note, "converted from float64 to float32");

  const int64_t id = a.register_hook([](const Tensor& g) { return g * 10; });
  EXPECT_EQ(named(explain(a.sum(), {{"a", a}}), "a").note, "a hook replaced the gradient");
  EXPECT_EQ(named(explain(a.sum(), {{"a", a}}), "a").results[0].gradient.elements.item(), 10);
  a.remove_hook(id);
}

TEST(Explain, PrintsAFewLinesForEachStep) {
  const TwoLayers n;
  const Explanation e = explain(n.cost, n.names());
  const std::string text = str(e);
  EXPECT_EQ(fmt::format("{}", e), text);
  std::ostringstream stream;
  stream << e;
  EXPECT_EQ(stream.str(), text);
  EXPECT_THAT(text, HasSubstr("   4   A1 = tanh(step 5)      y = tanh(x)\n"));
  EXPECT_THAT(text, HasSubstr("       dx = g (1 - y) (1 + y)\n"));
  EXPECT_THAT(text, HasSubstr("   3   matmul(W2, A1)      y = a b\n"));
  EXPECT_THAT(text, HasSubstr("summed from [4, 5] to [4, 1]: the input was broadcast"));
  EXPECT_THAT(text, testing::Not(HasSubstr("db = g (max(")));  // the labels' gradient is not wanted
}

TEST(Explain, StartsFromAGivenGradient) {
  const Tensor x = tensor({1., 2.}, kFloat64).requires_grad_();
  const Explanation e = explain(square(x), {{"x", x}}, tensor({1., -1.}, kFloat64));
  EXPECT_EQ(named(e, "x").results[0].gradient.elements.to_vector(), (std::vector<double>{2, -4}));
}

TEST(Explain, ResultsWithoutAGradientAndSeveralResults) {
  const Tensor x = tensor({3., 1., 2.}, kFloat64).requires_grad_();
  const Explanation e = explain(std::get<0>(max(x, 0)) * 2);
  EXPECT_EQ(e.steps[1].results.size(), 2u);
  EXPECT_FALSE(e.steps[1].results[1].gradient.known);  // the indices
  EXPECT_EQ(e.steps[2].results[0].gradient.elements.to_vector(), (std::vector<double>{2, 0, 0}));
}

TEST(Explain, RefusesWhatBackwardRefuses) {
  const Tensor x = ones({2}, kFloat64).requires_grad_();
  EXPECT_THROW(explain(ones({1})), GradError);
  EXPECT_THROW(explain(x * 2), GradError);
  EXPECT_THROW(explain(x * 2, {}, ones({3}, kFloat64)), ShapeError);
  Tensor y = exp(x);
  const Tensor loss = y.sum();
  y.add_(1);
  EXPECT_THROW(explain(loss), GradError);
}

}  // namespace
}  // namespace gradus
