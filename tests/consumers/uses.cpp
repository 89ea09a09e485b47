#include "uses.h"

#include <cmath>
#include <cstdio>
#include <thread>

using namespace gradus;

namespace {

/// dx = g / (1 + |x|)²
struct Softsign {
  static constexpr auto name = "softsign";
  template <class T>
  constexpr T value(T x) const {
    return x / (1 + abs(x));
  }
  template <class T>
  constexpr T vjp(In<0>, T x, T, T g) const {
    return g / ((1 + abs(x)) * (1 + abs(x)));
  }
};

/// y = a b, by an op with a rule for each gradient.
struct Product {
  static constexpr auto name = "product";
  static constexpr Needs needs[] = {in(1), in(0)};
  Tensor value(const Tensor& a, const Tensor& b) const { return a * b; }
  Tensor vjp(In<0>, const Back& b) const { return b.g() * b.in(1); }
  Tensor vjp(In<1>, const Back& b) const { return b.g() * b.in(0); }
};

/// y = x scale, in a model of the consumer's own.
struct Scale {
  nn::Param scale{ones({1}, kFloat64)};
  Tensor operator()(const Tensor& x) const { return x * scale; }
  void visit(nn::Visitor& v) { v("scale", scale); }
};

int failed = 0;

void check(bool right, const char* what) {
  if (right) return;
  std::printf("failed: %s\n", what);
  failed++;
}

/// Whether f throws an E, and nothing that merely is its base.
template <class E, class F>
bool throws(const F& f) {
  try {
    f();
  } catch (const E&) {
    return true;
  } catch (...) {
  }
  return false;
}

void modes() {
  Tensor w = tensor({2.0}).requires_grad_();
  {
    NoGrad no_grad;
    check(!is_grad_enabled() && !(w * w).requires_grad(), "NoGrad has an effect");
    EnableGrad again;
    check((w * w).requires_grad(), "EnableGrad has an effect");
  }
  bool there = false;
  NoGrad no_grad;
  std::thread([&] { there = (w * w).requires_grad(); }).join();
  check(there, "NoGrad is the thread's own");
}

void gradients() {
  Tensor x = tensor({-1.0, 3.0}, kFloat64).requires_grad_();
  softsign(x).sum().backward();
  check(x.grad().at({0}) == 0.25 && x.grad().at({1}) == 0.0625, "a formula of one's own");
  check(gradcheck([](const Tensor& t) { return softsign(t); }, {x.detach()}, {.order = 2}).ok(),
        "gradcheck of it");

  Tensor a = tensor({2.0}, kFloat64).requires_grad_(), b = tensor({5.0}, kFloat64).requires_grad_();
  const Tensor y = square(apply(Product{}, a, b)).sum();
  const Tensor g = grad({y}, {a}, {}, {.create_graph = true})[0];
  check(g.item() == 100 && grad({g.sum()}, {b})[0].item() == 40, "an op of one's own, differentiated twice");
  {
    KeepValues keep;
    check(mse_loss(a, b).op_name() == "mean", "KeepValues has an effect");
  }
  const int64_t before = pool::live_blocks();
  for (int i = 0; i < 100; i++) square(apply(Product{}, a, b)).sum().backward();
  check(pool::live_blocks() < before + 50, "what was taken is given back");
}

void errors() {
  const Tensor x = zeros({2, 3});
  check(throws<ShapeError>([&] { matmul(x, x); }), "ShapeError");
  check(throws<IndexError>([&] { x.select(0, 2); }), "IndexError");
  check(throws<DtypeError>([&] { matmul(x.to(kInt64), x.to(kInt64).t()); }), "DtypeError");
  check(throws<GradError>([&] { x.sum().backward(); }), "GradError");
  check(throws<FileError>([] { nn::load("no such file"); }), "FileError");
  check(throws<std::runtime_error>([&] { matmul(x, x); }), "std::runtime_error");
  check(throws<GradError>([] { fail<GradError>("mine"); }), "an error of one's own");
}

void training() {
  manual_seed(1);
  nn::Sequential model{nn::Linear(2, 4, true, kFloat64), nn::Tanh(), Scale(),
                       nn::Linear(4, 1, true, kFloat64)};
  check(nn::named_parameters(model).size() == 5, "the parts of a model");
  check(model.get<nn::Linear>(0).weight.shape() == Shape{4, 2}, "a layer, by its type");
  optim::SGD optimizer{nn::parameters(model), {.lr = 0.1}};
  const Tensor x = tensor({{0.0, 1.0}, {1.0, 1.0}, {2.0, -1.0}}, kFloat64);
  const Tensor y = tensor({{1.0}, {2.0}, {-1.0}}, kFloat64);
  Tensor loss;
  const auto step = [&] {
    optimizer.zero_grad();
    loss = mse_loss(model(x), y);
    loss.backward();
    optimizer.step();
  };
  step();
  const double first = loss.item();
  step();
  const double second = loss.item();
  check(second < first, "a step makes the loss smaller");
  Replay replay = record(step);
  check(throws<Error>([&] { record([&] { loss.item(); }); }), "what a recorded step must not do");
  replay();
  check(loss.item() < second, "a replayed step, too");
}

}  // namespace

Tensor softsign(const Tensor& x) { return pointwise(Softsign{}, x); }

int failures() {
  modes();
  gradients();
  errors();
  training();
  return failed;
}
