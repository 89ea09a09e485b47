#include <common/planar.h>
#include <gradus/gradus.h>

#include <cmath>

#include "../board.h"

namespace gradus::examples {
namespace {

double norm(const Tensors& v) {
  double squares = 0;
  for (const Tensor& t : v) squares += square(t).sum().item();
  return std::sqrt(squares);
}

/// The largest eigenvalue of the cost's Hessian by power iteration: v := H v / |H v|, where H v is the
/// gradient of g · v, g the cost's gradient.
double largest_curvature(const std::function<Tensor()>& cost, const Tensors& p) {
  Tensors v;
  for (const Tensor& t : p) v.push_back(ones_like(t));
  double curvature = 0;
  for (int i = 0; i < 200; i++) {
    const Tensors g = grad({cost()}, p, {}, {.create_graph = true});
    Tensors directed;
    for (size_t k = 0; k < p.size(); k++) directed.push_back((g[k] * v[k]).sum());
    const Tensors hv = grad(directed, p);
    const double length = norm(v);
    curvature = 0;
    for (size_t k = 0; k < p.size(); k++) curvature += (hv[k] * v[k]).sum().item() / (length * length);
    const double size = norm(hv);
    for (size_t k = 0; k < p.size(); k++) v[k] = hv[k] / size;
  }
  return curvature;
}

void second_derivatives(Board& board) {
  board.step("The gradient is a function, too");
  board.say(
      "f(x) = x³ has f' = 3x², f'' = 6x, f''' = 6. The backward pass is itself made of ops: multiply, add. "
      "Record them as the forward pass is recorded, and the gradient can be differentiated like anything "
      "else:");
  board.show(
      "Tensor y  = pow(x, 3);\n"
      "Tensor d1 = grad({y},  {x}, {}, {.create_graph = true})[0];\n"
      "Tensor d2 = grad({d1}, {x}, {}, {.create_graph = true})[0];\n"
      "Tensor d3 = grad({d2}, {x})[0];");
  const double at = 2;
  const Tensor x = tensor(at, kFloat64).requires_grad_();
  const Tensor y = pow(x, 3);
  const Tensor d1 = grad({y}, {x}, {}, {.create_graph = true})[0];
  const Tensor d2 = grad({d1}, {x}, {}, {.create_graph = true})[0];
  const Tensor d3 = grad({d2}, {x})[0];
  board.compare({{"f'(2) = 3x²", tensor(3 * at * at, kFloat64), d1.detach()},
                 {"f''(2) = 6x", tensor(6 * at, kFloat64), d2.detach()},
                 {"f'''(2) = 6", tensor(6., kFloat64), d3}});

  board.step("Many inputs: the Hessian");
  board.say(
      "With n inputs there are n² second derivatives. H[i, j] says how the slope along i changes when j "
      "moves. Take f(x, y) = x² y + sin y, at x = 2, y = 1. By hand: ∂²f/∂x² = 2y, ∂²f/∂x∂y = 2x, ∂²f/∂y² = "
      "-sin y.");
  const Tensor point = tensor({2., 1.}, kFloat64);
  const Tensor h = hessian([](const Tensor& p) { return square(p[0]) * p[1] + sin(p[1]); }, point);
  board.matrix("H", h);
  board.compare({{"H", tensor({{2., 4.}, {4., -std::sin(1.)}}, kFloat64), h}});
  board.claim(h.at({0, 1}) == h.at({1, 0}), "the Hessian is symmetric");
  board.say("H is symmetric: it does not matter which of the two is differentiated first.");

  board.step("Curvature says how far a step may go");
  board.say(
      "Take f(x) = λ x²/2. Its gradient is λ x, its curvature λ, and a step of gradient descent gives x - lr "
      "λ x = (1 - lr λ) x. If lr λ is below 2, that factor is between -1 and 1 and x shrinks. Above 2 it "
      "grows, however near the minimum it began. λ = 10, from x = 1:");
  std::vector<std::vector<std::string>> rows = {{"lr", "lr λ", "x after 1", "2", "3", "20 steps"}};
  for (const double lr : {0.05, 0.15, 0.19, 0.21}) {
    Tensor w = tensor(1., kFloat64).requires_grad_();
    std::vector<std::string> row = {number(lr), number(lr * 10)};
    for (int step = 1; step <= 20; step++) {
      const Tensor g = grad({5 * square(w)}, {w})[0];
      NoGrad no_grad;
      w -= lr * g;
      if (step <= 3 || step == 20) row.push_back(fmt::format("{:.4f}", w.item()));
    }
    rows.push_back(row);
    board.claim((std::abs(w.item()) < 1) == (lr * 10 < 2), "steps shrink exactly where lr λ is below 2");
  }
  board.table(rows);

  board.step("The curvature of a real network, without its Hessian");
  board.say(
      "In many dims λ is the largest eigenvalue of H. A network with a million weights has a Hessian of 10¹² "
      "numbers, but H times a vector v needs no H: it is the gradient of g·v, where g is the gradient. "
      "Multiply by H again and again, and v turns towards the steepest direction. The first tutorial's "
      "network, lr = 1.2:");
  const Dataset flower = load_planar_dataset();
  const Tensor points = inputs(flower, kFloat64), labelled = labels(flower, kFloat64);
  PlanarNetwork network(4, "tanh", "sigmoid", kFloat64);
  const auto cost = [&] { return network.cost(points, labelled); };
  rows = {{"after steps", "cost", "λ", "lr λ"}};
  double lr_curvature = 0;
  for (const int64_t steps : {0, 250, 750}) {
    if (steps > 0) train(nn::parameters(network), cost, {.lr = 1.2, .iterations = steps});
    const double curvature = largest_curvature(cost, nn::parameters(network));
    lr_curvature = 1.2 * curvature;
    rows.push_back({std::to_string(steps == 750 ? 1000 : steps), fmt::format("{:.4f}", cost().item()),
                    fmt::format("{:.4f}", curvature), fmt::format("{:.4f}", lr_curvature)});
  }
  board.table(rows);
  board.claim(lr_curvature > 1 && lr_curvature < 2, "the tutorial's learning rate is stable there");
  board.say(
      "The tutorial's 1.2 is a bold learning rate, and still below 2/λ = {:.2f}. Later in the run lr λ does "
      "pass 2, and the cost jumps; section 9 of docs/design.md tells that story.",
      2 * 1.2 / lr_curvature);

  board.step("Is the second derivative right? Check it like the first");
  const auto f = [](const Tensor& t) { return tanh(t); };
  const GradcheckReport report =
      gradcheck(f, {tensor({-1., 0.3, 2.}, kFloat64)}, {.order = 2, .names = {"x"}});
  board.claim(report.ok(), "tanh is right to order 2");
  board.say(
      "gradcheck with .order = 2 nudges x and watches the gradient. Of tanh: |a - n| / (|a| + |n|) = {}, "
      "right. For relu it would see f'' = 0 on both sides, and has nothing to say about the kink between "
      "them.",
      small(report.error()));

  board.step("To try");
  board.say(
      "Newton's method steps to x - f'/f''. Where does it land on λ x²/2, from anywhere, and what has become "
      "of the learning rate? What does it do where f'' is negative?");
}

const Lesson second_derivatives_lesson(10, "second-derivatives",
                                       "Second derivatives, and how far a step may go", second_derivatives);

}  // namespace
}  // namespace gradus::examples
