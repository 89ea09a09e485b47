#include <common/planar.h>
#include <gradus/gradus.h>

#include <cmath>

#include "../board.h"

namespace gradus::examples {
namespace {

double deviation(const Tensor& x) { return std::sqrt(square(x - x.mean()).mean().item()); }

/// How a cost went with weights that start as `scale` · randn.
struct Training {
  double first, soon, late, saturated, gradient;
};
Training trained(double scale) {
  const Dataset flower = load_planar_dataset();
  const Tensor x = inputs(flower, kFloat64), y = labels(flower, kFloat64);
  PlanarNetwork network(4, "tanh", "sigmoid", kFloat64);
  const Tensors p = nn::parameters(network);
  {
    NoGrad no_grad;
    for (Tensor w : p) w *= scale / 0.01;
  }
  const auto cost = [&] { return binary_cross_entropy_with_logits(network.layers(x), y); };
  Training run{};
  const Tensor hidden = tanh(linear(x, p[0], p[1]));
  run.saturated = (abs(hidden) > 0.99).to(kFloat64).mean().item();
  run.gradient = std::sqrt(square(grad({cost()}, {p[0]})[0]).sum().item());
  const CostCurve curve = train(p, cost, {.lr = 1.2, .iterations = 3000, .record_every = 300});
  run.first = curve.costs[0];
  run.soon = curve.costs[1];
  run.late = curve.costs.back();
  return run;
}

/// Standard deviations of a relu network's activations, and of the gradients of its z, in its layers.
struct Signals {
  std::vector<double> forward, backward;
};
Signals signals(double scale, int layers, int64_t width) {
  NumpyRandom random = numpy_random(1);
  Tensor a = tensor(random.randn(200 * width), {200, width}, kFloat64);
  Tensors z;
  Signals s;
  for (int l = 0; l < layers; l++) {
    const Tensor w = (scale * tensor(random.randn(width * width), {width, width}, kFloat64)).requires_grad_();
    z.push_back(matmul(a, w));
    a = relu(z.back());
    s.forward.push_back(deviation(z.back()));
  }
  const Tensor weights = tensor(random.randn(200 * width), {200, width}, kFloat64);
  for (const Tensor& g : grad({(weights * z.back()).sum()}, z)) s.backward.push_back(deviation(g));
  return s;
}

void initialisation(Board& board) {
  const Dataset flower = load_planar_dataset();
  const Tensor x = inputs(flower, kFloat64), y = labels(flower, kFloat64);

  board.step("Why not zero?");
  board.say(
      "A network 2 -> 4 tanh -> 1 on the flower. Let all weights be 0. Then A1 = 0, so dW2 = dZ2 A1ᵀ = 0. "
      "And W2 = 0, so dZ1 = W2ᵀ dZ2 * … = 0, and dW1 = 0. Only the last bias has a gradient:");
  const auto gradients = [&](double w1, double w2) {
    const Tensors p = {full({4, 2}, w1, kFloat64).requires_grad_(), zeros({4}, kFloat64).requires_grad_(),
                       full({1, 4}, w2, kFloat64).requires_grad_(), zeros({1}, kFloat64).requires_grad_()};
    return grad({binary_cross_entropy_with_logits(linear(tanh(linear(x, p[0], p[1])), p[2], p[3]), y)}, p);
  };
  const Tensors of_zero = gradients(0, 0);
  std::vector<std::vector<std::string>> rows = {{"", "dW1", "db1", "dW2", "db2"}, {"largest number"}};
  for (const Tensor& g : of_zero) rows[1].push_back(small(max(abs(g)).item()));
  board.table(rows);
  for (size_t i = 0; i < 3; i++)
    board.claim(max(abs(of_zero[i])).item() == 0, "zero weights have zero gradients");
  board.say(
      "Half of the points are of each class, so that one is next to nothing, too. This network never moves.");

  board.step("Why not all the same?");
  board.say("So let every weight be 0.5. Now there are gradients:");
  const Tensors of_half = gradients(0.5, 0.5);
  board.matrix("dW1", of_half[0]);
  board.claim(max(abs(of_half[0] - of_half[0].slice(0, 0, 1))).item() == 0,
              "equal units have equal gradients");
  board.say(
      "All rows are equal. Units that start equal get equal gradients, stay equal for ever, and four of them "
      "are worth one. Random numbers break the symmetry. That is all they are for.");

  board.step("Why 0.01?");
  board.say(
      "The first tutorial takes np.random.randn(4, 2) * 0.01. What do other factors do? For each: the share "
      "of hidden outputs that are saturated, |tanh| > 0.99, the norm of the first dW1, and the cost at the "
      "start, after 300 steps and after 3000:");
  rows = {{"factor", "saturated", "|dW1|", "cost: first", "after 300", "after 3000"}};
  std::vector<Training> runs;
  for (const double scale : {0.01, 1., 10., 100.}) {
    runs.push_back(trained(scale));
    const Training& r = runs.back();
    rows.push_back({number(scale), fmt::format("{:.0f} %", 100 * r.saturated), small(r.gradient),
                    fmt::format("{:.4f}", r.first), fmt::format("{:.4f}", r.soon),
                    fmt::format("{:.4f}", r.late)});
  }
  board.table(rows);
  board.claim(runs[0].saturated == 0 && runs[3].saturated > 0.8, "large weights saturate");
  board.claim(runs[3].first > 2 * runs[0].first, "and start with a large cost");
  board.claim(runs[1].late < 1.3 * runs[0].late && runs[2].late < 1.3 * runs[0].late &&
                  runs[3].late > 2 * runs[0].late,
              "only the largest factor is harmful in the long run");
  board.say(
      "0.01 keeps tanh in its middle, where it is steep, and the first guess near 1/2 for every point: the "
      "cost starts at ln 2 = {:.4f}. 100 saturates nearly every unit, begins with loud and wrong opinions, "
      "and is still the worst after 3000 steps. In between, a network as small as this one forgives much. So "
      "0.01 is not the one right number, it is a start that does no harm. Its price is a little patience: "
      "dZ1 = W2ᵀ dZ2 carries W2 as a factor, so |dW1| is small at first.",
      std::log(2));

  board.step("Why divide by √n in a deep network?");
  board.say(
      "z = Σ w a has n terms. If the w are independent with mean 0, the variances add: Var z = n · Var w · "
      "mean(a²). relu halves the mean square: mean(relu(z)²) = Var z / 2. So from layer to layer the "
      "variance is multiplied by n Var w / 2. The factor for the deviation is the root of that. Ten layers "
      "of 100 units: the factor, and the measured deviation of z:");
  const int64_t width = 100;
  const double n = static_cast<double>(width);
  const std::pair<const char*, double> scales[] = {
      {"0.01", 0.01}, {"1", 1}, {"1/√n", 1 / std::sqrt(n)}, {"√(2/n)", std::sqrt(2 / n)}};
  rows = {{"deviation of w", "factor", "layer 1", "layer 4", "layer 7", "layer 10"}};
  std::vector<Signals> found;
  for (const auto& [text, scale] : scales) {
    found.push_back(signals(scale, 10, width));
    const auto& f = found.back().forward;
    rows.push_back(
        {text, small(scale * std::sqrt(n / 2)), small(f[0]), small(f[3]), small(f[6]), small(f[9])});
    const double measured = std::pow(f[9] / f[1], 1.0 / 8), predicted = scale * std::sqrt(n / 2);
    board.claim(std::abs(measured / predicted - 1) < 0.15, "the deviation grows as predicted");
  }
  board.table(rows);
  board.say(
      "0.01, right for two layers, is nothing after ten; 1 is astronomic. The second tutorial divides by √n, "
      "the units before: a factor of √(1/2) a layer, which four layers bear well. The factor is exactly 1 "
      "with √(2/n), the initialisation of He and others for relu.");

  board.step("And backward?");
  board.say(
      "dA_(l-1) = W_lᵀ dZ_l is a sum of n terms as well, and relu's gate lets half of them through: the same "
      "factor, now from the last layer to the first. Deviation of the gradient that reaches layer l:");
  rows = {{"deviation of w", "layer 10", "layer 7", "layer 4", "layer 1"}};
  for (size_t i = 0; i < std::size(scales); i++) {
    const auto& b = found[i].backward;
    rows.push_back({scales[i].first, small(b[9]), small(b[6]), small(b[3]), small(b[0])});
  }
  board.table(rows);
  board.claim(found[0].backward[0] < 1e-8 && found[1].backward[0] > 1e6, "gradients vanish and explode");
  board.claim(found[3].backward[0] > 0.3 && found[3].backward[0] < 3, "√(2/n) keeps the gradient's size");
  board.say(
      "Vanishing in the first row, exploding in the second. One scale keeps both directions alive, and it "
      "follows from counting terms.");

  board.step("To try");
  board.say(
      "The sum of n terms w a has the variance n Var w mean(a²), whatever the activation. What is the factor "
      "for a linear layer, without relu? For tanh with small z, where tanh z ≈ z? Which scale would you "
      "take?");
}

const Lesson initialisation_lesson(7, "initialisation", "Initialisation: why 0.01, why divide by √n",
                                   initialisation);

}  // namespace
}  // namespace gradus::examples
