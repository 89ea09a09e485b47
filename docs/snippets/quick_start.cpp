// The code of docs/quick-start.md.
#include <common/datasets.h>
#include <gradus/gradus.h>

using namespace gradus;

namespace {

void tensors() {
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
}

void gradients() {
  const Tensor x = tensor({1., 2.});
  Tensor w = tensor({3., -1.}).requires_grad_();

  const Tensor y = square(dot(w, x) - 4);  // (3 · 1 - 1 · 2 - 4)² = 9
  y.backward();                            // dy/dw = 2 (w·x - 4) x = -6 x
  fmt::print("y = {}, dy/dw = {}\n", y.item(), w.grad());
}

void training() {
  manual_seed(1);
  const examples::Dataset moons = examples::make_moons(200, 0.15);
  const Tensor x = tensor(moons.x, {200, 2}), y = tensor(moons.y, {200, 1});

  nn::Sequential model{nn::Linear(2, 16), nn::ReLU(), nn::Linear(16, 1)};
  optim::Adam optimizer(nn::parameters(model), {.lr = 0.02});
  for (int step = 0; step < 300; step++) {
    optimizer.zero_grad();
    const Tensor loss = binary_cross_entropy_with_logits(model(x), y);
    loss.backward();
    optimizer.step();
    if (step % 100 == 0) fmt::print("step {:3}   loss {:.3f}\n", step, loss.item());
  }

  NoGrad no_grad;  // from here on nothing is recorded
  const Tensor right = (model(x) > 0) == (y > 0.5);
  fmt::print("{:.0f} % of the points are on the right side\n", 100 * right.to(kFloat32).mean().item());

  nn::save("moons.safetensors", nn::state_dict(model));
  nn::Sequential restored{nn::Linear(2, 16), nn::ReLU(), nn::Linear(16, 1)};
  nn::load_state_dict(restored, nn::load("moons.safetensors"));
  fmt::print("restored: {}\n", max(abs(restored(x) - model(x))).item() == 0 ? "the same model" : "another");
}

void replay() {
  manual_seed(1);
  const examples::Dataset moons = examples::make_moons(200, 0.15);
  const Tensor x = tensor(moons.x, {200, 2}), y = tensor(moons.y, {200, 1});
  nn::Sequential model{nn::Linear(2, 16), nn::ReLU(), nn::Linear(16, 1)};
  optim::Adam optimizer(nn::parameters(model), {.lr = 0.02});

  Tensor loss;
  Replay step = record([&] {  // runs it three times: steps 0, 1 and 2
    optimizer.zero_grad();
    loss = binary_cross_entropy_with_logits(model(x), y);
    loss.backward();
    optimizer.step();
  });
  for (int i = 3; i <= 200; i++) step();
  fmt::print("step 200, replayed   loss {:.3f}\n", loss.item());
}

}  // namespace

int main() {
  tensors();
  gradients();
  training();
  replay();
}
