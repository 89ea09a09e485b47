#include <common/datasets.h>
#include <common/handmade.h>
#include <common/training.h>
#include <gradus/gradus.h>

#include <cmath>

#include "../board.h"

namespace gradus::examples {
namespace {

/// The second tutorial's initialisation, randn / √(units before) and biases 0, and some of its steps.
Deep trained(const std::vector<int64_t>& sizes, const Tensor& x, const Tensor& y, int steps) {
  NumpyRandom random = numpy_random(1);
  Deep p;
  for (size_t l = 1; l < sizes.size(); l++) {
    const Tensor w = tensor(random.randn(sizes[l] * sizes[l - 1]), {sizes[l], sizes[l - 1]}, kFloat64);
    p.w.push_back((w / std::sqrt(static_cast<double>(sizes[l - 1]))).requires_grad_());
    p.b.push_back(zeros({sizes[l], 1}, kFloat64).requires_grad_());
  }
  NoGrad no_grad;
  for (int i = 0; i < steps; i++) {
    const Deep g = deep_backward(deep_forward(x, p), p, y);
    for (size_t l = 0; l < p.w.size(); l++) {
      p.w[l] -= 0.3 * g.w[l];
      p.b[l] -= 0.3 * g.b[l];
    }
  }
  return p;
}

void deep(Board& board) {
  const std::vector<int64_t> sizes = {2, 5, 4, 3, 1};
  const size_t layers = sizes.size() - 1;
  const Dataset flower = load_planar_dataset();
  const Tensor x = inputs(flower, kFloat64).t(), y = labels(flower, kFloat64).t();
  const Deep p = trained(sizes, x, y, 1000);
  const double m = static_cast<double>(flower.samples);

  board.step("L layers, one line");
  board.say(
      "The second tutorial builds networks of any depth. Every layer does the same, only the last one ends "
      "in σ instead of relu:");
  board.show(
      "Z_l = W_l A_(l-1) + b_l      A_0 = X\n"
      "A_l = relu(Z_l)              A_L = σ(Z_L)");
  board.say(
      "The tutorial's cats have 12288 inputs, and layers of 20, 7, 5 and 1. Here is a small one with the "
      "same parts: 2 inputs, layers of 5, 4, 3 and 1, the 400 points of the flower, after 1000 steps of "
      "training. Forward, Z_l and A_l are kept; the tutorial calls them caches.");
  Tensors a = {x}, z;
  for (size_t l = 1; l <= layers; l++) {
    z.push_back(matmul(p.w[l - 1], a[l - 1]) + p.b[l - 1]);
    a.push_back(l < layers ? relu(z.back()) : sigmoid(z.back()));
  }
  for (size_t l = 1; l <= layers; l++) {
    z[l - 1].retain_grad();
    a[l].retain_grad();
  }
  const Tensor& al = a[layers];
  const Tensor cost = -(y * log(al) + (1 - y) * log(1 - al)).sum() / m;
  cost.backward();
  std::vector<std::vector<std::string>> rows = {{"layer", "W_l", "b_l", "Z_l, A_l", "kept for"}};
  for (size_t l = 1; l <= layers; l++)
    rows.push_back({std::to_string(l), p.w[l - 1].shape().str(), p.b[l - 1].shape().str(),
                    z[l - 1].shape().str(), l < layers ? "relu'(Z_l), dW_(l+1)" : "σ'(Z_L)"});
  board.table(rows);
  board.say("The cost is {:.6f}.", cost.item());

  NoGrad no_grad;
  board.step("The end: dA_L, then dZ_L");
  board.say("The tutorial starts with the loss alone, then goes through σ, whose derivative is s (1 - s):");
  board.show(
      "dA_L = -(Y / A_L - (1 - Y) / (1 - A_L))\n"
      "dZ_L = dA_L * s (1 - s)              s = σ(Z_L)");
  Tensor da = -(y / al - (1 - y) / (1 - al));
  const Tensor dz_end = da * al * (1 - al);
  rows = {{"point", "Y", "A_4", "dA_4", "dZ_4", "A_4 - Y"}};
  for (const int64_t i : {0, 99, 199, 299, 399}) {
    rows.push_back({std::to_string(i)});
    for (const Tensor& t : {y, al, da, dz_end, al - y}) rows.back().push_back(number(t.at({0, i})));
  }
  board.table(rows);
  board.compare({{"dA_4 / m", da / m, al.grad()}, {"dZ_4 / m", dz_end / m, z.back().grad()}});
  board.claim(max(abs(dz_end - (al - y))).item() < 1e-14, "dZ_L is A_L - Y");
  board.say("The last two columns are the same: multiplied out, it is the first tutorial's dZ2 = A2 - Y.");

  board.step("One layer back: three products and a gate");
  board.say("Given dZ_l, the layer's own gradients, and what goes on to the layer before:");
  board.show(
      "dW_l     = 1/m dZ_l A_(l-1)ᵀ           needs A_(l-1)\n"
      "db_l     = 1/m Σ over the columns of dZ_l\n"
      "dA_(l-1) = W_lᵀ dZ_l                   needs W_l\n"
      "dZ_(l-1) = dA_(l-1) * [Z_(l-1) > 0]    needs Z_(l-1)");
  board.say(
      "[Z > 0] is the derivative of relu: 1 where z is positive, 0 elsewhere. relu is a gate, and the "
      "gradient passes exactly where the value passed. Layer 4 and its gate to layer 3:");
  const Tensor da3 = matmul(p.w[3].t(), dz_end);
  const Tensor gate = (z[2] > 0).to(kFloat64);
  board.matrix("dA_3", da3);
  board.matrix("[Z_3 > 0]", gate);
  board.matrix("dZ_3", da3 * gate);
  board.compare({{"dA_3 / m", da3 / m, a[3].grad()}, {"dZ_3 / m", da3 * gate / m, z[2].grad()}});

  board.step("The loop");
  board.say("The same lines for l = L, …, 1. By hand on the left, Gradus on the right:");
  std::vector<Derived> gradients;
  Tensor dz = dz_end;
  for (size_t l = layers; l >= 1; l--) {
    gradients.push_back({fmt::format("dW_{}", l), matmul(dz, a[l - 1].t()) / m, p.w[l - 1].grad()});
    gradients.push_back({fmt::format("db_{}", l), dz.sum({1}, true) / m, p.b[l - 1].grad()});
    if (l > 1) dz = where(z[l - 2] > 0, matmul(p.w[l - 1].t(), dz), 0);
  }
  board.compare(gradients);
  const Deep by_tutorial = deep_backward(deep_forward(x, p), p, y);
  for (size_t l = 0; l < layers; l++)
    board.claim(max(abs(by_tutorial.w[l] - p.w[l].grad())).item() < 1e-14 &&
                    max(abs(by_tutorial.b[l] - p.b[l].grad())).item() < 1e-14,
                "the tutorial's functions give the same");
  board.say(
      "A deeper network is not harder, only longer. What changes with depth is the size of what arrives at "
      "the first layer; `gradus lesson initialisation` is about that.");

  board.step("A trap: dA_L divides by zero");
  board.say(
      "Take a network that is very sure: z = 40. σ(40) is 1 - {}, and in float64 that is 1. Then dA_L = "
      "-(Y/1 - (1 - Y)/0). Two ways to the same gradient:",
      small(std::exp(-40)));
  const Tensor sure = tensor({40.}, kFloat64);
  rows = {{"y", "A_L", "dA_L", "dA_L * A_L (1 - A_L)", "A_L - Y", "by Gradus, of z"}};
  for (const double label : {1., 0.}) {
    const Tensor s = sigmoid(sure), t = tensor({label}, kFloat64);
    const Tensor d = -(t / s - (1 - t) / (1 - s));
    const Tensor leaf = sure.clone().requires_grad_();
    const EnableGrad recording;
    const Tensor by_gradus = grad({binary_cross_entropy_with_logits(leaf, t)}, {leaf})[0];
    const auto text = [](const Tensor& v) { return std::isnan(v.item()) ? "NaN" : number(v.item()); };
    rows.push_back({number(label), text(s), text(d), text(d * s * (1 - s)), text(s - t), text(by_gradus)});
    board.claim(std::isnan((d * s * (1 - s)).item()) && by_gradus.item() == (s - t).item(),
                "dA_L is of no use for a sure network, and A_L - Y is");
  }
  board.table(rows);
  board.say(
      "0/0 and infinity times 0 are NaN, and one NaN in the mean is a NaN in every weight. Cancel on paper "
      "what cancels, and compute A_L - Y. In Gradus the loss takes z itself: "
      "binary_cross_entropy_with_logits(z, y).");

  board.step("To try");
  board.say(
      "relu's gate asks whether Z_l > 0. Would A_l > 0 do as well, so that Z_l need not be kept? And for σ, "
      "and for tanh: which of Z and A does each derivative need?");
}

const Lesson deep_lesson(4, "deep", "The second tutorial's backward pass through L layers", deep);

}  // namespace
}  // namespace gradus::examples
