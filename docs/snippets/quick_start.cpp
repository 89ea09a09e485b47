// The code of docs/quick-start.md, in its order: one program.
#include <gradus/gradus.h>

using namespace gradus;

int main() {
  const Tensor a = tensor({{1., 2., 3.}, {4., 5., 6.}});  // [2, 3], float32
  const Tensor row = arange(3);                           // [0, 1, 2], int64
  fmt::print("{}\n", a * 10 + row);                       // the row is added to both rows
  fmt::print("{}\n", matmul(a, a.t()));
  fmt::print("{} {} {}\n", a.shape(), a.sum({0}), a.slice(1, 0, 2));

  try {
    matmul(a, a);
  } catch (const ShapeError& error) {
    fmt::print("{}\n", error.what());
  }

  const Tensor u = tensor({1., 2.});
  Tensor w = tensor({3., -1.}).requires_grad_();

  const Tensor f = square(dot(w, u) - 4);  // (3 · 1 - 1 · 2 - 4)² = 9
  f.backward();                            // df/dw = 2 (w·u - 4) u = -6 u
  fmt::print("f = {}, df/dw = {}\n", f.item(), w.grad());

  manual_seed(1);
  const Tensor t = linspace(0, 3.1416, 100);  // two half circles that reach into one another
  const Tensor moons = cat({stack({cos(t), sin(t)}, 1), stack({1 - cos(t), 0.5 - sin(t)}, 1)});
  const Tensor x = moons + 0.15 * randn({200, 2}), y = cat({zeros({100, 1}), ones({100, 1})});

  nn::Sequential model{nn::Linear(2, 16), nn::ReLU(), nn::Linear(16, 1)};
  optim::Adam optimizer(nn::parameters(model), {.lr = 0.02});
  for (int step = 0; step < 300; step++) {
    optimizer.zero_grad();
    const Tensor loss = binary_cross_entropy_with_logits(model(x), y);
    loss.backward();
    optimizer.step();
    if (step % 100 == 0) fmt::print("step {:3}   loss {:.3f}\n", step, loss.item());
  }

  {
    NoGrad no_grad;  // while it lives, nothing is recorded
    const Tensor right = (model(x) > 0) == (y > 0.5);
    fmt::print("{:.0f} % of the points are on the right side\n", 100 * right.to(kFloat32).mean().item());
  }

  nn::save("moons.safetensors", nn::state_dict(model));
  nn::Sequential restored{nn::Linear(2, 16), nn::ReLU(), nn::Linear(16, 1)};
  nn::load_state_dict(restored, nn::load("moons.safetensors"));
  fmt::print("restored: {}\n", max(abs(restored(x) - model(x))).item() == 0 ? "the same model" : "another");

  Tensor loss;
  Replay step = record([&] {  // runs it three times
    optimizer.zero_grad();
    loss = binary_cross_entropy_with_logits(model(x), y);
    loss.backward();
    optimizer.step();
  });
  for (int i = 3; i < 100; i++) step();
  fmt::print("100 more steps, replayed   loss {:.3f}\n", loss.item());
}
