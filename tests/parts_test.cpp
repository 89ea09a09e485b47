// Gradients of parts of a tensor, results whose number is known at run time, and nodes that own things.
#include <gradus/autograd/base/pool.h>

#include "core_support.h"
#include "failing_allocations.h"

#include <memory>

namespace gradus::parts {
namespace {

/// Where the tensor comes from that is read in parts.
Tensor as_leaf(const Tensor& x) { return x; }
Tensor as_result(const Tensor& x) { return x * 1.0; }
Tensor as_columns(const Tensor& x) { return x.t().clone().t(); }

/// Parts that meet and overlap, without, before and after a gradient for the whole.
const std::vector<Function>& readings() {
  static const Tensor ends = tensor({2, 0, 2}), twice = tensor({1, 1}), first_two = tensor({0, 1});
  static const std::vector<Function> all{
      [](const Tensors& x) { return x[0][0] * x[0][1] + x[0][2] * x[0][0]; },
      [](const Tensors& x) { return (x[0].slice(1, 0, 2) * x[0].slice(1, 1, 3)).sum() + exp(x[0][1]).sum(); },
      [](const Tensors& x) { return (x[0] * x[0]).sum() * x[0].narrow(0, 1, 2).sum() * x[0][2]; },
      [](const Tensors& x) {
        const Tensor a = x[0][0] * x[0][0];
        return (a * x[0] * x[0].select(1, 2).unsqueeze(1)).sum() + x[0][1] * a;
      },
      [](const Tensors& x) {
        const Tensors rows = x[0].unbind(), columns = x[0].split({1, 2}, 1);
        return rows[0] * rows[2] * columns[1].sum() + (columns[0] * x[0]).sum();
      },
      [](const Tensors& x) { return cat(x[0].chunk(2, 1), 1) * index_select(x[0], 0, ends); },
      [](const Tensors& x) {
        return index_select(x[0], 1, twice).sum() * x[0][0] + exp(index_select(x[0], 0, first_two)).sum();
      },
      [](const Tensors& x) { return exp(x[0].slice(0, 0, {}, 2).slice(1, 0, {}, 2)).sum() * x[0][0][0]; },
  };
  return all;
}

TEST(Parts, AddUpInEveryOrder) {
  for (auto* from : {as_leaf, as_result, as_columns})
    for (size_t i = 0; i < readings().size(); i++) {
      SCOPED_TRACE(i);
      const Function f = [&](const Tensors& x) { return readings()[i]({from(x[0])}); };
      EXPECT_LT(gradient_error(f, {noise({3, 3})}, 3), 2e-6);
    }
}

TEST(Parts, ARecordedStepRepeatsThem) {
  for (const Function& f : readings()) {
    Tensor x = noise({3, 3}).requires_grad_();
    const auto step = [&] {
      x.set_grad({});
      f({x * 1}).sum().backward();
    };
    Replay replay = record(step);
    {
      NoGrad no_grad;
      x.copy_(noise({3, 3}, 5));
    }
    replay();
    const Tensor replayed = x.grad().clone();
    step();
    EXPECT_TRUE(equals(replayed, x.grad()));
  }
}

TEST(Parts, WhatOthersHoldIsNotWrittenInto) {
  const Tensor x = leaf({1, 2, 3}), h = x * 1;
  Tensors seen;
  h.register_hook([&](const Tensor& g) {
    seen.push_back(g);
    return g;
  });
  // The seed of the sum is h's gradient itself, until h[0] adds to it.
  const Tensor seed = values({1, 1, 1}, {3}), one = values({1}, {});
  const Tensor whole = h + values({5, 5, 5}, {3});
  const Tensor part = h[0];
  const auto run = [&] { return grad({whole, part}, {h}, {seed, one}, {.retain_graph = true})[0]; };
  const Tensor first = run(), second = run();
  EXPECT_TRUE(equals(seed, {1, 1, 1}));
  EXPECT_TRUE(equals(first, {2, 1, 1}));
  EXPECT_TRUE(equals(second, {2, 1, 1}));
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_TRUE(equals(seen[0], {2, 1, 1}));

  // A leaf's gradient, held by the user, grows by parts of later passes, and hooks see sums.
  h[1].backward(one, true);
  const Tensor held = x.grad(), copy = held.clone();
  const Tensor kept = seen.back();
  h[2].backward(one, true);
  EXPECT_TRUE(equals(x.grad(), {0, 1, 1}));
  EXPECT_TRUE(equals(kept, {0, 1, 0}));
  EXPECT_TRUE(equals(copy, {0, 1, 0}));
}

TEST(Parts, RetainedGradientsAreTheWhole) {
  const Tensor x = leaf({1, 2, 3});
  Tensor h = x * 2;
  h.retain_grad();
  (h[0] * h[1] + h.slice(0, 1).sum()).backward();
  EXPECT_TRUE(equals(h.grad(), {4, 3, 1}));
  EXPECT_TRUE(equals(x.grad(), {8, 6, 2}));
  const Tensor h_grad = h.grad(), y = x * 2;
  y[0].backward();
  EXPECT_TRUE(equals(h_grad, {4, 3, 1}));
}

TEST(Parts, AreOfTheDtypeOfTheirInput) {
  const Tensor x = tensor({1, 2, 3}, kFloat32).requires_grad_();
  (x[0].to(kFloat64) * x[1]).backward();
  EXPECT_EQ(x.grad().dtype(), kFloat32);
  EXPECT_TRUE(equals(x.grad(), {2, 1, 0}));
}

TEST(Parts, MemoryThatRunsOutLosesNothing) {
  const Tensor x = leaf({1, 2, 3});
  const auto f = [&] {
    const Tensor h = x * 1;
    const Tensors rows = h.unbind();
    return rows[0] * h[1] + index_select(h, 0, tensor({2, 2})).sum() * h.narrow(0, 1, 2).sum();
  };
  for (const bool create_graph : {false, true}) {
    Tensors dx{grad({f()}, {x}, {}, {.create_graph = create_graph})[0]};
    const std::vector<double> wanted = dx[0].to_vector();
    dx.clear();
    const int64_t before = pool::live_blocks();
    with_failing_allocations([&] { dx.clear(); },
                             [&] { dx = grad({f()}, {x}, {}, {.create_graph = create_graph}); },
                             [&] { EXPECT_EQ(pool::live_blocks(), before); });
    EXPECT_TRUE(equals(dx[0], wanted));
  }
}

// ---- results whose number is known at run time

TEST(Parts, AreViewsOfOneNode) {
  const Tensor x = leaf({1, 2, 3, 4, 5}), h = x * 1;
  const Tensors parts = h.split(2);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_TRUE(equals(parts[2], {5}));
  EXPECT_EQ(parts[0].edge().node.get(), parts[2].edge().node.get());
  EXPECT_EQ(parts[0].op_name(), "split");
  EXPECT_EQ(parts[1].edge().slot, 1u);
  for (const Tensor& part : parts) EXPECT_EQ(&part.storage(), &h.storage());
  EXPECT_EQ(h.unbind()[3].op_name(), "unbind");
  EXPECT_EQ(h.chunk(4).size(), 3u);
  EXPECT_EQ(h.chunk(9).size(), 5u);
  EXPECT_EQ(zeros({0, 2}).chunk(3).size(), 3u);
  EXPECT_EQ(zeros({0, 2}).split(4).size(), 1u);
  EXPECT_EQ(zeros({0, 2}).unbind().size(), 0u);
  // What nobody used has no gradient.
  parts[1].sum().backward();
  EXPECT_TRUE(equals(x.grad(), {0, 0, 1, 1, 0}));
  NoGrad no_grad;
  EXPECT_FALSE(h.split(2)[0].requires_grad());
}

TEST(Parts, WritesGoThroughThem) {
  const Tensor x = leaf({1, 2, 3, 4});
  Tensor h = x * 1;
  Tensors parts = h.split(2), rows = h.unbind();
  parts[0].mul_(10);   // into the base
  h.mul_(2);           // into the views
  rows[3].mul_(x[0]);  // and another view
  EXPECT_TRUE(equals(h, {20, 40, 6, 8}));
  EXPECT_TRUE(equals(parts[0], {20, 40}));
  EXPECT_TRUE(equals(parts[1], {6, 8}));
  (parts[0].sum() + 3 * parts[1].sum() + h[0]).backward();
  EXPECT_TRUE(equals(x.grad(), {40 + 24, 20, 6, 6}));
  // A write outside of the graph leaves the history as it is.
  Tensor plain = zeros({4}, kFloat64);
  plain.split(2)[1].fill_(7);
  EXPECT_TRUE(equals(plain, {0, 0, 7, 7}));
  plain.unbind()[0].fill_(5);
  EXPECT_TRUE(equals(plain, {5, 0, 7, 7}));
}

TEST(Parts, ManyResultsAreFreedInALoop) {
  on_small_stack([] {
    const int64_t before = pool::live_blocks();
    {
      const Tensor x = leaf({1, 2});
      Tensor h = x;
      for (int i = 0; i < 30'000; i++) {
        const Tensors rows = h.unbind();
        h = stack({rows[1], rows[0]});
      }
      (h * values({1, 2}, {2})).sum().backward();
      EXPECT_TRUE(equals(x.grad(), {1, 2}));
    }
    EXPECT_EQ(pool::live_blocks(), before);
  });
}

// ---- nodes that own things

/// y = Π x_i; the rule reads the others.
struct ProductOfList {
  static constexpr auto name = "product";
  static constexpr Needs needs[] = {all_inputs};
  Tensor value(std::span<const Tensor> x) const {
    Tensor y = x[0].clone();
    for (size_t i = 1; i < x.size(); i++) y = y * x[i];
    return y;
  }
  Tensor vjp(int i, const Back& b) const {
    Tensor g = b.g();
    for (uint32_t k = 0; k < b.node().num_inputs(); k++)
      if (k != static_cast<uint32_t>(i)) g = g * b.in(k);
    return g;
  }
};

Tensor product(const Tensors& x) { return gradus::apply(ProductOfList{}, std::span<const Tensor>(x)); }

TEST(OwningNodes, AnOpOnAListReadsItsInputs) {
  EXPECT_LT(gradient_error(product, {noise({2, 3}), noise({2, 3}, 2), noise({2, 3}, 3)}, 3), 1e-6);
  // Of 40 inputs, too, with those of no gradient and of other ranks.
  Tensors x(40, values({1, 1}, {2}));
  x[7] = leaf({2, 3});
  x[20] = values({5}, {});
  x[39] = leaf({7, 8});
  const Tensor y = product(x).sum();
  y.backward({}, true);
  EXPECT_TRUE(equals(x[7].grad(), {35, 40}));
  EXPECT_TRUE(equals(x[39].grad(), {10, 15}));
  x[3].mul_(2);
  EXPECT_TRUE(
      contains(error_of<GradError>([&] { y.backward(); }), "saved a value that was changed in place"));
  const Tensors few{leaf({2}), leaf({3})};
  const Tensor z = product(few).sum();
  z.backward();
  EXPECT_TRUE(contains(error_of<GradError>([&] { z.backward(); }), "were freed by an earlier backward()"));
}

/// y = x f, for each of several f that the op owns.
struct Scaled {
  static constexpr auto name = "scaled";
  static constexpr uint32_t differentiable = 3;
  std::shared_ptr<const std::vector<double>> factors;
  Tensors value(const Tensor& x) const {
    Tensors y;
    for (double f : *factors) y.push_back(x * f);
    return y;
  }
  Tensor vjp(In<0>, const Back& b) const {
    Tensor dx = b.g(0) * (*factors)[0];
    for (uint32_t k = 1; k < factors->size(); k++) dx = dx + b.g(k) * (*factors)[k];
    return dx;
  }
};

TEST(OwningNodes, WhatAnOpOwnsEndsWithItsNode) {
  const auto factors = std::make_shared<const std::vector<double>>(std::vector<double>{2, 3, 4});
  const Tensor x = leaf({1, 2});
  {
    const Tensors y = apply(Scaled{factors}, x);
    ASSERT_EQ(y.size(), 3u);
    EXPECT_EQ(factors.use_count(), 2);
    (y[0] * y[2]).sum().backward();
    EXPECT_TRUE(equals(x.grad(), {16, 32}));
    EXPECT_EQ(factors.use_count(), 2);
  }
  EXPECT_EQ(factors.use_count(), 1);
  {
    NoGrad no_grad;
    apply(Scaled{factors}, x);
  }
  EXPECT_EQ(factors.use_count(), 1);
  EXPECT_LT(gradient_error([&](const Tensors& in) { return apply(Scaled{factors}, in[0] * in[0])[1]; },
                           {noise({3})}, 2),
            1e-6);
}

TEST(OwningNodes, ACustomFunctionCaptures) {
  const auto power = [](const Tensor& x, double exponent) {
    return custom(
        "power", {x},
        [exponent](Context& ctx, const Tensors& in) {
          ctx.save(in[0]);
          return pow(in[0], exponent);
        },
        [exponent](const Context& ctx, const Tensor& g) -> Tensors {
          return {g * exponent * pow(ctx[0], exponent - 1)};
        });
  };
  const Tensor x = leaf({2});
  (power(x, 3) + power(x, 2)).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {16}));
  EXPECT_LT(gradient_error([&](const Tensors& in) { return power(in[0] * in[0] + 1, 1.5); }, {noise({3})}, 3),
            1e-6);
  const auto held = std::make_shared<int>(1);
  {
    const Tensor y = custom(
        "holds", {x}, [](Context&, const Tensors& in) { return in[0] * 2; },
        [held](const Context&, const Tensor& g) -> Tensors { return {g * (*held + 1)}; });
    EXPECT_GT(held.use_count(), 1);
  }
  EXPECT_EQ(held.use_count(), 1);
}

/// x y and x + y; keeps both and the first result.
Tensors product_and_sum(const Tensor& x, const Tensor& y) {
  return custom(
      "product_and_sum", {x, y},
      [](Context& ctx, const Tensors& in) -> Tensors {
        Tensors out{in[0] * in[1], in[0] + in[1]};
        ctx.save(in[0]);
        ctx.save(in[1]);
        ctx.save(out[0]);
        return out;
      },
      [](const Context& ctx, const Tensors& g) -> Tensors {
        EXPECT_EQ(ctx.size(), 3u);
        EXPECT_TRUE(equals(ctx[2], ctx[0].detach() * ctx[1].detach()));
        return {g[0] * ctx[1] + g[1], g[0] * ctx[0] + g[1]};
      });
}

TEST(OwningNodes, ACustomFunctionHasSeveralResults) {
  const Tensor x = leaf({2, 3}), y = leaf({5, 7});
  const Tensors both = product_and_sum(x, y);
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[0].edge().node.get(), both[1].edge().node.get());
  // A result that nothing reached has a gradient of zeros.
  both[0].sum().backward({}, true);
  EXPECT_TRUE(equals(x.grad(), {5, 7}));
  both[1].sum().backward();
  EXPECT_TRUE(equals(x.grad(), {6, 8}));
  EXPECT_TRUE(equals(y.grad(), {3, 4}));
  EXPECT_LT(gradient_error(
                [](const Tensors& in) {
                  const Tensors r = product_and_sum(in[0] * in[0], in[1]);
                  return r[0] * r[1];
                },
                {noise({3}), noise({3}, 2)}, 3),
            1e-6);
}

TEST(OwningNodes, ACustomFunctionsResultsAreChecked) {
  const Tensor x = leaf({1, 2});
  const auto with = [&](auto forward) {
    return custom("own", {x}, forward, [](const Context&, const Tensors& g) -> Tensors { return {g[0]}; });
  };
  const auto refused = [&](auto forward) { return error_of<Error>([&] { with(forward); }); };
  EXPECT_EQ(refused([](Context&, const Tensors&) -> Tensors { return {}; }),
            "own: the forward function gave no result");
  EXPECT_EQ(refused([](Context&, const Tensors& in) -> Tensors {
              return {in[0] * 2, {}};
            }),
            "own: the forward function gave an undefined tensor");
  EXPECT_EQ(refused([](Context&, const Tensors& in) -> Tensors { return Tensors(32, in[0] * 2); }),
            "own: at most 31 results, not 32");
  // One tensor twice is two results, and an integer one has no gradient.
  const Tensors twice = with([](Context&, const Tensors& in) -> Tensors {
    const Tensor y = in[0] * 2;
    return {y, y, arange(3)};
  });
  EXPECT_NE(&twice[0].storage(), &twice[1].storage());
  EXPECT_FALSE(twice[2].requires_grad());
  (twice[0] + 0 * twice[1]).sum().backward();
  EXPECT_TRUE(equals(x.grad(), {1, 1}));
}

}  // namespace
}  // namespace gradus::parts
