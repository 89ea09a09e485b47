#include <gradus/autograd/base/pool.h>
#include <gradus/autograd/engine/replay.h>
#include <gradus/autograd/ops/index.h>
#include <gradus/autograd/ops/loss.h>
#include <gradus/autograd/ops/matmul.h>
#include <gradus/autograd/ops/reduce.h>

#include <gmock/gmock.h>

#include "table_support.h"

namespace gradus::table {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

/// The same elements from the last to the first: other values in the op's domain.
Tensor turned_round(const Tensor& x) {
  std::vector<double> values = x.to_vector();
  std::reverse(values.begin(), values.end());
  return tensor(values, x.shape(), x.dtype());
}

/// What one step computes: results, gradients, and gradients of the gradients.
struct Step {
  const OpRow& row;
  const OpSample& sample;
  Tensors x, g, y, dx;

  Step(const OpRow& r, const OpSample& s, const Tensors& inputs)
      : row(r), sample(s), x(leaves(inputs)), g(random_gradients(recorded_of(run(row, x, s.attrs)), 7)) {}
  void operator()() {
    for (Tensor& t : x) t.set_grad({});
    y = run(row, x, sample.attrs);
    const Tensors recorded = recorded_of(y);
    if (recorded.empty()) return;
    backward(recorded, g, row.orders > 1);
    if (row.orders < 2) return;
    dx = gradients(recorded, floating_of(x), g, true);
    Tensors curved = recorded_of(dx);
    if (!curved.empty()) backward(curved, curved);
  }
  void expect_same_as(const Step& other) const {
    ASSERT_EQ(y.size(), other.y.size());
    for (size_t i = 0; i < y.size(); i++) EXPECT_TRUE(same_bits(y[i], other.y[i])) << "result " << i;
    for (size_t i = 0; i < x.size(); i++) {
      ASSERT_EQ(x[i].grad().defined(), other.x[i].grad().defined());
      if (!x[i].grad().defined()) continue;
      EXPECT_TRUE(same_bits(x[i].grad(), other.x[i].grad())) << "gradient " << i;
    }
    for (size_t i = 0; i < dx.size(); i++) EXPECT_TRUE(same_bits(dx[i], other.dx[i])) << "dx " << i;
  }
};

TEST(Replay, EveryOpIsBitEqualOnNewInputs) {
  for_each_sample(any_row, [](const OpRow& row, const OpSample& sample, size_t) {
    Tensors others;
    // Indices and conditions stay: they may have to be different from each other.
    for (const Tensor& t : sample.inputs) others.push_back(is_floating(t.dtype()) ? turned_round(t) : t);
    Step recorded(row, sample, sample.inputs), eager(row, sample, others);
    recorded.g = eager.g;
    Replay replay = record([&] { recorded(); });
    eager();
    {
      const NoGrad no_grad;
      for (size_t i = 0; i < others.size(); i++) recorded.x[i].copy_(others[i]);
    }
    replay();
    recorded.expect_same_as(eager);
  });
}

/// A small training step: y = tanh(x w), w moved along its gradient.
struct Training {
  Tensor x = scattered({5, 3}), w = scattered({3, 2}, -1, 1, 1).requires_grad_(), loss;

  void operator()() {
    w.set_grad({});
    loss = tanh(matmul(x, w)).sum();
    loss.backward();
    const NoGrad no_grad;
    w.sub_(w.grad() * 0.1);
  }
};

TEST(Replay, StepsGoOnAsIfEager) {
  Training recorded, eager;
  Replay replay = record([&] { recorded(); });
  EXPECT_GT(replay.kernels(), 4);
  for (int i = 0; i < 3; i++) eager();
  for (int i = 0; i < 5; i++) {
    EXPECT_TRUE(same_bits(recorded.loss, eager.loss)) << i;
    EXPECT_TRUE(same_bits(recorded.w, eager.w)) << i;
    EXPECT_TRUE(same_bits(recorded.w.grad(), eager.w.grad())) << i;
    replay();
    eager();
  }
}

TEST(Replay, KeepsAliveWhatItsKernelsTouch) {
  const int64_t before = pool::live_blocks();
  {
    auto training = std::make_unique<Training>();
    Training eager;
    Replay replay = record([t = training.get()] { (*t)(); }, 1);
    const Tensor w = training->w.detach();
    training.reset();
    Replay copy = replay;
    replay = record([&] { eager(); }, 1);
    copy();
    for (int i = 0; i < 1; i++) eager();
    EXPECT_TRUE(same_bits(w, eager.w));
  }
  EXPECT_EQ(pool::live_blocks(), before);
}

TEST(Replay, ReusesTheMemoryThatTheStepDropped) {
  const Tensor x = scattered({1000});
  Tensor y;
  const int64_t before = pool::live_blocks();
  Replay replay = record([&] {
    const NoGrad no_grad;
    y = x;
    for (int i = 0; i < 100; i++) y = y * 0.5 + 1;
  });
  EXPECT_LT(pool::live_blocks() - before, 20);
  const Tensor last = y.clone();
  replay();
  EXPECT_TRUE(same_bits(y, last));
}

TEST(Replay, AGraphOutsideThatSavedWhatItWritesRefuses) {
  Training training;
  Replay replay = record([&] { training(); });
  const Tensor scale = scattered({}).requires_grad_();
  const Tensor outside = training.loss.detach() * scale, weights = (training.w * training.w).sum();
  replay();
  EXPECT_THAT([&] { outside.backward(); }, ThrowsMessage<GradError>(HasSubstr("changed in place")));
  EXPECT_THAT([&] { weights.backward(); }, ThrowsMessage<GradError>(HasSubstr("changed in place")));
}

TEST(Replay, WhatAReplayWouldNotDoAgainIsRefused) {
  Training training;
  const auto refused = [&](const std::function<void()>& what, const char* text) {
    int steps = 0;
    EXPECT_THAT(([&] {
                  record([&] {
                    training();
                    if (++steps == 3) what();
                  });
                }),
                ThrowsMessage<Error>(HasSubstr(text)));
    // Nothing is left recording.
    EXPECT_TRUE(std::isfinite(training.loss.item()));
  };
  refused([&] { training.loss.item(); }, "item: not while a step is recorded");
  refused([&] { training.w.at({0, 0}); }, "at: not while");
  refused([&] { training.w.to_vector(); }, "to_vector: not while");
  refused([&] { training.w.data<double>(); }, "data: not while");
  refused([&] { training.w.mutable_data<double>(); }, "mutable_data: not while");
  refused([&] { str(training.w); }, "not while");
  refused([&] { tensor({1., 2.}); }, "tensor: not while");
  refused([&] { record([] {}); }, "record: not while");
  Replay replay = record([&] { training(); });
  refused([&] { replay(); }, "replay: not while");
  EXPECT_THAT([&] { record([&] { training(); }, 0); }, ThrowsMessage<Error>(HasSubstr("warm-up")));
}

TEST(Replay, ATensorThatTheStepReplacesIsRefused) {
  const Tensor w = scattered({2, 2});
  Tensor state = scattered({1, 2}, -1, 1, 1);
  EXPECT_THAT([&] { record([&] { state = tanh(matmul(state, w)); }); },
              ThrowsMessage<Error>(HasSubstr("dropped or replaced")));
  Replay replay = record([&] { state.copy_(tanh(matmul(state, w))); });
  const Tensor next = tanh(matmul(state, w));
  replay();
  EXPECT_TRUE(same_bits(state, next));
}

TEST(Replay, GradientsThatAreAddedToMustStay) {
  const Tensor x = scattered({4});
  Tensor w = scattered({4}, -1, 1, 1).requires_grad_();
  const auto step = [&] { (x * w).sum().backward(); };
  Replay replay = record(step);
  replay();
  EXPECT_TRUE(same_bits(w.grad(), x + x + x + x));
  w.set_grad({});
  EXPECT_THAT([&] { replay(); }, ThrowsMessage<Error>(HasSubstr("was dropped or replaced")));

  Replay fresh = record([&] {
    w.set_grad({});
    step();
  });
  w.set_grad({});
  fresh();
  EXPECT_TRUE(same_bits(w.grad(), x));
}

TEST(Replay, DataIsCheckedInEveryCall) {
  const Tensor x = scattered({3, 4});
  Tensor index = tensor({{0}, {1}, {2}}), y;
  Replay replay = record([&] { y = gather(x, 1, index); });
  index.copy_(tensor({{3}, {9}, {1}}));
  EXPECT_THAT([&] { replay(); }, ThrowsMessage<IndexError>(HasSubstr("index 9 is out of range")));
  index.copy_(tensor({{3}, {2}, {1}}));
  replay();
  EXPECT_TRUE(same_bits(y, gather(x, 1, index)));
}

TEST(Replay, RandomNumbersGoOn) {
  Tensor y;
  manual_seed(5);
  Replay replay = record([&] { y = randn({6}) + rand({6}); });
  std::vector<Tensor> drawn;
  for (int i = 0; i < 3; i++) {
    replay();
    drawn.push_back(y.clone());
  }
  manual_seed(5);
  for (int i = 0; i < 3; i++) randn({6}) + rand({6});
  for (int i = 0; i < 3; i++) EXPECT_TRUE(same_bits(drawn[i], randn({6}) + rand({6}))) << i;
}

// ---- what a recorded step consists of

std::vector<std::string> names_of(const Profile& p) {
  std::vector<std::string> names;
  for (const Profile::Kernel& k : p.kernels) names.push_back(k.name);
  return names;
}

TEST(Profile, ListsKernelsWithOperands) {
  const Tensor x = scattered({4, 3}), b = zeros({2}, kFloat64);
  Tensor w = scattered({2, 3}).requires_grad_();
  const Replay step = record([&] {
    w.set_grad({});
    tanh(linear(x, w, b)).sum().backward();
  });
  const Profile p = step.list();
  EXPECT_EQ(static_cast<int64_t>(p.kernels.size()), step.kernels());
  EXPECT_THAT(names_of(p), testing::ElementsAre("matmul", "tanh", "sum", "fill", "tanh: dx", "matmul"));
  const Profile::Kernel& product = p.kernels[0];
  ASSERT_EQ(product.operands.size(), 4u);
  EXPECT_EQ(product.operands[0].shape, (Shape{4, 2}));
  EXPECT_TRUE(product.operands[0].written);
  EXPECT_EQ(product.operands[2].shape, (Shape{2, 3}));
  EXPECT_FALSE(product.operands[2].written);
  EXPECT_EQ(product.operands[3].dtype, kFloat64);
  EXPECT_EQ(product.bytes, 8 * (8 + 12 + 6 + 2));
  // The gradient of the sum is one number, repeated.
  EXPECT_EQ(p.kernels[4].bytes, 8 * (8 + 8 + 1));
  EXPECT_EQ(p.runs, 0);
  EXPECT_THAT(p.str(), HasSubstr("tanh: dx"));
  EXPECT_THAT(p.str(), HasSubstr("6 kernels"));
  EXPECT_THAT(p.str(), testing::Not(HasSubstr("share")));
}

TEST(Profile, MeasuresRealSteps) {
  Tensor x = zeros({3}, kFloat64);
  Replay step = record([&] { x.add_(1); });
  const Profile p = step.profile(5);
  EXPECT_EQ(x.to_vector(), std::vector<double>(3, 3 + 5));
  EXPECT_EQ(p.runs, 5);
  EXPECT_THAT(names_of(p), testing::ElementsAre("fill", "add"));
  EXPECT_GE(p.ns(), 0);
  EXPECT_THAT(p.str(), HasSubstr("share"));
  EXPECT_THAT([&] { step.profile(0); }, ThrowsMessage<Error>(HasSubstr("profile: at least 1 run")));
  EXPECT_THAT([&] { record([&] { step.profile(); }); },
              ThrowsMessage<Error>(HasSubstr("profile: not while")));
  const Profile none = record([] {}).profile();
  EXPECT_TRUE(none.kernels.empty());
  EXPECT_THAT(none.str(), HasSubstr("0 kernels"));
}

TEST(Profile, EveryOpsKernelsHaveNamesAndWriteSomething) {
  for_each_sample(any_row, [](const OpRow& row, const OpSample& sample, size_t) {
    const Tensors x = leaves(sample.inputs);
    Tensors y;
    const Profile p = record([&] { y = run(row, x, sample.attrs); }).list();
    for (const Profile::Kernel& k : p.kernels) {
      EXPECT_FALSE(k.name.empty());
      const bool writes =
          std::any_of(k.operands.begin(), k.operands.end(), [](const auto& o) { return o.written; });
      EXPECT_TRUE(writes || k.name.starts_with("check_")) << k.name;
    }
  });
}

TEST(Profile, ABatchedProductIsOneKernel) {
  const Tensor a = scattered({5, 2, 3}).requires_grad_(), b = scattered({4, 1, 3, 2}).requires_grad_();
  Tensors dx;
  const Profile p = record([&] { dx = gradients({matmul(a, b).sum()}, {a, b}, {}, false); }).list();
  const std::vector<std::string> names = names_of(p);
  EXPECT_EQ(std::count(names.begin(), names.end(), "matmul"), 3);
}

}  // namespace
}  // namespace gradus::table
