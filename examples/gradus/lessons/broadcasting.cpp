#include <gradus/gradus.h>

#include "../board.h"

namespace gradus::examples {
namespace {

void broadcasting(Board& board) {
  board.step("One bias, many samples");
  board.say(
      "A layer computes z = x wᵀ + b. For m samples the product has m rows, but there is only one b. So b is "
      "copied to every row before it is added. That is broadcasting.");
  const Tensor product = tensor({{1., 2.}, {3., 4.}, {5., 6.}}, kFloat64);
  const Tensor b = tensor({10., 20.}, kFloat64).requires_grad_();
  const Tensor z = product + b;
  std::string picture =
      fmt::format("x wᵀ {}        b {}, copied     z {}\n", product.shape(), b.shape(), z.shape());
  for (int64_t i = 0; i < 3; i++)
    picture += fmt::format("{:>3} {:>3}     {}     {:>3} {:>3}     {}     {:>3} {:>3}\n", product.at({i, 0}),
                           product.at({i, 1}), i == 1 ? '+' : ' ', b.at({0}), b.at({1}), i == 1 ? '=' : ' ',
                           z.at({i, 0}), z.at({i, 1}));
  board.show(picture);

  board.step("Every copy has a gradient; b has their sum");
  board.say(
      "Make the copies by hand, as a matrix B [3, 2], and take some loss, L = Σ z²/2, for which dL/dz = z. "
      "Each element of B is used once, so dL/dB = z, as large as z. But the three rows of B are one b. A "
      "change of b changes all of them, L follows along three ways, and where ways meet, gradients add.");
  const Tensor copies = b.detach().expand({3, 2}).clone().requires_grad_();
  (square(product + copies) / 2).sum().backward();
  (square(z) / 2).sum().backward();
  board.matrix("dL/dB", copies.grad());
  board.matrix("Σ of its rows", copies.grad().sum({0}));
  board.compare({{"dL/db", copies.grad().sum({0}), b.grad()}});
  board.say(
      "A gradient always has the shape of what it belongs to. If b is [2], then dL/db is [2], and what "
      "stands in between is the sum over the dim along which b was copied.");

  board.step("The tutorials' line for it");
  board.say(
      "The tutorials keep samples in columns, so b is [n, 1] and is copied along axis 1. Their line is db = "
      "1/m np.sum(dZ, axis=1, keepdims=True): the sum undoes the copying, keepdims keeps the shape [n, 1], "
      "and 1/m comes from the cost, which is a mean over the samples.");
  board.say("What if the sum is forgotten? Claim dZ itself as the gradient of b, and let it be checked:");
  const auto f = [&](const Tensor& bias) { return (square(product + bias) / 2).sum(); };
  const GradcheckReport report = check_gradient(f, {b}, {z.detach()}, {.names = {"b"}});
  board.claim(!report && report.diagnosis().kind == Finding::MissingSum, "the missing sum is found");
  board.say("gradcheck: b: {}", report.diagnosis().text);

  board.step("It is a rule: copying forward is summing backward");
  board.say("And the other way round. What is summed forward is copied backward:");
  const Tensor x = tensor({1., 2., 3.}, kFloat64).requires_grad_();
  const Tensor s = tensor(2., kFloat64).requires_grad_();
  const Tensor sum_gradient = grad({x.sum()}, {x})[0], mean_gradient = grad({x.mean()}, {x})[0];
  const Tensor scale_gradient = grad({(s * x).sum()}, {s})[0];
  board.table({{"forward", "backward", "for x = [1, 2, 3]"},
               {"y = Σ x", "dy/dx = 1 for each, copied",
                fmt::format("{}", fmt::join(sum_gradient.to_vector(), ", "))},
               {"y = mean x", "dy/dx = 1/3 for each",
                fmt::format("{:.4f}", fmt::join(mean_gradient.to_vector(), ", "))},
               {"y = Σ s x", "dy/ds = Σ x, s was copied", number(scale_gradient.item())}});
  board.compare({{"d(Σ x)/dx", ones({3}, kFloat64), sum_gradient},
                 {"d(mean x)/dx", full({3}, 1. / 3, kFloat64), mean_gradient},
                 {"d(Σ s x)/ds", tensor(6., kFloat64), scale_gradient}});

  board.step("The trap: broadcasting that nobody asked for");
  board.say(
      "Broadcasting is silent. Let a network give a [3, 1] and let the labels y be [3]. The difference a - y "
      "should be three numbers. But [3, 1] and [3] broadcast to [3, 3]: every output is compared with every "
      "label.");
  const Tensor a = tensor({{0.9}, {0.1}, {0.8}}, kFloat64), y = tensor({1., 0., 1.}, kFloat64);
  const Tensor wrong = square(a - y), right = square(a - y.reshape({3, 1}));
  board.matrix("a - y", a - y);
  board.table({{"", "shape", "mean of the squares"},
               {"(a - y)²", wrong.shape().str(), number(wrong.mean().item())},
               {"(a - y.reshape({3, 1}))²", right.shape().str(), number(right.mean().item())}});
  board.claim(wrong.shape() == Shape{3, 3} && wrong.mean().item() > 5 * right.mean().item(),
              "the broadcast loss is far off");
  board.say(
      "Nothing fails, the network just does not learn. Print shapes. Where Gradus knows better it refuses: "
      "binary_cross_entropy of these two is an error.");
  std::string refusal;
  try {
    binary_cross_entropy(a, y);
  } catch (const ShapeError& e) {
    refusal = e.what();
  }
  board.claim(!refusal.empty(), "binary_cross_entropy refuses");
  board.show(refusal);

  board.step("To try");
  board.say(
      "Many networks scale and shift: y = γ x + β with x [m, n], γ [n], β [n]. Given dL/dy, what are dL/dγ "
      "and dL/dβ, and what are their shapes? Let `gradus check` judge them with a function such as "
      "sum((gamma * x + beta)^2).");
}

const Lesson broadcasting_lesson(5, "broadcasting", "Broadcasting, and why a bias gradient is a sum",
                                 broadcasting);

}  // namespace
}  // namespace gradus::examples
