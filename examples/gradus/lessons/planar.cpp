#include <common/planar.h>
#include <common/tanh_mistake.h>
#include <gradus/gradus.h>

#include "../board.h"

namespace gradus::examples {
namespace {

/// The tutorial's network after 1000 steps, samples and biases in columns.
Shallow trained(const Dataset& flower) {
  PlanarNetwork network(4, "tanh", "sigmoid", kFloat64);
  const Tensor x = inputs(flower, kFloat64), y = labels(flower, kFloat64);
  train(nn::parameters(network), [&] { return network.cost(x, y); }, {.lr = 1.2, .iterations = 1000});
  const Tensors p = nn::parameters(network);
  const auto copy = [](const Tensor& t) { return t.detach().clone().requires_grad_(); };
  return {copy(p[0]), copy(p[1].reshape({-1, 1})), copy(p[2]), copy(p[3].reshape({-1, 1}))};
}

void planar(Board& board) {
  const Dataset flower = load_planar_dataset();
  const Tensor x = inputs(flower, kFloat64).t(), y = labels(flower, kFloat64).t();
  const Shallow p = trained(flower);
  const Tensor &w1 = p.w1, &b1 = p.b1, &w2 = p.w2, &b2 = p.b2;
  const double m = static_cast<double>(flower.samples);

  board.step("The network, and where we stand");
  board.say(
      "The first tutorial: 400 points of a flower, 2 coordinates each; 4 hidden units with tanh; 1 output "
      "with σ. Samples are columns. The weights are those after 1000 steps of training.");
  board.show(
      "Z1 = W1 X + b1      A1 = tanh(Z1)\n"
      "Z2 = W2 A1 + b2     A2 = σ(Z2)\n"
      "J  = -1/m Σ (Y ln A2 + (1 - Y) ln(1 - A2))");
  Tensor z1 = matmul(w1, x) + b1;
  Tensor a1 = tanh(z1);
  Tensor z2 = matmul(w2, a1) + b2;
  const Tensor a2 = sigmoid(z2);
  const Tensor cost = -(y * log(a2) + (1 - y) * log(1 - a2)).sum() / m;
  // Gradus leaves the gradients of leaves; z1, a1 and z2 are asked to keep theirs.
  for (Tensor* t : {&z1, &a1, &z2}) t->retain_grad();
  cost.backward();
  board.table({{"", "shape", ""},
               {"X, Y", fmt::format("{}, {}", x.shape(), y.shape()), "the points and their colours"},
               {"W1, b1", fmt::format("{}, {}", w1.shape(), b1.shape()), "a row for each hidden unit"},
               {"Z1, A1", z1.shape().str(), "a column for each point"},
               {"W2, b2", fmt::format("{}, {}", w2.shape(), b2.shape()), "one output"},
               {"Z2, A2", z2.shape().str(), "a number for each point"}});
  board.say(
      "The cost is {:.6f}. Now backward, a line at a time. One thing to know first: the tutorial's dZ is the "
      "gradient of one sample's loss. The cost is their mean, and its 1/m comes in with dW and db. Gradus "
      "differentiates J itself, so its gradient of Z2 is the tutorial's dZ2 / m.",
      cost.item());

  NoGrad no_grad;
  board.step("dZ2 = A2 - Y");
  board.say(
      "Loss and σ together. The loss gives dA2 = (A2 - Y) / (A2 (1 - A2)). σ gives dA2/dZ2 = A2 (1 - A2). In "
      "the product the A2 (1 - A2) cancels, and the error is left.");
  const Tensor dz2 = a2 - y;
  std::vector<std::vector<std::string>> rows = {{"point", "A2", "Y", "dZ2"}};
  for (const int64_t i : {0, 99, 199, 299, 399})
    rows.push_back({std::to_string(i), fmt::format("{:.6f}", a2.at({0, i})), number(y.at({0, i})),
                    fmt::format("{:.6f}", dz2.at({0, i}))});
  board.table(rows);
  board.compare({{"dZ2 / m", dz2 / m, z2.grad()}});

  board.step("dW2 = 1/m dZ2 A1ᵀ");
  board.say(
      "Z2 = W2 A1 + b2, for sample i: z2 = Σ over the units j of W2[0, j] A1[j, i]. So W2[0, j] acts on "
      "every sample i, by the amount A1[j, i]. Many ways from one weight to J: add them up, Σ over i of "
      "dZ2[0, i] A1[j, i].");
  board.say(
      "That sum is a product of matrices. The shapes say how: dW2 must be [1, 4] as W2 is. dZ2 is [1, 400], "
      "A1 is [4, 400]; only dZ2 A1ᵀ, [1, 400] times [400, 4], fits. And it sums over the 400 samples, as it "
      "must.");
  const Tensor dw2 = matmul(dz2, a1.t()) / m;
  board.matrix("dW2", dw2);
  board.compare({{"dW2", dw2, w2.grad()}});

  board.step("db2 = 1/m Σ over the columns of dZ2");
  board.say(
      "b2 is added to every sample: dZ2/db2 = 1. One number, copied 400 times, so its gradient is the sum of "
      "400 (see `gradus lesson broadcasting`). keepdims=True keeps the shape [1, 1].");
  const Tensor db2 = dz2.sum({1}, true) / m;
  board.compare({{"db2", db2, b2.grad()}});

  board.step("dZ1 = W2ᵀ dZ2 * (1 - A1²)");
  board.say(
      "Now through the layer. First to A1: unit j reaches z2 by W2[0, j] alone, so dA1[j, i] = W2[0, j] "
      "dZ2[0, i]. As matrices W2ᵀ dZ2: [4, 1] times [1, 400] is [4, 400], as A1 is. The weights that carried "
      "the values forward carry the gradients backward, transposed.");
  board.say(
      "Then through tanh, whose derivative is 1 - tanh², element by element. It is read off the output A1, "
      "which is why A1 is kept from the forward pass.");
  const Tensor da1 = matmul(w2.t(), dz2);
  const Tensor dz1 = da1 * (1 - square(a1));
  board.matrix("W2ᵀ dZ2", da1);
  board.matrix("1 - A1²", 1 - square(a1));
  board.matrix("dZ1", dz1);
  board.compare({{"dA1 / m", da1 / m, a1.grad()}, {"dZ1 / m", dz1 / m, z1.grad()}});
  board.say("Where 1 - A1² is nearly 0, the unit is saturated on that sample, and learns nothing from it.");

  board.step("dW1 = 1/m dZ1 Xᵀ and db1 = 1/m Σ over the columns of dZ1");
  board.say(
      "The same two lines as before, one layer down: what came in was A1, and now it is X. [4, 400] times "
      "[400, 2] is [4, 2], as W1 is.");
  const Tensor dw1 = matmul(dz1, x.t()) / m;
  const Tensor db1 = dz1.sum({1}, true) / m;
  board.matrix("dW1", dw1);
  board.matrix("db1", db1);
  board.compare({{"dW1", dw1, w1.grad()}, {"db1", db1, b1.grad()}});

  board.step("All of it");
  const Shallow by_tutorial = backward_propagation(p, forward_propagation(x, p), x, y);
  board.say("The tutorial's six lines against Gradus' one, cost.backward():");
  board.compare({{"dW2", by_tutorial.w2, w2.grad()},
                 {"db2", by_tutorial.b2, b2.grad()},
                 {"dW1", by_tutorial.w1, w1.grad()},
                 {"db1", by_tutorial.b1, b1.grad()}});
  board.say(
      "The differences are rounding. And a third opinion, that knows no calculus at all, from differences:");
  const GradcheckReport report = check_handmade(with_sigmoid, Output::Sigmoid, p, x, y);
  board.claim(report.ok(), "gradcheck accepts the tutorial's gradients");
  board.say("gradcheck: |a - n| / (|a| + |n|) = {} over all {} numbers: right.", small(report.error()),
            w1.numel() + b1.numel() + w2.numel() + b2.numel());

  board.step("To try");
  board.say(
      "docs/gradus.md has this network's output layer as a file for `gradus check`, with three mistakes in "
      "it. Find them by reading; then run the check, and see whether it names the same three.");
}

const Lesson planar_lesson(3, "planar", "The first tutorial's backward pass, line by line", planar);

}  // namespace
}  // namespace gradus::examples
