#include <gradus/autograd/base/parallel.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "core_support.h"
#include "needs.h"

/// What several threads may do with one tensor, and what is left of them in a forked child and at the end of
/// the program.

namespace gradus {
namespace {

/// Runs f(0) … f(n - 1), each on a thread of its own, beginning together.
template <class F>
void on_threads(int n, F f) {
  std::atomic<int> waiting{n};
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(n));
  for (int i = 0; i < n; i++)
    threads.emplace_back([&, i] {
      for (waiting--; waiting > 0;) std::this_thread::yield();
      f(i);
    });
  for (std::thread& t : threads) t.join();
}

// Reading a view makes its edge follow its base.
TEST(Threads, ReadAViewWhoseBaseWasWrittenTo) {
  for (int run = 0; run < 50; run++) {
    Tensor w = leaf({1, 2, 3, 4, 5, 6, 7, 8});
    const Tensor base = w * 2, v = base.slice(0, 0, 4), inner = v.slice(0, 1, 3);
    Tensor(base).mul_(w);
    inner.requires_grad();
    Tensor(base).mul_(1);
    std::vector<double> sums(4), gradients(4);
    on_threads(4, [&](int i) {
      const auto k = static_cast<size_t>(i);
      const Tensor y = sum(v * v) + sum(inner);
      sums[k] = y.item();
      EXPECT_TRUE(v.requires_grad() && inner.requires_grad());
    });
    for (const double s : sums) EXPECT_EQ(s, 4 + 64 + 324 + 1024 + 8 + 18);
    EXPECT_TRUE(equals(grad({sum(v * v) + sum(inner)}, {w})[0], {16, 128 + 8, 432 + 12, 1024, 0, 0, 0, 0}));
  }
}

TEST(Threads, RegisterHooksOnALeafThatOthersDifferentiate) {
  Tensor x = leaf({1, 2, 3});
  std::atomic<int64_t> calls{0};
  const int64_t stays = x.register_hook([&](const Tensor&) { calls++; });
  constexpr int kRuns = 3000;
  on_threads(4, [&](int i) {
    for (int k = 0; k < kRuns; k++) {
      if (i < 2) {
        (x * x).sum().backward();
      } else {
        const int64_t id = x.register_hook([](const Tensor&) {});
        x.remove_hook(id);
      }
    }
  });
  EXPECT_EQ(calls, 2 * kRuns);
  EXPECT_TRUE(equals(x.grad(), values({2, 4, 6}, {3}) * (2 * kRuns)));
  x.remove_hook(stays);
}

// A leaf may die while another thread leaves a gradient in it.
TEST(Threads, DropLeavesThatOthersDifferentiate) {
  for (int run = 0; run < 200; run++) {
    std::vector<Tensor> leaves;
    Tensor y = zeros({1}, kFloat64);
    for (int i = 0; i < 20; i++) {
      leaves.push_back(leaf({1}));
      y = y + leaves.back() * 2;
    }
    on_threads(2, [&](int i) {
      if (i == 0)
        y.backward();
      else
        leaves.clear();
    });
  }
}

/// Passes over one inner graph at once: each is right, or refused.
void passes_over_one_graph(bool retain_graph) {
  int refused = 0;
  for (int run = 0; run < 100; run++) {
    Tensor x = leaf({1, 2, 3}), other = leaf({5, 5, 5});
    Tensor h = x * 2;
    for (int i = 0; i < 30; i++) h = h * 1 + other * 0;
    std::vector<Tensor> roots;
    roots.reserve(4);
    for (int i = 0; i < 4; i++) roots.push_back((h * (i + 1)).sum());
    std::atomic<int> passed{0}, failed{0};
    on_threads(4, [&](int i) {
      try {
        const Tensor& root = roots[static_cast<size_t>(i)];
        if (i % 2) {
          root.backward({}, retain_graph);
        } else {
          const Tensor g = grad({root}, {x}, {}, {.retain_graph = retain_graph})[0];
          EXPECT_TRUE(equals(g, std::vector<double>(3, 2.0 * (i + 1))));
        }
        passed += i % 2 ? 2 * (i + 1) : 0;
      } catch (const GradError&) {
        failed++;
      }
    });
    const double sum = passed;
    if (sum > 0) {
      EXPECT_TRUE(equals(x.grad(), {sum, sum, sum}));
    }
    refused += failed;
    // Whatever was refused, the graph is as it was.
    if (retain_graph) {
      EXPECT_TRUE(equals(grad({roots[0]}, {x})[0], {2, 2, 2}));
    }
  }
  testing::Test::RecordProperty("refused", refused);
}
TEST(Threads, RunPassesOverOneGraphAtOnceRightlyOrAreRefused) {
  passes_over_one_graph(true);
  passes_over_one_graph(false);
}

// What a nested pass may run of the graph that the pass around it runs.
TEST(NestedPasses, RunTheNodeWhoseHookTheyAreIn) {
  Tensor x = leaf({1, 2});
  const Tensor y = x * x;
  Tensor inner;
  y.register_hook([&](const Tensor& g) {
    if (!inner.defined()) {
      inner = ones({2});
      const EnableGrad recording;
      inner = grad({y.sum()}, {x}, {}, {.retain_graph = true})[0];
    }
    return g * 3;
  });
  y.sum().backward({}, true);
  EXPECT_TRUE(equals(inner, {6, 12}));
  EXPECT_TRUE(equals(x.grad(), {6, 12}));
  y.sum().backward();
  EXPECT_TRUE(equals(x.grad(), {12, 24}));
}

// Tensors that end while gradients are left in leaves, which may lock, too; and roots that a hook drops.
TEST(NestedPasses, ATensorMayEndWhileGradientsAreLeft) {
  for (const bool has_gradient : {false, true}) {
    Tensor x = leaf({1, 2});
    if (has_gradient) (x * x).sum().backward({}, false, true);
    x.register_hook([&](const Tensor&) { return x.detach().requires_grad_(); });
    (x * 5).sum().backward();
    EXPECT_TRUE(equals(x.grad(), has_gradient ? std::vector<double>{3, 6} : std::vector<double>{1, 2}));
  }
  Tensor x = leaf({1, 2});
  Tensors y = {(x * 2).sum()};
  y[0].register_hook([&](const Tensor&) { y.clear(); });
  backward(y);
  EXPECT_TRUE(equals(x.grad(), {2, 2}));
}

/// Everything that takes a lock: memory of all sizes, random numbers, gradients, views, hooks, threads.
void some_of_everything() {
  Tensor x = rand({100'000}).requires_grad_(), w = randn({64, 64}).requires_grad_();
  const int64_t id = x.register_hook([](const Tensor&) {});
  const Tensor y = tanh(x) * 2, v = y.slice(0, 0, 100);
  Tensor(y).mul_(2);
  (sum(v * v) + sum(y) + sum(matmul(w, w))).backward();
  x.remove_hook(id);
  const Tensor large = zeros({1 << 20});
}

/// Runs f in a child, which has 30 s.
int code_of_child(const std::function<void()>& f) {
  return in_child([&] {
    alarm(30);
    f();
    return 0;
  });
}

// The sanitizers' own allocator is left locked in a child.
TEST(Fork, AChildOfAProcessWhoseThreadsComputeComputes) {
  GRADUS_SKIP_WITHOUT(plain_memory());
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  const auto run = [&](auto f) {
    threads.emplace_back([&stop, f] {
      while (!stop) f();
    });
  };
  // Each holds one lock for as much of its time as can be.
  run([] { empty({1 << 20}); });
  run([] { default_generator().draws(1); });
  run([x = leaf({1})] { x.sum().backward(); });
  run(some_of_everything);
  for (int i = 0; i < 60; i++) {
    EXPECT_EQ(code_of_child(some_of_everything), 0);
    if (testing::Test::HasFailure()) break;
  }
  stop = true;
  for (std::thread& t : threads) t.join();
}

// ---- the end of the program

/// Runs what it is given when everything else of the program has been destroyed.
struct AtTheVeryEnd {
  void (*f)() = nullptr;
  ~AtTheVeryEnd() {
    if (f) f();
  }
};
AtTheVeryEnd very_end __attribute__((init_priority(101)));

int exit_code(void (*f)()) {
  return code_of_child([f] {
    some_of_everything();
    very_end.f = f;
    std::exit(0);
  });
}

TEST(End, StaticDestructorsMayTrain) {
  EXPECT_EQ(exit_code([] {
              set_num_threads(4);
              some_of_everything();
              some_of_everything();
              Tensor w = leaf({1, 2});
              (w * w).sum().backward();
              _exit(w.grad().at({1}) == 4 ? 0 : 1);
            }),
            0);
}

TEST(End, ThreadsThatOutliveMainMayCompute) {
  for (int i = 0; i < 10; i++)
    EXPECT_EQ(code_of_child([] {
                set_num_threads(4);
                for (int k = 0; k < 2; k++)
                  std::thread([] {
                    for (;;) some_of_everything();
                  }).detach();
                std::this_thread::sleep_for(std::chrono::milliseconds(30));
                very_end.f = [] { std::this_thread::sleep_for(std::chrono::milliseconds(30)); };
                std::exit(0);
              }),
              0);
}

TEST(End, APieceOfAJobMayEndTheProgram) {
  EXPECT_EQ(code_of_child([] {
              set_num_threads(2);
              parallel_for(100, 1, [](int64_t begin, int64_t) {
                if (begin == 50) std::exit(0);
              });
            }),
            0);
}

}  // namespace
}  // namespace gradus
