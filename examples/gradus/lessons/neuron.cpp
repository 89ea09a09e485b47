#include <gradus/gradus.h>

#include <cmath>

#include "../board.h"

namespace gradus::examples {
namespace {

double sigmoid_of(double z) { return 1 / (1 + std::exp(-z)); }

void neuron(Board& board) {
  board.step("What a neuron computes");
  board.say(
      "A neuron has a weight for each input, and a bias. It adds up z = w·x + b and squashes the sum into a "
      "number between 0 and 1, a = σ(z) = 1 / (1 + e⁻ᶻ). We read a as the probability that the answer is "
      "yes.");
  const double x0 = 2, x1 = -1, y = 1, w0 = 0.5, w1 = 1.5, b = -0.25;
  const double z = w0 * x0 + w1 * x1 + b, a = sigmoid_of(z);
  board.table({{"", "", "value"},
               {"x", "the inputs", fmt::format("{}, {}", x0, x1)},
               {"w", "the weights", fmt::format("{}, {}", w0, w1)},
               {"b", "the bias", number(b)},
               {"z", fmt::format("{} · {} + {} · ({}) + ({})", w0, x0, w1, x1, b), number(z)},
               {"a", "σ(z)", number(a)}});
  const double loss = -(y * std::log(a) + (1 - y) * std::log(1 - a));
  board.say(
      "The right answer is y = {}, so a should be near 1. The loss says how wrong it is: L = -(y ln a + (1 - "
      "y) ln(1 - a)), here -ln {} = {}. It would be 0 for a = 1.",
      y, number(a), number(loss));

  board.step("Backward through the loss and through σ");
  const double dl_da = -(y / a - (1 - y) / (1 - a)), da_dz = a * (1 - a), dl_dz = dl_da * da_dz;
  board.say("Two local derivatives, and their product by the chain rule:");
  board.table({{"gradient", "is", "here"},
               {"dL/da", "-(y/a - (1 - y)/(1 - a))", number(dl_da)},
               {"da/dz", "a (1 - a)", number(da_dz)},
               {"dL/dz", "their product", number(dl_dz)},
               {"", "a - y", number(a - y)}});
  board.claim(std::abs(dl_dz - (a - y)) < 1e-15, "dL/dz is a - y");
  board.say(
      "The last two agree, and not by chance. Multiply out: -y (1 - a) + (1 - y) a = a - y. The a (1 - a) of "
      "σ cancels the denominators of the loss. So dL/dz is simply the error: what came out minus what should "
      "have. This line is dZ2 = A2 - Y in the tutorials.");

  board.step("To the weights: each gets its input's share");
  board.say("z = w·x + b, so dz/dw0 = x0, dz/dw1 = x1 and dz/db = 1:");
  const Tensor x = tensor({x0, x1}, kFloat64);
  const Tensor w = tensor({w0, w1}, kFloat64).requires_grad_();
  const Tensor bias = tensor(b, kFloat64).requires_grad_();
  const auto loss_of_neuron = [&] {
    const Tensor out = sigmoid(dot(w, x) + bias);
    return -(y * log(out) + (1 - y) * log(1 - out));
  };
  loss_of_neuron().backward();
  board.compare({{"dL/dw = (a - y) x", tensor({dl_dz * x0, dl_dz * x1}, kFloat64), w.grad()},
                 {"dL/db = a - y", tensor(dl_dz, kFloat64), bias.grad()}});
  board.say(
      "Read it: the error is negative, a is too small. x0 is positive, so w0 must grow, and its gradient is "
      "negative. x1 is negative, so w1 must shrink. An input of 0 would leave its weight alone: it had no "
      "part in the mistake.");

  board.step("Learning: a step against the gradient, again and again");
  Tensor learnt_w = w, learnt_b = bias;
  const double lr = 0.5;
  std::vector<std::vector<std::string>> rows = {{"step", "w0", "w1", "b", "a", "L"}};
  double before = INFINITY;
  for (int step = 0; step <= 20; step++) {
    learnt_w.set_grad({});
    learnt_b.set_grad({});
    const Tensor l = loss_of_neuron();
    l.backward();
    board.claim(l.item() < before, "every step makes the loss smaller");
    before = l.item();
    if (step <= 2 || step % 10 == 0)
      rows.push_back({std::to_string(step), fmt::format("{:.4f}", w.at({0})),
                      fmt::format("{:.4f}", w.at({1})), fmt::format("{:.4f}", bias.item()),
                      fmt::format("{:.4f}", std::exp(-l.item())), fmt::format("{:.4f}", l.item())});
    NoGrad no_grad;
    learnt_w -= lr * w.grad();
    learnt_b -= lr * bias.grad();
  }
  board.say("w := w - {} dL/dw, and b likewise:", lr);
  board.table(rows);

  board.step("Why this loss, and not the square of the error?");
  board.say(
      "With L = (a - y)²/2 the chain rule gives dL/dz = (a - y) a (1 - a): nothing cancels. Let y = 1, and "
      "let the neuron be more and more wrong:");
  rows = {{"z", "a", "dL/dz of the logarithm", "dL/dz of the square"}};
  for (const double wrong : {-1.0, -3.0, -6.0, -12.0}) {
    const auto slope = [&](const auto& f) {
      const Tensor t = tensor(wrong, kFloat64).requires_grad_();
      return grad({f(sigmoid(t))}, {t})[0].item();
    };
    const double of_log = slope([](const Tensor& p) { return -log(p); });
    const double of_square = slope([](const Tensor& p) { return square(p - 1) / 2; });
    rows.push_back({number(wrong), fmt::format("{:.6f}", sigmoid_of(wrong)), fmt::format("{:.6f}", of_log),
                    fmt::format("{:.6f}", of_square)});
    if (wrong == -12)
      board.claim(of_log < -0.99 && of_square > -0.001, "only the square's gradient vanishes");
  }
  board.table(rows);
  board.say(
      "With the square, the neuron that is most wrong learns least. With the logarithm the gradient is the "
      "error itself. The right pair of last activation and loss is half of the art; `gradus lesson tanh` "
      "shows what a wrong pair does.");

  board.step("To try");
  board.say(
      "What changes for y = 0? Derive dL/dw and dL/db for this sample, and let `gradus check` judge them: "
      "the loss is -log(1 - a), and a is sigmoid(sum(w * x) + b).");
}

const Lesson neuron_lesson(2, "neuron", "A neuron: forward, backward, learning", neuron);

}  // namespace
}  // namespace gradus::examples
