#include <gradus/autograd/base/pool.h>

#include <barrier>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <thread>

#include "core_support.h"

namespace gradus {
namespace {

/// The size of a test: small in every run, full where GRADUS_LONG is set.
int64_t size_of(int64_t fast, int64_t full) { return std::getenv("GRADUS_LONG") ? full : fast; }

int64_t resident_kib() {
  std::ifstream statm("/proc/self/statm");
  int64_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * 4;
}

/// A graph of n steps on x, of one of the kinds that have been freed or walked by recursion elsewhere.
using Build = Tensor (*)(const Tensor& x, int64_t n);

void deep(Build build, int64_t n, double wanted) {
  on_small_stack([=] {
    const int64_t before = pool::live_blocks();
    {
      Tensor x = leaf({1, 1});
      { const Tensor unused = build(x, n); }  // freed without a backward pass
      Tensor y = build(x, n);
      y.sum().backward();
      EXPECT_TRUE(equals(x.grad(), {wanted, wanted}));
      y = Tensor();
      { const Tensor g = grad({build(x, n).sum()}, {x})[0]; }
    }
    EXPECT_EQ(pool::live_blocks(), before);
  });
}

TEST(Depth, ChainOfOneOperand) {
  deep(
      [](const Tensor& x, int64_t n) {
        Tensor h = x;
        for (int64_t i = 0; i < n; i++) h = h + 1;
        return h;
      },
      size_of(300'000, 10'000'000), 1);
}

TEST(Depth, ChainOfTwoOperands) {
  deep(
      [](const Tensor& x, int64_t n) {
        Tensor h = x;
        for (int64_t i = 0; i < n; i++) h = h * x;
        return h;
      },
      size_of(100'000, 1'000'000), static_cast<double>(size_of(100'000, 1'000'000) + 1));
}

TEST(Depth, ChainWithSiblings) {
  deep(
      [](const Tensor& x, int64_t n) {
        Tensor h = x;
        for (int64_t i = 0; i < n; i++) h = cat({x, h}).slice(0, 2);
        return h;
      },
      size_of(100'000, 1'000'000), 1);
}

TEST(Depth, ChainOfWritesThroughViews) {
  deep(
      [](const Tensor& x, int64_t n) {
        Tensor b = x * 1;
        for (int64_t i = 0; i < n; i++) b.select(0, i % 2).mul_(-1);
        return b * b;
      },
      size_of(100'000, 1'000'000), 2);
}

TEST(Depth, ChainThatIsDifferentiatedTwice) {
  on_small_stack([] {
    const int64_t before = pool::live_blocks();
    {
      Tensor x = leaf({1}), h = x;
      for (int64_t i = 0, n = size_of(30'000, 300'000); i < n; i++) h = h * 1;
      const Tensor g = grad({(h * h).sum()}, {x}, {}, {.create_graph = true})[0];
      EXPECT_TRUE(equals(grad({g}, {x})[0], {2}));
    }
    EXPECT_EQ(pool::live_blocks(), before);
  });
}

TEST(Depth, SixtyDoublingsAreExactAndInstant) {
  Tensor x = leaf({1}), h = x;
  for (int i = 0; i < 60; i++) h = h + h;
  const double seconds =
      seconds_of([&] { EXPECT_TRUE(equals(grad({h}, {x}, {}, {.retain_graph = true})[0], {0x1p60})); });
  EXPECT_LT(seconds, 0.001);
}

TEST(Width, TimeGrowsInProportion) {
  const auto used_often = [](int64_t n) {
    Tensor x = leaf({1}), s = zeros({1}, kFloat64);
    for (int64_t i = 0; i < n; i++) s = s + x;
    s.backward();
    EXPECT_TRUE(equals(x.grad(), {static_cast<double>(n)}));
  };
  const auto one_cat = [](int64_t n) {
    Tensors x;
    for (int64_t i = 0; i < n; i++) x.push_back(leaf({1}));
    cat(x).sum().backward();
    EXPECT_TRUE(equals(x.back().grad(), {1}));
  };
  const auto one_cat_of_one = [](int64_t n) {
    Tensor x = leaf({1});
    cat(Tensors(static_cast<size_t>(n), x)).sum().backward();
    EXPECT_TRUE(equals(x.grad(), {static_cast<double>(n)}));
  };
  const auto read_in_parts = [](int64_t n) {
    for (const bool create_graph : {false, true}) {
      const Tensor x = noise({n, 1}).requires_grad_(), h = x * 1;
      const Tensors rows = h.unbind();
      Tensor s = zeros({1}, kFloat64);
      for (int64_t i = 0; i < n; i++) s = s + h[i] * rows[static_cast<size_t>(i)];
      EXPECT_TRUE(equals(grad({s}, {x}, {}, {.create_graph = create_graph})[0], 2 * x.detach()));
    }
  };
  for (const std::function<void(int64_t)>& f :
       {std::function<void(int64_t)>(used_often), {one_cat}, {one_cat_of_one}, {read_in_parts}}) {
    const double small = seconds_of([&] { f(25'000); }), large = seconds_of([&] { f(100'000); });
    EXPECT_LT(large, 10 * small);  // 4 in proportion, 16 for a square
  }
}

// ---- nothing is kept

TEST(Leaks, BackwardCreateGraphFreesLeafAndGraph) {
  const int64_t before = pool::live_blocks();
  {
    Tensor x = leaf({3});
    (x * x * x).sum().backward({}, false, true);
    const Tensor g = x.grad();
    EXPECT_TRUE(equals(grad({g.sum()}, {x}, {}, {.retain_graph = true})[0], {18}));
    Leaf& node = static_cast<Leaf&>(*x.edge().node);
    const Ref<Node> kept(&node);
    EXPECT_EQ(node.owner(), x.impl());
    x = Tensor();
    EXPECT_EQ(node.owner(), nullptr);  // the gradient's graph leads to the node, not to the tensor
  }
  EXPECT_EQ(pool::live_blocks(), before);
}

TEST(Leaks, RefusedAndFailedPassesLeaveNothing) {
  const int64_t before = pool::live_blocks();
  {
    Tensor x = leaf({1, 2}), a = x * x, y = exp(a);
    const int64_t id = y.register_hook([y](const Tensor&) { fail("from the hook"); });
    EXPECT_THROW((y * y).sum().backward({}, true), Error);
    EXPECT_THROW(y.remove_hook(0), GradError);
    EXPECT_THROW(backward({y}), GradError);
    EXPECT_THROW(grad({a.sum()}, {x, leaf({1})}), GradError);
    a.add_(1);
    EXPECT_THROW(a.sum().backward({}, false, true), GradError);
    // The hook above keeps its own tensor: y -> node -> hook -> y. Only removing it frees them.
    y.remove_hook(id);
  }
  EXPECT_EQ(pool::live_blocks(), before);
}

TEST(Leaks, HookStateAndCustomGraphsAreFreed) {
  const int64_t before = pool::live_blocks();
  std::weak_ptr<int> state;
  {
    const auto owned = std::make_shared<int>(1);
    state = owned;
    Tensor x = leaf({1, 2}), y = x * 2;
    y.register_hook([owned](const Tensor& g) { return g * *owned; });
    const Tensor z = custom(
        "own", {y},
        [](Context& ctx, const Tensors& in) {
          Tensor e = exp(in[0]);
          ctx.save(e);
          return e;
        },
        [](const Context& ctx, const Tensor& g) -> Tensors { return {g * ctx[0]}; });
    z.sum().backward({}, false, true);
  }
  EXPECT_TRUE(state.expired());
  EXPECT_EQ(pool::live_blocks(), before);
}

TEST(Leaks, TrainingStepsKeepNothing) {
  Tensor w1 = noise({4, 2}, 1).requires_grad_(), b1 = noise({4}, 2).requires_grad_(),
         w2 = noise({1, 4}, 3).requires_grad_();
  const Tensor x = noise({8, 2}, 4), target = (noise({8, 1}, 5) > 0).to(kFloat64);
  const auto step = [&] {
    Tensor loss = binary_cross_entropy_with_logits(linear(tanh(linear(x, w1, b1)), w2), target);
    loss.backward();
    NoGrad no_grad;
    for (Tensor* w : {&w1, &b1, &w2}) {
      w->sub_(0.1 * w->grad());
      w->set_grad({});
    }
  };
  for (int i = 0; i < 1000; i++) step();
  const int64_t blocks = pool::live_blocks();
  const int64_t kib = resident_kib();
  for (int64_t i = 0, n = size_of(20'000, 100'000); i < n; i++) step();
  EXPECT_EQ(pool::live_blocks(), blocks);
  // A sanitizer keeps freed memory for a while.
  if (!pool::kBypassed) {
    EXPECT_LE(resident_kib(), kib + 1024);
  }
}

// ---- threads

/// A few training steps on data of its own.
std::vector<double> trained(uint32_t seed) {
  Tensor w = noise({6, 5}, seed).requires_grad_(), v = noise({1, 6}, seed + 1).requires_grad_();
  const Tensor x = noise({32, 5}, seed + 2);
  for (int i = 0; i < 50; i++) {
    square(linear(tanh(linear(x, w)), v) - 0.5).mean().backward();
    NoGrad no_grad;
    for (Tensor* p : {&w, &v}) {
      p->sub_(0.2 * p->grad());
      p->set_grad({});
    }
  }
  return w.to_vector();
}

TEST(Threads, GraphsOfTheirOwnAreBitEqualToSerialOnes) {
  std::vector<std::vector<double>> serial, parallel(4);
  for (uint32_t i = 0; i < 4; i++) serial.push_back(trained(10 * i));
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 4; i++) threads.emplace_back([&parallel, i] { parallel[i] = trained(10 * i); });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(parallel, serial);
}

TEST(Threads, SharedLeavesGetTheExactSum) {
  Tensor x = leaf({1, 2, 3}), w = leaf({1, 1, 1});
  constexpr int kThreads = 4, kSteps = 2000;
  std::atomic<int> failed{0};
  std::barrier start(kThreads);
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; i++)
    threads.emplace_back([&, i] {
      start.arrive_and_wait();
      try {
        for (int k = 0; k < kSteps; k++) {
          const Tensor h = x * (i + 1);
          (h + x * w + h).sum().backward();
          if (grad({(x * x).sum()}, {x})[0].to_vector() != std::vector<double>{2, 4, 6}) failed++;
        }
      } catch (const std::exception& e) {
        ADD_FAILURE() << e.what();
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(failed, 0);
  const double each = kSteps * (2 * (1 + 2 + 3 + 4) + 4);
  EXPECT_TRUE(equals(x.grad(), {each, each, each}));
  EXPECT_TRUE(equals(w.grad(), {1. * kThreads * kSteps, 2. * kThreads * kSteps, 3. * kThreads * kSteps}));
}

TEST(Threads, ReadersUnderNoGradAreBitEqual) {
  const Tensor w = noise({16, 16}, 1).requires_grad_(), x = noise({16, 16}, 2);
  const std::vector<double> wanted = tanh(matmul(x, w)).to_vector();
  std::atomic<int> differ{0};
  std::vector<std::thread> threads(4);
  for (std::thread& t : threads)
    t = std::thread([&] {
      NoGrad no_grad;
      for (int k = 0; k < 200; k++) differ += tanh(matmul(x, w)).to_vector() != wanted;
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(differ, 0);
}

TEST(Threads, GraphMayBeFreedOnAnotherThread) {
  for (int i = 0; i < 50; i++) {
    Tensor x = leaf({1, 2}), y = x;
    for (int k = 0; k < 1000; k++) y = y * 1.0;
    std::thread([y = std::move(y)]() mutable {
      y.sum().backward();
      y = Tensor();
    }).join();
    EXPECT_TRUE(equals(x.grad(), {1, 1}));
  }
}

}  // namespace
}  // namespace gradus
