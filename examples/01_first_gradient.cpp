// A first gradient: one neuron, one sample; derived by hand and by Gradus, side by side.
#include <gradus/gradus.h>

#include <cmath>

using namespace gradus;

int main() {
  // The neuron computes z = w·x + b and a = σ(z). The loss says how far a is from the wanted y = 1.
  const Tensor x = tensor({2., -1.}, kFloat64);
  const double y = 1;
  Tensor w = tensor({0.5, 1.5}, kFloat64).requires_grad_();
  Tensor b = tensor(-0.25, kFloat64).requires_grad_();

  const auto loss_of_neuron = [&] {
    const Tensor a = sigmoid(dot(w, x) + b);
    return -(y * log(a) + (1 - y) * log(1 - a));
  };
  const Tensor loss = loss_of_neuron();
  fmt::print("x = [2, -1], y = 1;   w = [0.5, 1.5], b = -0.25\n");
  fmt::print("z = w·x + b,   a = σ(z),   L = -(y ln a + (1 - y) ln(1 - a)) = {:.6f}\n\n", loss.item());

  // By hand: the chain rule, from the loss back to the parameters, one factor for each step of the forward
  // pass.
  const double z = 0.5 * 2 + 1.5 * -1 - 0.25;
  const double a = 1 / (1 + std::exp(-z));
  const double dl_da = -(y / a - (1 - y) / (1 - a));
  const double da_dz = a * (1 - a);
  const double dl_dz = dl_da * da_dz;
  fmt::print("By hand:  dL/da = {:.6f}   da/dz = {:.6f}   dL/dz = their product = {:.6f} = a - y\n\n", dl_da,
             da_dz, dl_dz);
  const double by_hand[] = {dl_dz * 2, dl_dz * -1, dl_dz};

  // By Gradus: the forward pass has recorded every step, so one call walks all of them back.
  loss.backward();
  const double by_gradus[] = {w.grad().at({0}), w.grad().at({1}), b.grad().item()};

  const char* names[] = {"dL/dw0 = dL/dz · x0", "dL/dw1 = dL/dz · x1", "dL/db  = dL/dz"};
  fmt::print("{:<22}{:>18}{:>18}\n", "", "by hand", "by Gradus");
  bool right = true;
  for (int i = 0; i < 3; i++) {
    fmt::print("{:<22}{:>18.12f}{:>18.12f}\n", names[i], by_hand[i], by_gradus[i]);
    right = right && std::abs(by_hand[i] - by_gradus[i]) < 1e-15;
  }

  // What a gradient is for: a step against it makes the loss smaller.
  {
    NoGrad no_grad;
    w -= 0.1 * w.grad();
    b -= 0.1 * b.grad();
  }
  const double after = loss_of_neuron().item();
  fmt::print("\nOne step of gradient descent, lr 0.1: L = {:.6f} -> {:.6f}\n", loss.item(), after);
  return right && after < loss.item() ? 0 : 1;
}
