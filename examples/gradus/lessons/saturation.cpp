#include <common/training.h>
#include <gradus/gradus.h>

#include <cmath>

#include "../board.h"

namespace gradus::examples {
namespace {

using Activation = Tensor (*)(const Tensor&);

/// dy/dz at z, by Gradus.
double slope(Activation f, double z) {
  const Tensor t = tensor(z, kFloat64).requires_grad_();
  return grad({f(t)}, {t})[0].item();
}

double norm(const Tensor& x) { return std::sqrt(square(x).sum().item()); }

/// The norm of the gradient that reaches each layer's z, the first layer's first, in a network of `layers`
/// layers of `width` units, weights randn / √width.
std::vector<double> gradient_norms(Activation f, int layers, int64_t width) {
  NumpyRandom random = numpy_random(1);
  Tensor a = tensor(random.randn(20 * width), {20, width}, kFloat64);
  Tensors z;
  for (int l = 0; l < layers; l++) {
    const Tensor w = tensor(random.randn(width * width), {width, width}, kFloat64).requires_grad_();
    z.push_back(matmul(a, w / std::sqrt(static_cast<double>(width))));
    a = f(z.back());
  }
  std::vector<double> norms;
  for (const Tensor& g : grad({a.sum()}, z)) norms.push_back(norm(g));
  return norms;
}

void saturation(Board& board) {
  board.step("A flat function passes no gradient on");
  board.say(
      "Going backward through a = f(z), the gradient is multiplied by f'(z). Where f is flat, f' is nearly "
      "0, and so is everything that lies before. The unit is saturated. By Gradus:");
  std::vector<std::vector<std::string>> rows = {
      {"z", "σ(z)", "σ'(z)", "tanh(z)", "tanh'(z)", "relu(z)", "relu'(z)"}};
  for (const double z : {-10., -5., -2., 0., 2., 5., 10.}) {
    const Tensor t = tensor(z, kFloat64);
    rows.push_back({number(z), fmt::format("{:.5f}", sigmoid(t).item()),
                    fmt::format("{:.5f}", slope(sigmoid, z)), fmt::format("{:.5f}", tanh(t).item()),
                    fmt::format("{:.5f}", slope(tanh, z)), number(relu(t).item()), number(slope(relu, z))});
  }
  board.table(rows);
  board.claim(slope(sigmoid, 0) == 0.25 && slope(tanh, 0) == 1, "σ' is at most 1/4, tanh' at most 1");
  board.say(
      "σ' is never more than 1/4, at z = 0; tanh' reaches 1 there. Both are almost nothing beyond |z| = 5. "
      "relu is never flat on the right, and always on the left.");

  board.step("By hand: why σ' is a (1 - a) and tanh' is 1 - a²");
  board.say(
      "Both derivatives can be read off the output a. σ'(z) = a (1 - a): if a = {}, that is {}. tanh'(z) = 1 "
      "- a². A unit whose output is near its limits has said its last word, and cannot be talked out of it.",
      0.999, number(0.999 * (1 - 0.999)));
  const Tensor z = tensor({-3., -1., 0., 0.5, 2.}, kFloat64).requires_grad_();
  const Tensor s = sigmoid(z).detach(), t = tanh(z).detach();
  board.compare({{"σ'(z) = a (1 - a)", s * (1 - s), grad({sigmoid(z).sum()}, {z})[0]},
                 {"tanh'(z) = 1 - a²", 1 - t * t, grad({tanh(z).sum()}, {z})[0]}});

  board.step("Many layers: the factors multiply");
  board.say(
      "Ten layers of 30 units, weights of deviation 1/√30 (`gradus lesson initialisation` says why). The "
      "norm of the gradient that arrives at each layer, the last layer being where it starts:");
  const auto of_sigmoid = gradient_norms(sigmoid, 10, 30), of_tanh = gradient_norms(tanh, 10, 30),
             of_relu = gradient_norms(relu, 10, 30);
  rows = {{"layer", "sigmoid", "tanh", "relu"}};
  for (const size_t l : {10, 7, 4, 1})
    rows.push_back(
        {std::to_string(l), small(of_sigmoid[l - 1]), small(of_tanh[l - 1]), small(of_relu[l - 1])});
  board.table(rows);
  const double shrunk = of_sigmoid.front() / of_sigmoid.back();
  board.say(
      "Through nine layers of sigmoids the gradient shrinks to {} of itself; a factor of 1/4 in each would "
      "give {}. The first layers hardly learn: the gradient vanishes.",
      small(shrunk), small(std::pow(0.25, 9)));
  board.claim(shrunk < 1e-3 && of_tanh.front() > 100 * of_sigmoid.front(), "the sigmoid's gradient vanishes");

  board.step("A dead unit");
  board.say(
      "relu has a trap of its own. If z is below 0 for every sample, the unit gives 0, its gradient is 0, "
      "and so its weights never change: it is dead. Take four units on 400 points and push the bias of the "
      "last to -50:");
  const Dataset flower = load_planar_dataset();
  const Tensor x = inputs(flower, kFloat64), y = labels(flower, kFloat64);
  NumpyRandom random = numpy_random(3);
  const Tensor w1 = tensor(random.randn(8), {4, 2}, kFloat64).requires_grad_();
  const Tensor b1 = tensor({0., 0., 0., -50.}, kFloat64).requires_grad_();
  const Tensor w2 = tensor(random.randn(4), {1, 4}, kFloat64).requires_grad_();
  const auto hidden = [&] { return relu(linear(x, w1, b1)); };
  const auto loss = [&] { return binary_cross_entropy_with_logits(linear(hidden(), w2), y); };
  const Tensors g = grad({loss()}, {w1, b1, w2});
  const Tensor active = (hidden() > 0).to(kFloat64).mean({0});
  rows = {{"unit", "samples with z > 0", "dw1", "db1", "dw2"}};
  for (int64_t j = 0; j < 4; j++)
    rows.push_back({std::to_string(j + 1), fmt::format("{:.0f} %", 100 * active.at({j})),
                    fmt::format("{:.5f}, {:.5f}", g[0].at({j, 0}), g[0].at({j, 1})),
                    fmt::format("{:.5f}", g[1].at({j})), fmt::format("{:.5f}", g[2].at({0, j}))});
  board.table(rows);

  const std::vector<double> dead = w1[3].to_vector();
  const double start = loss().item();
  optim::SGD optimizer({w1, b1, w2}, {.lr = 0.1});
  for (int i = 0; i < 200; i++) {
    optimizer.zero_grad();
    loss().backward();
    optimizer.step();
  }
  board.claim(w1[3].to_vector() == dead && b1.at({3}) == -50, "the dead unit has not moved");
  board.claim(loss().item() < start, "the others have learnt");
  board.say(
      "After 200 steps the loss has gone from {} to {}. The weights of unit 4 are what they were, to the "
      "last bit, and no number of steps will change that.",
      number(start), number(loss().item()));

  board.step("What helps");
  board.say(
      "Start with z near 0, where no unit is saturated: small weights, scaled inputs. Take steps that are "
      "not so large that they throw a unit over the edge. Use relu in deep networks, or tanh rather than "
      "sigmoid, in hidden layers. And look: the share of samples with z > 0, unit by unit, tells a dead unit "
      "at once.");

  board.step("To try");
  board.say(
      "Leaky relu is max(z, 0.01 z). What is its slope on the left, and can such a unit die? About how many "
      "steps does a unit with b = -50 need to come back?");
}

const Lesson saturation_lesson(6, "saturation", "Saturation and dead units", saturation);

}  // namespace
}  // namespace gradus::examples
