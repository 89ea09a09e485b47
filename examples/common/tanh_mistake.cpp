#include <common/datasets.h>
#include <common/tanh_mistake.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/matmul.h>

#include <cmath>

namespace gradus::examples {

TanhMistake::TanhMistake() {
  const Dataset flower = load_planar_dataset();
  x = tensor(flower.x, {flower.samples, 2}, kFloat64).t();
  y = tensor(flower.y, {1, flower.samples}, kFloat64);
  NumpyRandom random = numpy_random(2);
  const Tensor w1 = tensor(random.randn(8), {4, 2}, kFloat64), w2 = tensor(random.randn(4), {1, 4}, kFloat64);
  const Tensor b1 = zeros({4, 1}, kFloat64), b2 = zeros({1, 1}, kFloat64);
  start = {0.01 * w1, b1, 0.01 * w2, b2};
  elsewhere = {w1, b1, 0.2 * w2, b2 + 1};
}

Tensor as_printed(const Tensor& z2, const Tensor& y) {
  const Tensor a2 = tanh(z2);
  return -(y * log(a2) + (1 - y) * log(1 - a2)).mean();
}
Tensor with_sigmoid(const Tensor& z2, const Tensor& y) {
  const Tensor a2 = sigmoid(z2);
  return -(y * log(a2) + (1 - y) * log(1 - a2)).mean();
}
Tensor with_rescaled_labels(const Tensor& z2, const Tensor& t) {
  const Tensor a2 = tanh(z2);
  return -((1 + t) / 2 * log((1 + a2) / 2) + (1 - t) / 2 * log((1 - a2) / 2)).mean();
}
Tensor log_cosh(const Tensor& z2, const Tensor& y) {
  return (softplus(2 * z2) - z2 - std::log(2) - y * z2).mean();
}

Tensor output_z(const Shallow& p, const Tensor& x) {
  return matmul(p.w2, tanh(matmul(p.w1, x) + p.b1)) + p.b2;
}

GradcheckReport check_handmade(OutputCost cost, Output output, const Shallow& p, const Tensor& x,
                               const Tensor& y) {
  const Shallow g = backward_propagation(p, forward_propagation(x, p, output), x, y);
  const auto f = [&](const Tensors& q) { return cost(output_z({q[0], q[1], q[2], q[3]}, x), y); };
  return check_gradient(f, {p.w1, p.b1, p.w2, p.b2}, {g.w1, g.b1, g.w2, g.b2},
                        {.names = {"W1", "b1", "W2", "b2"}});
}

std::vector<Repair> repairs(const Tensor& y) {
  return {{"End in a sigmoid", with_sigmoid, Output::Sigmoid, y},
          {"Keep tanh; labels ±1, probability (1 + A2) / 2", with_rescaled_labels, Output::Tanh, 2 * y - 1},
          {"Keep both; loss mean(ln cosh Z2 - Y Z2)", log_cosh, Output::Tanh, y}};
}

}  // namespace gradus::examples
