#include <gradus/gradus.h>

#include <cstdio>

using namespace gradus;

int main() {
  nn::Linear model{2, 1};
  optim::SGD optimizer{nn::parameters(model), {.lr = 0.1}};
  const Tensor x = tensor({{0.0, 1.0}, {1.0, 1.0}, {2.0, -1.0}});
  const Tensor y = tensor({{1.0}, {2.0}, {-1.0}});
  const auto loss = [&] { return square(model(x) - y).mean(); };

  const Tensor before = loss();
  before.backward();
  optimizer.step();
  const Tensor after = loss();
  std::printf("loss %g -> %g\n", before.item<double>(), after.item<double>());
  return after.item<double>() < before.item<double>() ? 0 : 1;
}
