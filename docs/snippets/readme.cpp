#include <gradus/gradus.h>
using namespace gradus;

int main() {
  manual_seed(1);
  nn::Sequential model{nn::Linear(2, 4, true, kFloat64), nn::Tanh(), nn::Linear(4, 1, true, kFloat64)};
  optim::SGD optimizer(nn::parameters(model), {.lr = 1.2});
  const Tensor x = tensor({{0., 0.}, {0., 1.}, {1., 0.}, {1., 1.}}, kFloat64);
  const Tensor y = tensor({{0.}, {1.}, {1.}, {0.}}, kFloat64);  // exclusive or
  const auto loss = [&] { return binary_cross_entropy_with_logits(model(x), y); };

  fmt::print("{}\n", gradcheck(loss, nn::named_parameters(model)));
  for (int step = 0; step <= 300; step++) {
    optimizer.zero_grad();
    const Tensor l = loss();
    l.backward();
    optimizer.step();
    if (step % 100 == 0) fmt::print("step {:3}   loss {:.6f}\n", step, l.item());
  }
  fmt::print("{}\n", sigmoid(model(x)));
}
