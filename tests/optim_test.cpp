#include <gradus/autograd/base/parallel.h>
#include <gradus/autograd/engine/replay.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/join.h>
#include <gradus/autograd/ops/reduce.h>
#include <gradus/optim/adam.h>
#include <gradus/optim/rmsprop.h>
#include <gradus/optim/sgd.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>

#include "text_support.h"

namespace gradus {
namespace {

using Values = std::vector<double>;
using Maker = std::function<std::unique_ptr<optim::Optimizer>(const Tensors&)>;

template <class Optimizer, class Options>
Maker maker(Options options) {
  return [options](const Tensors& parameters) { return std::make_unique<Optimizer>(parameters, options); };
}
Maker sgd(optim::SGDOptions o) { return maker<optim::SGD>(o); }
Maker adam(optim::AdamOptions o) { return maker<optim::Adam>(o); }
Maker rmsprop(optim::RMSpropOptions o) { return maker<optim::RMSprop>(o); }

/// The gradient of step t (from 0) at element i: neither constant nor of one sign.
double gradient(int t, int i) { return std::sin(1.7 * t + i) + 0.1 * i; }

/// One element's way under an update rule in plain doubles: rule(t, x, g, state) gives the new x.
using Rule = double (*)(int t, double x, double g, double* state);

void expect_trajectory(const Maker& make, Rule rule, Dtype dtype = kFloat64, double tolerance = 1e-13) {
  const int n = 37, steps = 12;
  std::vector<double> start(n);
  for (int i = 0; i < n; i++) start[static_cast<size_t>(i)] = std::cos(i);
  Tensor x = tensor(start, dtype).requires_grad_();
  Values expected = start;
  std::vector<std::array<double, 3>> state(n);
  const auto optimizer = make({x});
  for (int t = 0; t < steps; t++) {
    Values g;
    for (int i = 0; i < n; i++) g.push_back(gradient(t, i));
    x.set_grad(tensor(g, dtype));
    optimizer->step();
    for (size_t i = 0; i < expected.size(); i++)
      expected[i] = rule(t + 1, expected[i], g[i], state[i].data());
    const Values got = x.to_vector();
    for (size_t i = 0; i < expected.size(); i++)
      ASSERT_NEAR(got[i], expected[i], tolerance) << "step " << t << ", element " << i;
  }
}

TEST(Sgd, FollowsItsFormulas) {
  expect_trajectory(sgd({.lr = 0.1}), [](int, double x, double g, double*) { return x - 0.1 * g; });
  expect_trajectory(sgd({.lr = 0.1, .weight_decay = 0.05}),
                    [](int, double x, double g, double*) { return x - 0.1 * (g + 0.05 * x); });
  expect_trajectory(sgd({.lr = 0.1, .momentum = 0.9}), [](int, double x, double g, double* m) {
    *m = 0.9 * *m + g;
    return x - 0.1 * *m;
  });
  // The first step copies the gradient, undamped.
  expect_trajectory(sgd({.lr = 0.1, .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.05}),
                    [](int t, double x, double g, double* m) {
                      g += 0.05 * x;
                      *m = t == 1 ? g : 0.9 * *m + 0.7 * g;
                      return x - 0.1 * *m;
                    });
  expect_trajectory(sgd({.lr = 0.1, .momentum = 0.9, .nesterov = true}),
                    [](int, double x, double g, double* m) {
                      *m = 0.9 * *m + g;
                      return x - 0.1 * (g + 0.9 * *m);
                    });
  expect_trajectory(
      sgd({.lr = 0.1, .momentum = 0.5}),
      [](int, double x, double g, double* m) {
        *m = 0.5 * *m + g;
        return x - 0.1 * *m;
      },
      kFloat32, 3e-6);
}

TEST(Adam, FollowsItsFormulas) {
  const Rule plain = [](int t, double x, double g, double* s) {
    s[0] = 0.9 * s[0] + 0.1 * g;
    s[1] = 0.999 * s[1] + 0.001 * g * g;
    const double m = s[0] / (1 - std::pow(0.9, t)), v = s[1] / (1 - std::pow(0.999, t));
    return x - 0.001 * m / (std::sqrt(v) + 1e-8);
  };
  expect_trajectory(adam({}), plain);
  expect_trajectory(adam({}), plain, kFloat32, 1e-6);
  expect_trajectory(
      adam({.lr = 0.02, .betas = {0.8, 0.9}, .eps = 1e-3, .weight_decay = 0.1, .amsgrad = true}),
      [](int t, double x, double g, double* s) {
        g += 0.1 * x;
        s[0] = 0.8 * s[0] + 0.2 * g;
        s[1] = 0.9 * s[1] + 0.1 * g * g;
        s[2] = std::max(s[2], s[1]);
        const double m = s[0] / (1 - std::pow(0.8, t)), v = s[2] / (1 - std::pow(0.9, t));
        return x - 0.02 * m / (std::sqrt(v) + 1e-3);
      });
}

TEST(RmsProp, FollowsItsFormulas) {
  const Rule plain = [](int, double x, double g, double* s) {
    s[0] = 0.99 * s[0] + 0.01 * g * g;
    return x - 0.01 * g / (std::sqrt(s[0]) + 1e-8);
  };
  expect_trajectory(rmsprop({}), plain);
  expect_trajectory(rmsprop({}), plain, kFloat32, 1e-5);
  const Rule all = [](int, double x, double g, double* s) {
    g += 0.1 * x;
    s[0] = 0.9 * s[0] + 0.1 * g * g;
    s[1] = 0.9 * s[1] + 0.1 * g;
    s[2] = 0.8 * s[2] + g / (std::sqrt(s[0] - s[1] * s[1]) + 1e-3);
    return x - 0.05 * s[2];
  };
  expect_trajectory(
      rmsprop(
          {.lr = 0.05, .alpha = 0.9, .eps = 1e-3, .weight_decay = 0.1, .momentum = 0.8, .centered = true}),
      all);
}

const std::vector<Maker>& all_kinds() {
  static const std::vector<Maker> kinds = {
      sgd({.lr = 0.1}),   sgd({.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true}),
      adam({.lr = 0.01}), adam({.lr = 0.01, .amsgrad = true}),
      rmsprop({}),        rmsprop({.momentum = 0.9, .centered = true})};
  return kinds;
}

TEST(Optimizer, SkipsParametersWithoutGradient) {
  for (const Maker& make : all_kinds()) {
    Tensor x = ones({3}, kFloat64).requires_grad_(), alone = ones({3}, kFloat64).requires_grad_();
    const auto together = make({ones({2}).requires_grad_(), x}), single = make({alone});
    for (int t = 0; t < 6; t++) {
      together->zero_grad();
      if (t % 2 == 0) {
        for (Tensor* p : {&x, &alone}) p->set_grad(full({3}, gradient(t, 1), kFloat64));
        single->step();
      }
      together->step();
      EXPECT_EQ(x.to_vector(), alone.to_vector());
    }
    EXPECT_NE(x.to_vector(), Values(3, 1.0));
    EXPECT_EQ(together->parameters()[0].to_vector(), Values(2, 1.0));
  }
}

TEST(Optimizer, TrainsWhatAutogradDifferentiates) {
  for (const Maker& make : all_kinds()) {
    Tensor x = tensor({3.0, -2.0}).requires_grad_();
    const auto optimizer = make({x});
    const double before = (x * x).sum().item();
    for (int t = 0; t < 5; t++) {
      optimizer->zero_grad();
      EXPECT_FALSE(x.grad().defined());
      (x * x).sum().backward();
      optimizer->step();
    }
    EXPECT_LT((x * x).sum().item(), before);
    EXPECT_TRUE(x.is_leaf() && x.requires_grad());
  }
}

TEST(Optimizer, TakesStridedAndRecordedGradients) {
  for (const Maker& make : all_kinds()) {
    Tensor a = zeros({2, 3}, kFloat64).requires_grad_(), b = zeros({2, 3}, kFloat64).requires_grad_();
    const Tensor g = tensor({{1.0, 2.0}, {3.0, 4.0}, {5.0, 6.0}}, kFloat64).requires_grad_();
    a.set_grad(g.t());
    b.set_grad(g.detach().t().clone());
    make({a})->step();
    make({b})->step();
    EXPECT_EQ(a.to_vector(), b.to_vector());
    EXPECT_TRUE(a.is_leaf());
  }
}

TEST(Optimizer, RaisesTheVersionOfWhatItChanges) {
  Tensor x = ones({2}).requires_grad_();
  const Tensor y = (x * x).sum();
  x.set_grad(ones({2}));
  optim::SGD({x}, {.lr = 0.1}).step();
  EXPECT_NE(error_of([&] { y.backward(); }), "");
}

TEST(Optimizer, LearningRateCanBeChanged) {
  Tensor x = zeros({1}, kFloat64).requires_grad_();
  optim::SGD optimizer({x}, {.lr = 0.5});
  x.set_grad(ones({1}, kFloat64));
  optimizer.step();
  optimizer.set_lr(0.25);
  EXPECT_EQ(optimizer.lr(), 0.25);
  optimizer.step();
  EXPECT_EQ(x.item(), -0.75);
  EXPECT_EQ(error_of([&] { optimizer.set_lr(-1); }), "SGD: lr must be at least 0 and finite in float64: -1");
  EXPECT_EQ(optimizer.lr(), 0.25);
}

/// Parameters of several sizes and both dtypes, some of them longer than a thread's share, with the gradients
/// of three steps.
Tensors trained(const Maker& make, bool together) {
  manual_seed(4);
  Tensors x{randn({200'003}),      randn({1}), randn({70'000}, kFloat64),
            randn({17}, kFloat64), randn({0}), randn({33'001})};
  std::vector<std::unique_ptr<optim::Optimizer>> optimizers;
  for (Tensor& p : x) p.requires_grad_();
  if (together)
    optimizers.push_back(make(x));
  else
    for (const Tensor& p : x) optimizers.push_back(make({p}));
  for (int t = 0; t < 3; t++) {
    for (Tensor& p : x) p.set_grad(randn(p.shape(), p.dtype()));
    for (const auto& optimizer : optimizers) optimizer->step();
  }
  return x;
}
void expect_equal(const Tensors& a, const Tensors& b) {
  for (size_t i = 0; i < a.size(); i++) EXPECT_EQ(a[i].to_vector(), b[i].to_vector()) << i;
}

TEST(Optimizer, ResultsDoNotDependOnThreads) {
  const int threads = num_threads();
  for (const Maker& make : all_kinds()) {
    set_num_threads(1);
    const Tensors one = trained(make, true);
    for (const int n : {2, 3, 8}) {
      set_num_threads(n);
      expect_equal(trained(make, true), one);
    }
  }
  set_num_threads(threads);
}

TEST(Optimizer, MovesParametersTogetherAsAlone) {
  for (const Maker& make : all_kinds()) expect_equal(trained(make, true), trained(make, false));
}

TEST(Optimizer, ReplayedStepsAreTheEagerOnes) {
  for (const Maker& make : all_kinds()) {
    struct Trained {
      Tensor x = tensor({3.0, -2.0, 0.5}, kFloat64).requires_grad_(), y = full({40'000}, 2).requires_grad_();
      std::unique_ptr<optim::Optimizer> optimizer;
      explicit Trained(const Maker& make) : optimizer(make({x, y})) {}
      void operator()() const {
        optimizer->zero_grad();
        ((x * x).sum() + (y * y * y).mean()).backward();
        optimizer->step();
      }
    };
    const Trained eager(make);
    for (int t = 0; t < 7; t++) {
      if (t == 4) eager.optimizer->set_lr(0.03);
      eager();
    }
    const Trained recorded(make);
    Replay step = record([&] { recorded(); });
    step();
    recorded.optimizer->set_lr(0.03);
    recorded.optimizer->zero_grad();
    for (int t = 4; t < 7; t++) step();
    const auto a = eager.optimizer->state_dict(), b = recorded.optimizer->state_dict();
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); i++) EXPECT_EQ(a[i].second.to_vector(), b[i].second.to_vector());
    EXPECT_EQ(eager.x.to_vector(), recorded.x.to_vector());
    EXPECT_EQ(eager.y.to_vector(), recorded.y.to_vector());
  }
}

TEST(Optimizer, AStateThatBeginsInARecordedStepIsKept) {
  Tensor x = ones({3}, kFloat64).requires_grad_(), late = ones({3}, kFloat64).requires_grad_();
  optim::SGD optimizer({x, late}, {.lr = 0.1, .momentum = 0.5});
  int steps = 0;
  const auto one = [&] {
    optimizer.zero_grad();
    (steps++ < 2 ? x.sum() : x.sum() + late.sum()).backward();
    optimizer.step();
  };
  record(one)();
  // m = 1, then 1.5: moved by 0.25 in two steps.
  EXPECT_NEAR(late.at({0}), 0.75, 1e-15);
}

TEST(Optimizer, MomentsDoNotDecayToDenormals) {
  Tensor x = full({100}, 1).requires_grad_();
  optim::Adam optimizer({x}, {.betas = {0.5, 0.5}});
  x.set_grad(full({100}, 1));
  optimizer.step();
  x.set_grad(zeros({100}));
  const auto moments = [&](int steps) {
    for (int t = 0; t < steps; t++) optimizer.step();
    const auto state = optimizer.state_dict();
    return cat({state.at(2).second, state.at(3).second}, 0).to_vector<float>();
  };
  for (const float m : moments(125)) ASSERT_GE(m, std::numeric_limits<float>::min());
  for (const float m : moments(5)) ASSERT_EQ(m, 0);
  // Elsewhere denormal numbers are what they were.
  const volatile float least = std::numeric_limits<float>::min();
  EXPECT_GT(least / 2, 0);
}

TEST(Optimizer, RefusesBadParameters) {
  Tensor x = ones({2}).requires_grad_();
  const auto error = [](const Tensors& parameters) {
    return error_of([&] { optim::SGD(parameters, {.lr = 0.1}); });
  };
  EXPECT_EQ(error({}), "SGD: there are no parameters");
  EXPECT_EQ(error({x, Tensor()}), "SGD: parameter 1 is undefined");
  EXPECT_EQ(error({tensor({1, 2})}), "SGD: parameter 0 is int64, not floating");
  EXPECT_EQ(error({x * 2}), "SGD: parameter 0 is the result of 'mul'; only leaves are trained");
  EXPECT_EQ(error({x, ones({1}), x}), "SGD: parameters 0 and 2 are the same");
  EXPECT_EQ(error({ones({2, 3}).t()}), "SGD: parameter 0 is not contiguous; clone() it");
}

TEST(Optimizer, RefusesBadOptions) {
  const Tensors x{ones({2}).requires_grad_()};
  const auto refused = [&](const Maker& make) { return error_of([&] { make(x); }); };
  EXPECT_EQ(refused(sgd({.lr = -0.1})), "SGD: lr must be at least 0 and finite in float32: -0.1");
  EXPECT_EQ(refused(sgd({.lr = 0.1, .momentum = -1})),
            "SGD: momentum must be at least 0 and finite in float32: -1");
  EXPECT_EQ(refused(sgd({.lr = 0.1, .nesterov = true})),
            "SGD: nesterov takes a momentum and no dampening: momentum 0, dampening 0");
  EXPECT_EQ(refused(adam({.betas = {0.9, 1}})), "Adam: betas[1] must lie in [0, 1), in float32, too: 1");
  const double nan = std::nan("");
  for (const Maker& make : {sgd({.lr = nan}), sgd({.lr = 1, .weight_decay = -1}),
                            sgd({.lr = 1, .momentum = 0.9, .dampening = 0.1, .nesterov = true}),
                            adam({.lr = -1}), adam({.betas = {-0.1, 0.9}}), adam({.eps = -1}),
                            adam({.weight_decay = nan}), rmsprop({.lr = -1}), rmsprop({.alpha = -1}),
                            rmsprop({.eps = -1}), rmsprop({.weight_decay = -1}), rmsprop({.momentum = -1})})
    EXPECT_NE(refused(make), "");
}

TEST(OptimizerState, IsCheckedBeforeAnythingChanges) {
  Tensor x = ones({2}).requires_grad_();
  optim::Adam optimizer({x}, {.lr = 0.1});
  x.set_grad(ones({2}));
  optimizer.step();
  const auto state = optimizer.state_dict();
  ASSERT_EQ(state.size(), 4u);
  EXPECT_EQ(state[0].first, "lr");
  EXPECT_EQ(state[1].first, "0.step");
  EXPECT_EQ(state[2].first, "0.exp_avg");
  EXPECT_EQ(state[3].first, "0.exp_avg_sq");

  const auto with = [&](size_t i, const std::string& name, const Tensor& value) {
    auto changed = state;
    changed[i] = {name, value};
    return error_of([&] { optimizer.load_state_dict(changed); });
  };
  EXPECT_EQ(with(2, "0.exp_avg", zeros({3})),
            "Adam: load_state_dict: '0.exp_avg' is float32 [3], it must be float32 [2]");
  EXPECT_EQ(with(2, "0.momentum_buffer", zeros({2})), "Adam: load_state_dict: '0.exp_avg' is missing");
  EXPECT_EQ(with(0, "rate", zeros({})), "Adam: load_state_dict: 'lr' is missing");
  EXPECT_EQ(with(1, "0.step", tensor(0)),
            "Adam: load_state_dict: '0.step' must lie in [1, 9007199254740992]: 0");
  EXPECT_EQ(with(0, "lr", tensor(-1.0, kFloat64)),
            "Adam: load_state_dict: lr must be at least 0 and finite in float32: -1");
  auto longer = state;
  longer.emplace_back("1.step", tensor(1));
  EXPECT_EQ(error_of([&] { optimizer.load_state_dict(longer); }),
            "Adam: load_state_dict: '1.step' is not in this optimizer");
  longer.back().first = "lr";
  EXPECT_EQ(error_of([&] { optimizer.load_state_dict(longer); }),
            "Adam: load_state_dict: 'lr' is given twice");
  const auto after = optimizer.state_dict();
  for (size_t i = 0; i < state.size(); i++)
    EXPECT_EQ(after[i].second.to_vector(), state[i].second.to_vector());
}

TEST(OptimizerState, IsACopy) {
  Tensor x = ones({2}).requires_grad_();
  optim::SGD optimizer({x}, {.lr = 0.1, .momentum = 0.9});
  x.set_grad(ones({2}));
  optimizer.step();
  const auto state = optimizer.state_dict();
  optimizer.step();
  EXPECT_EQ(state.at(2).second.to_vector(), (Values{1, 1}));
  optimizer.load_state_dict(state);
  optimizer.step();
  EXPECT_EQ(state.at(2).second.to_vector(), (Values{1, 1}));
}

}  // namespace
}  // namespace gradus
