// The lesson: the first tutorial's network ends in tanh, but backpropagates dZ2 = A2 - Y. Is that its
// gradient?
#include <common/datasets.h>
#include <common/handmade.h>
#include <gradus/gradus.h>

#include <cmath>

using namespace gradus;
using namespace gradus::examples;

namespace {

// Four costs of the output layer's z2; the tutorial prints the first. Samples are columns, as in the
// tutorial.
Tensor as_printed(const Tensor& z2, const Tensor& y) {
  const Tensor a2 = tanh(z2);
  return -(y * log(a2) + (1 - y) * log(1 - a2)).mean();
}
Tensor with_sigmoid(const Tensor& z2, const Tensor& y) {
  const Tensor a2 = sigmoid(z2);
  return -(y * log(a2) + (1 - y) * log(1 - a2)).mean();
}
/// Labels t are -1 and 1, and (1 + a2) / 2 is the probability.
Tensor with_rescaled_labels(const Tensor& z2, const Tensor& t) {
  const Tensor a2 = tanh(z2);
  return -((1 + t) / 2 * log((1 + a2) / 2) + (1 - t) / 2 * log((1 - a2) / 2)).mean();
}
/// mean(log cosh z2 - y z2), where log cosh z = softplus(2z) - z - log 2. Its derivative by z2 is tanh z2 -
/// y.
Tensor log_cosh(const Tensor& z2, const Tensor& y) {
  return (softplus(2 * z2) - z2 - std::log(2) - y * z2).mean();
}

/// The tutorial's hand-derived gradients against numeric ones of a cost.
GradcheckReport check(Tensor (*cost)(const Tensor&, const Tensor&), Output output, const Shallow& p,
                      const Tensor& x, const Tensor& y) {
  const Shallow g = backward_propagation(p, forward_propagation(x, p, output), x, y);
  const auto f = [&](const Tensors& q) { return cost(matmul(q[2], tanh(matmul(q[0], x) + q[1])) + q[3], y); };
  return check_gradient(f, {p.w1, p.b1, p.w2, p.b2}, {g.w1, g.b1, g.w2, g.b2},
                        {.names = {"W1", "b1", "W2", "b2"}});
}

void claim(bool holds, const char* what) {
  if (!holds) fail("lesson: this should be so, and is not: {}", what);
}

void lesson() {
  const Dataset flower = load_planar_dataset();
  const Tensor x = tensor(flower.x, {400, 2}, kFloat64).t(), y = tensor(flower.y, {1, 400}, kFloat64);
  NumpyRandom random = numpy_random(2);
  const Tensor w1 = tensor(random.randn(8), {4, 2}, kFloat64), w2 = tensor(random.randn(4), {1, 4}, kFloat64);
  const Tensor b1 = zeros({4, 1}, kFloat64), b2 = zeros({1, 1}, kFloat64);
  const Shallow start = {0.01 * w1, b1, 0.01 * w2, b2};
  const Shallow elsewhere = {w1, b1, 0.2 * w2, b2 + 1};

  fmt::print("1. Where the tutorial starts, tanh gives values below 0, and they have no logarithm.\n");
  const GradcheckReport nothing = check(as_printed, Output::Tanh, start, x, y);
  fmt::print("{}\n", nothing);
  claim(!nothing && nothing.reason.find("NaN") != std::string::npos, "at the start nothing can be checked");

  const Tensor a2 = forward_propagation(x, elsewhere, Output::Tanh).a2;
  fmt::print("2. Elsewhere every A2 lies in (0, 1): from {:.3f} to {:.3f}. Are the gradients right there?\n",
             min(a2).item(), max(a2).item());
  const GradcheckReport wrong = check(as_printed, Output::Tanh, elsewhere, x, y);
  fmt::print("{}\n", wrong);
  claim(!wrong && wrong.reason.empty(), "the hand-derived gradient is wrong");

  fmt::print(
      "3. So look at dZ2 itself, the first line of the backward pass: by what factor is A2 - Y wrong?\n");
  const Tensor z2 = matmul(elsewhere.w2, tanh(matmul(w1, x) + b1)) + elsewhere.b2;
  const auto cost = [&](const Tensor& z) { return as_printed(z, y); };
  const Tensor factor = check_gradient(cost, {z2}, {(a2 - y) / 400}, {.names = {"Z2"}}).input("Z2").ratio();
  const Tensor expected = (1 + a2) / a2;
  fmt::print("   sample         A2   true dZ2 / (A2 - Y)   (1 + A2) / A2\n");
  for (const int64_t i : {0, 100, 200, 300})
    fmt::print("   {:6}   {:.6f}   {:>19.6f}   {:>13.6f}\n", i, a2.at({0, i}), factor.at({0, i}),
               expected.at({0, i}));
  fmt::print("   dZ2 = A2 - Y belongs to the sigmoid. For tanh it is (A2 - Y)(1 + A2) / A2.\n\n");
  claim(max(abs(factor / expected - 1)).item() < 1e-6, "the factor is (1 + A2) / A2");

  fmt::print("4. Three repairs; the backward pass keeps its dZ2 = A2 - Y.\n");
  const auto repaired = [&](const char* what, auto cost, Output output, const Tensor& labels) {
    const GradcheckReport at_start = check(cost, output, start, x, labels);
    const GradcheckReport there = check(cost, output, elsewhere, x, labels);
    fmt::print("   {:<56} {}   |a - n| / (|a| + |n|): {:.0e} at the start, {:.0e} elsewhere\n", what,
               at_start && there ? "right" : "WRONG", at_start.error(), there.error());
    claim(at_start && there, what);
  };
  repaired("End in a sigmoid.", with_sigmoid, Output::Sigmoid, y);
  repaired("Keep tanh; labels -1 and 1, probability (1 + A2) / 2.", with_rescaled_labels, Output::Tanh,
           2 * y - 1);
  repaired("Keep both; the loss is mean(log cosh Z2 - Y Z2).", log_cosh, Output::Tanh, y);
}

}  // namespace

int main() {
  try {
    lesson();
  } catch (const Error& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}
