#include <gradus/autograd/base/pool.h>
#include <gradus/optim/adam.h>
#include <gradus/optim/rmsprop.h>
#include <gradus/optim/sgd.h>

#include "core_support.h"
#include "failing_allocations.h"
#include "table_support.h"

/// Memory that runs out, at every allocation in turn: what fails leaves everything as it was, and nothing
/// behind.

namespace gradus {
namespace {

using table::same_bits;

/// What must stay as it was.
class Snapshot {
 public:
  explicit Snapshot(Tensors x) : x_(std::move(x)) {
    for (const Tensor& t : x_) {
      bits_.push_back(table::bytes_of(t));
      versions_.push_back(t.storage().version());
    }
    blocks_ = pool::live_blocks();
  }
  void check() const {
    EXPECT_EQ(pool::live_blocks(), blocks_) << "memory was lost";
    check_elements();
  }
  void check_elements() const {
    for (size_t i = 0; i < x_.size(); i++) {
      EXPECT_EQ(table::bytes_of(x_[i]), bits_[i]) << "tensor " << i << " has other elements";
      EXPECT_EQ(x_[i].storage().version(), versions_[i]) << "tensor " << i;
    }
  }

 private:
  Tensors x_;
  std::vector<std::vector<std::byte>> bits_;
  std::vector<uint32_t> versions_;
  int64_t blocks_;
};

void nothing_to_prepare() {}

TEST(NoMemory, EveryOpForwardAndBackward) {
  table::for_each_sample(table::any_row, [](const OpRow& row, const OpSample& sample, size_t) {
    if (table::in_place(row)) return;
    const Tensors x = table::leaves(sample.inputs);
    manual_seed(1);
    Tensors y = row.call(x, sample.attrs);
    y.clear();
    const Snapshot before(x);
    with_failing_allocations([&] { y.clear(); }, [&] { y = row.call(x, sample.attrs); },
                             [&] { before.check(); });
    const Tensors recorded = table::recorded_of(y), leaves = table::floating_of(x);
    if (recorded.empty()) return;
    const Tensors g = table::random_gradients(recorded, 7);
    for (const bool create_graph : {false, true}) {
      if (create_graph && row.orders < 2) continue;
      const auto run = [&] {
        return grad(recorded, leaves, g,
                    {.retain_graph = true, .create_graph = create_graph, .allow_unused = true});
      };
      const Tensors wanted = run();
      Tensors dx = run();
      dx.clear();
      const auto as_wanted = [&](const Tensors& given) {
        ASSERT_EQ(given.size(), wanted.size());
        for (size_t i = 0; i < given.size(); i++) {
          ASSERT_EQ(given[i].defined(), wanted[i].defined());
          if (given[i].defined()) {
            EXPECT_TRUE(same_bits(given[i], wanted[i])) << i;
          }
        }
      };
      const Snapshot graph(x);
      with_failing_allocations([&] { dx.clear(); }, [&] { dx = run(); },
                               [&] {
                                 graph.check();
                                 ASSERT_NO_THROW(as_wanted(run()));
                               });
      as_wanted(dx);
      dx.clear();
      with_failing_allocations(
          nothing_to_prepare, [&] { backward(recorded, g, true, create_graph); },
          [&] {
            for (const Tensor& t : leaves) EXPECT_FALSE(t.grad().defined());
            graph.check();
          });
      for (size_t i = 0; i < leaves.size(); i++) {
        if (wanted[i].defined()) {
          EXPECT_TRUE(same_bits(leaves[i].grad(), wanted[i])) << i;
        }
        leaves[i].ref()->grad = Tensor();
      }
    }
  });
}

/// A tensor that is written to in place, its base (itself, or what it is a view of), and its history.
struct Target {
  Tensor leaf, base, x;
  explicit Target(const Tensor& values, bool view) : leaf(values.detach().clone()) {
    if (is_floating(leaf.dtype())) leaf.requires_grad_();
    base = view ? stack({leaf * 2, leaf}) : leaf * 2;
    x = view ? base.select(0, 0) : base;
    if (x.requires_grad()) {
      base.retain_grad();
      x.retain_grad();
    }
  }
  /// The gradient that arrives at the leaf, and those that were asked for.
  Tensors gradients() const {
    leaf.ref()->grad = base.ref()->grad = x.ref()->grad = Tensor();
    (base * base).sum().backward({}, true);
    return {leaf.grad().clone(), base.grad().clone(), x.grad().defined() ? x.grad().clone() : Tensor()};
  }
};

TEST(NoMemory, EveryOpInPlace) {
  const auto rows = [](const OpRow& row) { return table::in_place(row); };
  table::for_each_sample(rows, [](const OpRow& row, const OpSample& sample, size_t) {
    for (const bool view : {false, true}) {
      Tensors x = table::leaves(sample.inputs);
      const auto write = [&](const Target& t) {
        Tensors inputs = x;
        inputs[0] = t.x;
        row.call(inputs, sample.attrs);
      };
      const Target reference(x[0], view), untouched(x[0], view);
      const bool has_gradients = reference.x.requires_grad();
      const Tensors before = has_gradients ? untouched.gradients() : Tensors();
      write(reference);
      const Tensors after = has_gradients ? reference.gradients() : Tensors();
      const auto equal = [](const Tensors& given, const Tensors& wanted) {
        for (size_t i = 0; i < wanted.size(); i++)
          if (wanted[i].defined()) {
            EXPECT_TRUE(same_bits(given[i], wanted[i])) << "gradient " << i;
          }
      };
      std::optional<Target> t;
      std::optional<Snapshot> snapshot;
      with_failing_allocations(
          [&] {
            snapshot.reset();
            t.emplace(x[0], view);
            Tensors all = x;
            all.push_back(t->base);
            snapshot.emplace(all);
          },
          [&] { write(*t); },
          [&] {
            // The row's list of results may be what there was no memory for; then it is all written.
            const bool written = t->x.storage().version() != 0;
            if (!written) snapshot->check();
            if (written) {
              EXPECT_TRUE(same_bits(t->base, reference.base));
            }
            if (has_gradients) equal(t->gradients(), written ? after : before);
          });
      EXPECT_TRUE(same_bits(t->base, reference.base));
      if (has_gradients) equal(t->gradients(), after);
    }
  });
}

// x = 2w, x *= w: the write was there, its history not, and the gradient 2.
TEST(NoMemory, AWriteWithoutItsHistory) {
  std::optional<Tensor> w, x;
  with_failing_allocations(
      [&] {
        w = leaf({3});
        x = *w * 2;
      },
      [&] { x->mul_(*w); },
      [&] {
        EXPECT_TRUE(equals(*x, {6}));
        EXPECT_TRUE(equals(grad({x->sum()}, {*w})[0], {2}));
      });
  EXPECT_TRUE(equals(*x, {18}));
  EXPECT_TRUE(equals(grad({x->sum()}, {*w})[0], {12}));
}

TEST(NoMemory, AViewFollowsItsBaseOrDoesNot) {
  Tensor w = leaf({2, 3}), base, v;
  with_failing_allocations(
      [&] {
        base = w * 2;
        v = base.slice(0, 0, 1);
        v.retain_grad();
        base.mul_(w);
      },
      [&] { static_cast<void>(v.requires_grad()); },
      [&] {
        EXPECT_TRUE(equals(grad({(v * v).sum()}, {w}, {}, {.retain_graph = true})[0], {128, 0}));
      });
  v.sum().backward();
  EXPECT_TRUE(equals(v.grad(), {1}));
}

TEST(NoMemory, LeavesGraphAndGradientsAsTheyWere) {
  Tensors x;
  for (int i = 0; i < 20; i++) x.push_back(leaf({static_cast<double>(i), 1}));
  Tensors products;
  for (size_t i = 0; i < x.size(); i++) products.push_back(x[i] * x[(i + 1) % x.size()]);
  const Tensor joined = cat(products), h = std::get<0>(max(joined.reshape({20, 2}), 1));
  h.register_hook([](const Tensor& g) { return g * 2; });
  const Tensor y = (h * h).sum();
  const Tensors wanted = grad({y}, x, {}, {.retain_graph = true});
  const auto unchanged = [&] {
    for (const Tensor& t : x) EXPECT_FALSE(t.grad().defined());
    Tensors g;
    ASSERT_NO_THROW(g = grad({y}, x, {}, {.retain_graph = true}));
    for (size_t i = 0; i < x.size(); i++) EXPECT_TRUE(equals(g[i], wanted[i])) << i;
  };
  with_failing_allocations(
      nothing_to_prepare,
      [&] {
        grad({y, h.sum()}, {x[3], h, joined, x[5]}, {}, {.retain_graph = true});
      },
      unchanged);
  with_failing_allocations(
      nothing_to_prepare, [&] { grad({y}, x, {}, {.create_graph = true}); }, unchanged);
  with_failing_allocations(
      nothing_to_prepare, [&] { y.backward({}, true); }, unchanged);
  for (size_t i = 0; i < x.size(); i++) {
    EXPECT_TRUE(equals(x[i].grad(), wanted[i])) << i;
    x[i].set_grad({});
  }
  with_failing_allocations(
      nothing_to_prepare, [&] { y.backward({}, true, true); }, unchanged);
  // A sum of recorded gradients needs memory, too; and so does one with a gradient that a hook gives back.
  x[0].register_hook([&](const Tensor&) { return x[0].grad().detach(); });
  const auto as_wanted = [&] {
    for (size_t i = 0; i < x.size(); i++) EXPECT_TRUE(equals(x[i].grad(), wanted[i])) << i;
  };
  with_failing_allocations(
      nothing_to_prepare, [&] { y.backward({}, true, true); }, as_wanted);
  for (size_t i = 0; i < x.size(); i++) {
    EXPECT_TRUE(equals(x[i].grad(), wanted[i] * 2)) << i;
    x[i].set_grad(wanted[i].clone());
  }
  with_failing_allocations(
      nothing_to_prepare, [&] { y.backward({}, true); }, as_wanted);
  for (size_t i = 0; i < x.size(); i++) EXPECT_TRUE(equals(x[i].grad(), wanted[i] * 2)) << i;
}

// ---- what is not an op

TEST(NoMemory, LeavesAndHooks) {
  Tensor base = gradus::values({1, 2}, {2}), x;
  with_failing_allocations([&] { x = base.slice(0, 0, 1); }, [&] { x.requires_grad_(); },
                           [&] {
                             EXPECT_FALSE(x.requires_grad());
                             base.fill_(5);
                             EXPECT_TRUE(equals(x, {5}));
                             EXPECT_TRUE(x.is_leaf());
                           });
  EXPECT_TRUE(x.requires_grad());
  with_failing_allocations(
      nothing_to_prepare, [&] { x.set_grad(x); }, [&] { EXPECT_FALSE(x.grad().defined()); });
  Tensor y = x * 2;
  with_failing_allocations(
      nothing_to_prepare, [&] { y.retain_grad(); },
      [&] {
        y.sum().backward({}, true);
        EXPECT_FALSE(y.grad().defined());
      });
  y = x * 2;
  int calls = 0;
  with_failing_allocations(
      nothing_to_prepare, [&] { y.register_hook([&](const Tensor&) { calls++; }); },
      [&] {
        y.sum().backward({}, true);
        EXPECT_EQ(calls, 0);
      });
}

struct SmallNet {
  Tensor x = gradus::values({1, 2}, {1, 2}), w = leaf({1, 2, 3, 4}, {2, 2}), b = leaf({1, 1});
  Tensor loss() const { return square(linear(x, w, b)).sum(); }
};

template <class Optimizer, class Options>
void optimizer_steps() {
  const auto make = [](const SmallNet& net) {
    auto o = std::make_unique<Optimizer>(Tensors{net.w, net.b}, Options{.lr = 0.1});
    return o;
  };
  SmallNet reference;
  const auto expected = make(reference);
  for (int i = 0; i < 2; i++) {
    expected->zero_grad();
    reference.loss().backward();
    expected->step();
  }
  SmallNet net;
  const auto o = make(net);
  for (int i = 0; i < 2; i++) {
    with_failing_allocations(
        nothing_to_prepare,
        [&] {
          o->zero_grad();
          net.loss().backward();
        },
        [] {});
    std::optional<Snapshot> before;
    with_failing_allocations(
        [&] {
          before.emplace(Tensors{net.w, net.b, net.w.grad(), net.b.grad()});
        },
        [&] { o->step(); }, [&] { before->check_elements(); });
  }
  EXPECT_TRUE(same_bits(net.w, reference.w));
  EXPECT_TRUE(same_bits(net.b, reference.b));
}

TEST(NoMemory, OptimizersStep) {
  optimizer_steps<optim::SGD, optim::SGDOptions>();
  optimizer_steps<optim::Adam, optim::AdamOptions>();
  optimizer_steps<optim::RMSprop, optim::RMSpropOptions>();
}

TEST(NoMemory, RecordedSteps) {
  SmallNet net;
  const auto step = [&] { net.loss().backward(); };
  net.loss().backward();
  std::optional<Replay> replay;
  with_failing_allocations([&] { replay.reset(); }, [&] { replay = record(step); },
                           [&] { EXPECT_FALSE(is_recording()); });
  net.w.grad().zero_();
  net.b.grad().zero_();
  (*replay)();
  SmallNet other;
  other.loss().backward();
  EXPECT_TRUE(same_bits(net.w.grad(), other.w.grad()));
  EXPECT_TRUE(same_bits(net.b.grad(), other.b.grad()));
}

}  // namespace
}  // namespace gradus
