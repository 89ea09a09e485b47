// The code of docs/tutorial-1.md: the first tutorial, section by section.
#include <common/datasets.h>
#include <gradus/gradus.h>

using namespace gradus;
using namespace gradus::examples;

namespace {

// ---- 4. parameters

struct Parameters {
  Tensor w1, b1, w2, b2;
};

Parameters initialize_parameters(int64_t n_x, int64_t n_h, int64_t n_y) {
  NumpyRandom random = numpy_random(2);
  const auto weight = [&](int64_t out, int64_t in) {
    return (tensor(random.randn(out * in), {out, in}, kFloat64) * 0.01).requires_grad_();
  };
  const auto bias = [](int64_t out) { return zeros({out}, kFloat64).requires_grad_(); };
  Parameters p;
  p.w1 = weight(n_h, n_x);
  p.b1 = bias(n_h);
  p.w2 = weight(n_y, n_h);
  p.b2 = bias(n_y);
  return p;
}

// ---- 5. forward propagation

struct Activations {
  Tensor a1, a2;
};

Activations forward_propagation(const Tensor& x, const Parameters& p) {
  const Tensor z1 = linear(x, p.w1, p.b1);  // [m, n_h]
  const Tensor a1 = tanh(z1);
  const Tensor z2 = linear(a1, p.w2, p.b2);  // [m, 1]
  return {a1, sigmoid(z2)};
}

// ---- 6. cost

Tensor compute_cost(const Tensor& a2, const Tensor& y) {
  return -(y * log(a2) + (1 - y) * log(1 - a2)).mean();
}

// ---- 7. backward propagation

/// By hand: what the chain rule gives.
Parameters backward_propagation(const Parameters& p, const Activations& a, const Tensor& x, const Tensor& y) {
  NoGrad no_grad;
  const double m = static_cast<double>(x.size(0));
  const Tensor dz2 = (a.a2 - y) / m;
  const Tensor dw2 = matmul(dz2.t(), a.a1);
  const Tensor db2 = dz2.sum({0});
  const Tensor dz1 = matmul(dz2, p.w2) * (1 - square(a.a1));
  const Tensor dw1 = matmul(dz1.t(), x);
  const Tensor db1 = dz1.sum({0});
  return {dw1, db1, dw2, db2};
}

void compare(const Tensor& x, const Tensor& y) {
  const Parameters p = initialize_parameters(2, 4, 1);
  const Activations a = forward_propagation(x, p);
  compute_cost(a.a2, y).backward();  // by Gradus: one line

  const Parameters d = backward_propagation(p, a, x, y);
  const auto largest_difference = [](const Tensor& by_hand, const Tensor& leaf) {
    return max(abs(by_hand - leaf.grad())).item();
  };
  const double differences[] = {largest_difference(d.w1, p.w1), largest_difference(d.b1, p.b1),
                                largest_difference(d.w2, p.w2), largest_difference(d.b2, p.b2)};
  for (const double difference : differences)
    if (!(difference < 1e-15)) fail("the two gradients differ by {}", difference);
  fmt::print("dW1 = {}\n", p.w1.grad());
  fmt::print("dW2 = {}\n", p.w2.grad());
  fmt::print("by hand the same, to 1e-15\n");
}

// ---- 8. update

void update_parameters(Parameters& p, double learning_rate) {
  NoGrad no_grad;
  for (Tensor* t : {&p.w1, &p.b1, &p.w2, &p.b2}) {
    *t -= learning_rate * t->grad();
    t->set_grad({});  // the next backward() starts from nothing
  }
}

// ---- 9. training

Parameters nn_model(const Tensor& x, const Tensor& y, int64_t n_h, int iterations) {
  Parameters p = initialize_parameters(2, n_h, 1);
  for (int i = 0; i < iterations; i++) {
    const Tensor cost = compute_cost(forward_propagation(x, p).a2, y);
    if (i % 1000 == 0) fmt::print("cost after iteration {:4}: {:.6f}\n", i, cost.item());
    cost.backward();
    update_parameters(p, 1.2);
  }
  return p;
}

// ---- 10. prediction

double accuracy(const Tensor& a2, const Tensor& y) {
  return ((a2 > 0.5) == (y > 0.5)).to(kFloat64).mean().item();
}

// ---- 11. the same, as one writes it

void with_modules(const Tensor& x, const Tensor& y) {
  manual_seed(1);
  nn::Sequential model{nn::Linear(2, 4, true, kFloat64), nn::Tanh(), nn::Linear(4, 1, true, kFloat64)};
  optim::SGD optimizer(nn::parameters(model), {.lr = 1.2});
  for (int i = 0; i < 5000; i++) {
    optimizer.zero_grad();
    binary_cross_entropy_with_logits(model(x), y).backward();
    optimizer.step();
  }
  fmt::print("with modules: {:.0f} % right\n", 100 * accuracy(sigmoid(model(x)), y));
}

// ---- 12. further

void deeper(const Tensor& x, const Tensor& y) {
  manual_seed(1);
  nn::Sequential model{nn::Linear(2, 16, true, kFloat64), nn::ReLU(), nn::Linear(16, 16, true, kFloat64),
                       nn::ReLU(), nn::Linear(16, 1, true, kFloat64)};
  optim::Adam optimizer(nn::parameters(model), {.lr = 0.01, .weight_decay = 1e-4});
  for (int i = 0; i < 1000; i++) {
    optimizer.zero_grad();
    binary_cross_entropy_with_logits(model(x), y).backward();
    optimizer.step();
  }
  fmt::print("deeper, by Adam: {:.0f} % right\n", 100 * accuracy(sigmoid(model(x)), y));
}

}  // namespace

int main() {
  // ---- 3. data
  const Dataset flower = load_planar_dataset();
  const Tensor x = tensor(flower.x, {400, 2}, kFloat64);
  const Tensor y = tensor(flower.y, {400, 1}, kFloat64);
  fmt::print("x {}, y {}, {} points of class 1\n", x.shape(), y.shape(), y.sum().item());

  compare(x, y);
  const Parameters p = nn_model(x, y, 4, 7000);
  fmt::print("{:.0f} % right\n", 100 * accuracy(forward_propagation(x, p).a2, y));
  with_modules(x, y);
  deeper(x, y);
}
