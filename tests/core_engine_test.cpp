#include <cmath>
#include <thread>

#include "core_support.h"

namespace gradus {
namespace {

TEST(Engine, AddsToTheGradientsOfLeaves) {
  Tensor x = leaf({1, 2}), w = leaf({3, 4});
  (x * w).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {3, 4}));
  EXPECT_TRUE(equals(w.grad(), {1, 2}));
  (x * x).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {5, 8}));
  EXPECT_TRUE(equals(w.grad(), {1, 2}));
  x.set_grad({});
  EXPECT_FALSE(x.grad().defined());
}

TEST(Engine, SeveralOutputsAtOnce) {
  Tensor x = leaf({1, 2});
  const Tensor a = x * 2, b = (x * x).sum();
  backward({a, b}, {values({1, 10}, {2}), {}});
  EXPECT_TRUE(equals(x.grad(), {4, 24}));
}

TEST(Engine, BroadcastGradientsHaveTheShapeOfTheirInput) {
  Tensor a = leaf({1, 2}, {2, 1}), b = leaf({3, 4, 5}, {3}), c = leaf({2}, {});
  (a * b * c).sum().backward();
  EXPECT_TRUE(equals(a.grad(), values({24, 24}, {2, 1})));
  EXPECT_TRUE(equals(b.grad(), values({6, 6, 6}, {3})));
  EXPECT_TRUE(equals(c.grad(), values({36}, {})));
}

TEST(Engine, LeafGradientIsItsOwn) {
  // Both inputs of an addition get the same tensor from the engine; their grads must not share it.
  Tensor a = leaf({1, 2}), b = leaf({3, 4});
  const Tensor g = values({1, 1}, {2});
  (a + b).backward(g);
  a.grad().mul_(5);
  EXPECT_TRUE(equals(b.grad(), {1, 1}));
  EXPECT_TRUE(equals(g, {1, 1}));
  const Tensors both = grad({a + b}, {a, b}, {g});
  Tensor first = both[0];
  first.mul_(7);
  EXPECT_TRUE(equals(both[1], {1, 1}));
  // An expanded gradient becomes a dense one.
  Tensor x = leaf({1, 2, 3});
  x.sum().backward();
  EXPECT_TRUE(x.grad().is_contiguous());
  x.grad().add_(1);
  EXPECT_TRUE(equals(x.grad(), {2, 2, 2}));
}

TEST(Engine, GradientSetByTheUserMayBeExpanded) {
  Tensor x = leaf({1, 2, 3}), w = leaf({1, 1, 1});
  x.set_grad(ones({1}, kFloat64).expand({3}));
  (x * w).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {2, 2, 2}));
  EXPECT_TRUE(equals(w.grad(), {1, 2, 3}));
  EXPECT_EQ(error_of<ShapeError>([&] { x.set_grad(ones({2}, kFloat64)); }),
            "set_grad: a gradient of float64 [2] does not fit a tensor of float64 [3]");
}

// ---- what is refused

TEST(Engine, SecondPassNeedsRetainGraph) {
  Tensor x = leaf({1, 2, 3}), s = (x * x).sum();
  s.backward();
  EXPECT_EQ(error_of<GradError>([&] { s.backward(); }),
            "backward: the values that 'mul' saved were freed by an earlier backward(); pass retain_graph to "
            "run twice");
  EXPECT_TRUE(equals(x.grad(), {2, 4, 6}));
  Tensor t = (x * x).sum();
  t.backward({}, true);
  t.backward();
  EXPECT_TRUE(equals(x.grad(), {6, 12, 18}));
}

TEST(Engine, SecondPassOverPartOfAGraphIsRefused) {
  Tensor x = leaf({2}), a = x * x, y = a * 3, z = a * 4;
  y.sum().backward();
  EXPECT_THROW(z.sum().backward(), GradError);
  EXPECT_TRUE(equals(x.grad(), {12}));
}

TEST(Engine, WhatCannotStartAPass) {
  Tensor x = leaf({1, 2, 3});
  EXPECT_EQ(error_of<GradError>([&] { (x * 2).backward(); }),
            "backward: the output has 3 elements: [3]; give its gradient, or reduce it to one element");
  EXPECT_EQ(error_of<GradError>([&] { (x.detach() * 2).sum().backward(); }),
            "backward: the output does not require grad: nothing that it was computed from does, or it was "
            "made under NoGrad");
  EXPECT_EQ(error_of<ShapeError>([&] { (x * 2).backward(ones({2}, kFloat64)); }),
            "backward: a gradient of shape [2] for an output of shape [3]");
  EXPECT_EQ(error_of<DtypeError>([&] { (x * 2).backward(ones({3}, kInt64)); }),
            "backward: the gradient of an output must be floating, not int64");
  EXPECT_EQ(error_of<GradError>([&] { backward({}); }), "backward: there is no output to start from");
  EXPECT_EQ(error_of<GradError>([&] {
              backward({x, x}, {x.detach()});
            }),
            "backward: 1 gradients for 2 outputs");
  EXPECT_EQ(error_of<GradError>([&] { grad({x.sum()}, {}); }),
            "grad: there is no input to differentiate with respect to");
  EXPECT_EQ(error_of<GradError>([&] { grad({x.sum()}, {ones({2})}); }),
            "grad: input 0 does not require grad");
  EXPECT_EQ(error_of<DtypeError>([&] { ones({2}, kInt64).requires_grad_(); }),
            "requires_grad_: only floating tensors have gradients, this is int64");
  EXPECT_EQ(error_of<GradError>([&] { (x * 2).requires_grad_(false); }),
            "requires_grad_: this is the result of 'mul'; only leaves can be switched off; use detach()");
  EXPECT_FALSE(x.grad().defined());
}

// ---- grad()

TEST(Engine, GradReturnsInsteadOfAdding) {
  Tensor x = leaf({1, 2}), w = leaf({3, 4}), h = x * w, y = (h * h).sum();
  const Tensors g = grad({y}, {h, x}, {}, {.retain_graph = true});
  EXPECT_TRUE(equals(g[0], {6, 16}));
  EXPECT_TRUE(equals(g[1], {18, 64}));
  EXPECT_FALSE(x.grad().defined() || w.grad().defined() || h.grad().defined());
  EXPECT_TRUE(equals(grad({y}, {y})[0], {1}));
}

TEST(Engine, UnusedInputOfGrad) {
  Tensor x = leaf({1, 2}), unused = leaf({3});
  EXPECT_EQ(error_of<GradError>([&] {
              grad({x.sum()}, {x, unused});
            }),
            "grad: no output depends on input 1; allow_unused gives an undefined gradient instead");
  const Tensors g = grad({x.sum()}, {x, unused}, {}, {.allow_unused = true});
  EXPECT_TRUE(equals(g[0], {1, 1}));
  EXPECT_FALSE(g[1].defined());
}

TEST(Engine, GradRunsOnlyWhatLeadsToItsInputs) {
  Tensor x = leaf({1}), w = leaf({2});
  int ran = 0;
  const Tensor a = x * 2, b = w * 3;
  b.register_hook([&](const Tensor&) { ran++; });
  const Tensor y = a * b;
  grad({y}, {x}, {}, {.retain_graph = true});
  EXPECT_EQ(ran, 0);
  grad({y}, {w});
  EXPECT_EQ(ran, 1);
}

TEST(Engine, InputThatIsReachedThroughAnotherInput) {
  Tensor x = leaf({2}), a = x * x, b = a * a;
  const Tensors g = grad({b}, {a, x, b});
  EXPECT_TRUE(equals(g[0], {8}));
  EXPECT_TRUE(equals(g[1], {32}));
  EXPECT_TRUE(equals(g[2], {1}));
}

// ---- higher orders

TEST(Engine, ThirdOrder) {
  Tensor x = leaf({2});
  Tensor y = x * x * x * x;
  std::vector<double> derivatives;
  for (int order = 0; order < 4; order++) {
    y = grad({y}, {x}, {}, {.create_graph = true})[0];
    derivatives.push_back(y.item());
  }
  EXPECT_EQ(derivatives, (std::vector<double>{32, 48, 48, 24}));
}

TEST(Engine, ThirdOrderWithSeveralPathsAgreesWithNumericDifferences) {
  // Sums of several arrivals: adding in place would break the third order.
  const auto f = [](const Tensors& x) {
    const Tensor h = tanh(x[0] * x[1]);
    return h * h + h * x[0] + h * sigmoid(h);
  };
  EXPECT_LT(gradient_error(f, {noise({3}, 1), noise({3}, 2)}, 3), 1e-7);
}

TEST(Engine, BackwardCreateGraphLeavesADifferentiableGradient) {
  Tensor x = leaf({3});
  (x * x * x).sum().backward({}, false, true);
  const Tensor g = x.grad();
  EXPECT_TRUE(g.requires_grad());
  EXPECT_TRUE(equals(grad({g.sum()}, {x})[0], {18}));
  // A second pass adds to it as a recorded sum.
  x.set_grad({});
  (x * x).sum().backward({}, false, true);
  (x * x * x).sum().backward({}, false, true);
  EXPECT_TRUE(equals(x.grad(), {33}));
  EXPECT_TRUE(equals(grad({x.grad().sum()}, {x})[0], {20}));
}

// ---- hooks, retain_grad

TEST(Hooks, SeeTheCompleteGradientOnce) {
  Tensor x = leaf({1, 2}), a = x * 2;
  std::vector<std::vector<double>> seen;
  a.register_hook([&](const Tensor& g) { seen.push_back(g.to_vector()); });
  (a * 3 + a * a).sum().backward();
  EXPECT_EQ(seen, (std::vector<std::vector<double>>{{7, 11}}));
}

TEST(Hooks, ReplaceOneAfterTheOther) {
  Tensor x = leaf({1, 2}), a = x * 2;
  a.register_hook([](const Tensor& g) { return g * 10; });
  a.register_hook([](const Tensor& g) { return g + 1; });
  a.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {22, 22}));
  Tensor w = leaf({1});
  w.register_hook([](const Tensor& g) { return -g; });
  w.sum().backward();
  EXPECT_TRUE(equals(w.grad(), {-1}));
}

TEST(Hooks, CanBeRemovedAlsoByThemselves) {
  Tensor x = leaf({1});
  const int64_t twice = x.register_hook([](const Tensor& g) { return g * 2; });
  int64_t self = 0;
  std::string witness = "a string too long to be stored inside of itself";
  self = x.register_hook([&x, &self, witness](const Tensor& g) {
    x.remove_hook(self);
    return witness.size() == 47 ? g + 100 : g;
  });
  x.register_hook([](const Tensor& g) { return g + 1000; });
  x.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {1102}));
  x.set_grad({});
  x.remove_hook(twice);
  x.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {1001}));
}

TEST(Hooks, AnotherShapeIsRefused) {
  Tensor x = leaf({1, 2}), a = x * 2;
  const int64_t id = a.register_hook([](const Tensor&) { return ones({3}, kFloat64); });
  EXPECT_EQ(error_of<GradError>([&] { a.sum().backward(); }),
            "backward: a hook on a result of 'mul' gave float64 [3] for a gradient of float64 [2]");
  EXPECT_FALSE(x.grad().defined());
  a.remove_hook(id);
  a.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {2, 2}));
  EXPECT_EQ(error_of<GradError>([] { ones({2}).register_hook([](const Tensor&) {}); }),
            "register_hook: this tensor does not require grad");
}

TEST(Hooks, ThatThrowLeaveEverythingAsItWas) {
  Tensor x = leaf({1, 2}), w = leaf({3, 4});
  x.set_grad(values({5, 5}, {2}));
  const Tensor a = x * w, b = w * 2;
  const int64_t id = a.register_hook([](const Tensor&) { throw std::runtime_error("from the hook"); });
  const Tensor y = (a + b).sum();
  EXPECT_EQ(error_of<GradError>([&] {
              try {
                y.backward({}, true);
              } catch (const std::runtime_error& e) {
                throw GradError(e.what());
              }
            }),
            "from the hook");
  EXPECT_TRUE(equals(x.grad(), {5, 5}));
  EXPECT_FALSE(w.grad().defined());
  a.remove_hook(id);
  y.backward();
  EXPECT_TRUE(equals(x.grad(), {8, 9}));
  EXPECT_TRUE(equals(w.grad(), {3, 4}));
}

TEST(Hooks, MayRunAPassOverAnotherGraph) {
  Tensor x = leaf({2}), other = leaf({3});
  const Tensor a = x * x;
  a.register_hook([&](const Tensor&) {
    EnableGrad recording;
    (other * other).sum().backward();
  });
  (a * 5).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {20}));
  EXPECT_TRUE(equals(other.grad(), {6}));
}

TEST(Hooks, SecondPassOverTheSameGraphIsRefused) {
  Tensor x = leaf({2});
  const Tensor a = x * 3, b = x * 4, y = (a * b).sum();
  b.register_hook([&](const Tensor&) { y.backward({}, true); });
  EXPECT_NE(error_of<GradError>([&] {
              y.backward({}, true);
            }).find("is part of another backward pass that has not ended"),
            std::string::npos);
  EXPECT_FALSE(x.grad().defined());
  // The refused pass has left nothing behind.
  const Tensor z = (a * a).sum();
  z.backward();
  EXPECT_TRUE(equals(x.grad(), {36}));
}

TEST(Hooks, RetainGradLeavesTheGradientOfAResult) {
  Tensor x = leaf({1, 2}), a = x * 3, b = a * a;
  a.retain_grad().retain_grad();
  b.sum().backward();
  EXPECT_TRUE(equals(a.grad(), {6, 12}));
  EXPECT_FALSE(b.grad().defined());
  EXPECT_EQ(error_of<GradError>([] { ones({2}).retain_grad(); }),
            "retain_grad: this tensor does not require grad");
  // grad() leaves no gradient anywhere, and a dead tensor is not written to.
  Tensor c = x * 2;
  {
    Tensor d = c * 2;
    d.retain_grad();
    c = d * 5;
  }
  c.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {38, 56}));
}

// ---- recording

TEST(Modes, NoGradAndEnableGrad) {
  Tensor x = leaf({1});
  {
    NoGrad no_grad;
    EXPECT_FALSE(is_grad_enabled() || (x * 2).requires_grad());
    {
      EnableGrad recording;
      EXPECT_TRUE((x * 2).requires_grad());
    }
    EXPECT_FALSE(is_grad_enabled());
    bool in_thread = false;
    std::thread([&] { in_thread = is_grad_enabled() && (x * 2).requires_grad(); }).join();
    EXPECT_TRUE(in_thread);
  }
  EXPECT_TRUE(is_grad_enabled());
  EXPECT_EQ((x * 2).op_name(), "mul");
  EXPECT_EQ(x.op_name(), "");
}

TEST(Modes, ExceptionRestoresTheMode) {
  EXPECT_THROW(
      {
        NoGrad no_grad;
        fail("from inside");
      },
      Error);
  EXPECT_TRUE(is_grad_enabled());
}

// ---- jacobian, hessian

TEST(Functional, Jacobian) {
  const Tensor a = values({1, 2, 3, 4, 5, 6}, {2, 3});
  const auto linear_map = [&](const Tensor& x) { return matmul(a, x); };
  EXPECT_TRUE(equals(jacobian(linear_map, values({1, 2, 3}, {3})), a));
  const Tensor j =
      jacobian([](const Tensor& x) { return x.unsqueeze(0) * x.unsqueeze(1); }, values({2, 3}, {2}));
  EXPECT_TRUE(equals(j, values({4, 0, 3, 2, 3, 2, 0, 6}, {2, 2, 2})));
  EXPECT_TRUE(equals(jacobian([](const Tensor& x) { return ones_like(x); }, values({2, 3}, {2})),
                     zeros({2, 2}, kFloat64)));
  EXPECT_EQ(jacobian([](const Tensor& x) { return x.slice(0, 0, 0); }, values({2, 3}, {2})).shape(),
            (Shape{0, 2}));
  EXPECT_EQ(error_of<DtypeError>([] {
              jacobian([](const Tensor& x) { return x; }, tensor({1, 2}));
            }),
            "jacobian: x must be floating, not int64");
  // Differentiable again, where asked for.
  Tensor x = leaf({3});
  const Tensor d = jacobian([](const Tensor& t) { return t * t * t; }, x, true);
  EXPECT_TRUE(equals(grad({d.sum()}, {x})[0], {18}));
  NoGrad no_grad;
  EXPECT_TRUE(equals(jacobian([](const Tensor& t) { return t * t; }, x), values({6}, {1, 1})));
}

TEST(Functional, Hessian) {
  const Tensor q = values({2, 1, 0, 1, 4, 3, 0, 3, 6}, {3, 3});
  const auto form = [&](const Tensor& x) { return (x * matmul(q, x)).sum() * 0.5; };
  EXPECT_TRUE(equals(hessian(form, values({1, -2, 3}, {3})), q, 1e-12));
  EXPECT_TRUE(
      equals(hessian([](const Tensor& x) { return x.sum(); }, values({1, 2}, {2})), zeros({2, 2}, kFloat64)));
  EXPECT_EQ(error_of<ShapeError>([] { hessian([](const Tensor& x) { return x; }, ones({2})); }),
            "hessian: f must give one element, it gave [2]");
  const Tensor at = noise({2, 2}, 4);
  const auto f = [](const Tensor& x) { return (tanh(matmul(x, x)) * x).sum(); };
  const Tensor h = hessian(f, at);
  EXPECT_EQ(h.shape(), (Shape{2, 2, 2, 2}));
  EXPECT_TRUE(equals(h.reshape({4, 4}), h.reshape({4, 4}).t().contiguous(), 1e-12));
}

TEST(Engine, ALeafsGradientIsItsOwnAlsoUnderCreateGraph) {
  Tensor x = leaf({1, 2, 3, 4}).detach().reshape({2, 2}).requires_grad_();
  const Tensor g = tensor({1., 2., 3., 4.}, kFloat64);
  x.reshape({4}).backward(g, true, true);
  x.reshape({4}).backward(ones({4}, kFloat64));
  EXPECT_TRUE(equals(g, {1, 2, 3, 4}));
  EXPECT_TRUE(equals(x.grad(), values({2, 3, 4, 5}, {2, 2})));
}

TEST(Engine, TheGradientOfAMaximumGoesToAllThatReachItInEqualParts) {
  const double nan = std::nan("");
  const Tensor x = leaf({3, 1, 3, nan, nan, 2, 5, 4, 4.5}, {3, 3});
  amax(x, {1}).backward(tensor({1.0, 2.0, 3.0}, kFloat64));
  EXPECT_TRUE(equals(x.grad(), {0.5, 0, 0.5, 1, 1, 0, 3, 0, 0}));
  const Tensor all = leaf({nan, 1, nan});
  min(all).backward();
  EXPECT_TRUE(equals(all.grad(), {0.5, 0, 0.5}));
}

}  // namespace
}  // namespace gradus
