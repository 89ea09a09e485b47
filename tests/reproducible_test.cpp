// The networks that Gradus is measured on give the same bits on any number of threads, in every run, and
// replayed.
#include <gradus/autograd/base/parallel.h>
#include <gradus/autograd/base/pool.h>
#include <gradus/autograd/engine/replay.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/loss.h>
#include <gradus/nn/linear.h>
#include <gradus/nn/module.h>
#include <gradus/optim/adam.h>
#include <gradus/optim/rmsprop.h>
#include <gradus/optim/sgd.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <optional>

#include "table_support.h"

namespace gradus {
namespace {

struct Threads {
  explicit Threads(int n) : before(num_threads()) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before;
};

using MakeOptimizer = std::function<std::unique_ptr<optim::Optimizer>(Tensors)>;
template <class O, class Options>
MakeOptimizer make(Options options) {
  return [options](Tensors parameters) { return std::make_unique<O>(std::move(parameters), options); };
}

struct Workload {
  std::string name;
  Dtype dtype;
  int64_t samples;
  std::vector<int64_t> widths;
  Tensor (*activation)(const Tensor&);
  MakeOptimizer optimizer;
  int steps;
};

const optim::SGDOptions kMomentum{.lr = 0.01, .momentum = 0.9};
const std::vector<Workload> kWorkloads = {
    {"planar f32", kFloat32, 400, {2, 4, 1}, tanh, make<optim::SGD>(optim::SGDOptions{.lr = 1.2}), 50},
    {"planar f64", kFloat64, 400, {2, 4, 1}, tanh, make<optim::SGD>(optim::SGDOptions{.lr = 1.2}), 50},
    {"cats f32",
     kFloat32,
     209,
     {12288, 20, 7, 5, 1},
     relu,
     make<optim::SGD>(optim::SGDOptions{.lr = 0.0075}),
     6},
    {"cats f64",
     kFloat64,
     209,
     {12288, 20, 7, 5, 1},
     relu,
     make<optim::SGD>(optim::SGDOptions{.lr = 0.0075}),
     6},
    {"mlp SGD", kFloat32, 64, {784, 512, 512, 10}, relu, make<optim::SGD>(optim::SGDOptions{.lr = 0.01}), 6},
    {"mlp momentum", kFloat32, 64, {784, 512, 512, 10}, relu, make<optim::SGD>(kMomentum), 6},
    {"mlp Adam", kFloat32, 64, {784, 512, 512, 10}, relu, make<optim::Adam>(optim::AdamOptions{}), 6},
    {"mlp RMSprop",
     kFloat32,
     64,
     {784, 512, 512, 10},
     relu,
     make<optim::RMSprop>(optim::RMSpropOptions{}),
     6},
};

struct Mlp {
  std::vector<nn::Linear> layers;
  Mlp(const std::vector<int64_t>& widths, Dtype dtype) {
    for (size_t i = 0; i + 1 < widths.size(); i++) layers.emplace_back(widths[i], widths[i + 1], true, dtype);
  }
  Tensor operator()(Tensor x, Tensor (*activation)(const Tensor&)) const {
    for (size_t i = 0; i + 1 < layers.size(); i++) x = activation(layers[i](x));
    return layers.back()(x);
  }
  void visit(nn::Visitor& v) { v("layers", layers); }
};

/// Trains; results are the loss of every step and the parameters at the end.
Tensors train(const Workload& w, int threads, bool replayed) {
  const Threads used(threads);
  manual_seed(4);
  Mlp model(w.widths, w.dtype);
  const int64_t classes = w.widths.back();
  const Tensor x = randn({w.samples, w.widths[0]}, w.dtype);
  const Tensor target = classes == 1 ? (rand({w.samples, 1}) < 0.5).to(w.dtype)
                                     : (rand({w.samples}) * static_cast<double>(classes)).to(kInt64);
  const auto optimizer = w.optimizer(nn::parameters(model));
  Tensor loss;
  const auto step = [&] {
    optimizer->zero_grad();
    const Tensor y = model(x, w.activation);
    loss = classes == 1 ? binary_cross_entropy(sigmoid(y), target) : cross_entropy(y, target);
    loss.backward();
    optimizer->step();
  };
  Tensors results;
  int done = 0;
  std::function<void()> next = step;
  std::optional<Replay> replay;
  if (replayed) {
    replay = record(step, 2);
    done = 3;
    next = *replay;
  }
  for (; done < w.steps; done++) {
    // Learning rates may change between steps, replayed or not.
    if (done == w.steps / 2) optimizer->set_lr(optimizer->lr() / 2);
    next();
    results.push_back(loss.clone());
  }
  const size_t skipped = replayed ? 0 : 3;
  results.erase(results.begin(), results.begin() + static_cast<int64_t>(skipped));
  for (const Tensor& p : nn::parameters(model)) results.push_back(p.detach().clone());
  return results;
}

TEST(Reproducible, BitsDoNotDependOnThreadsRunsOrReplay) {
  for (const Workload& w : kWorkloads) {
    const Tensors once = train(w, 1, false);
    ASSERT_GT(once.size(), 4u);
    const auto expect_same = [&](const Tensors& again, const std::string& how) {
      ASSERT_EQ(again.size(), once.size()) << w.name << how;
      for (size_t i = 0; i < once.size(); i++)
        EXPECT_TRUE(table::same_bits(again[i], once[i])) << w.name << how << ", result " << i;
    };
    expect_same(train(w, 1, false), " again");
    for (const int threads : {1, 2, 4, 8}) {
      if (threads > 1) expect_same(train(w, threads, false), fmt::format(" on {} threads", threads));
      expect_same(train(w, threads, true), fmt::format(" replayed on {} threads", threads));
    }
  }
}

/// Peak resident memory in KiB since it was last called with `reset`.
int64_t peak_kib(bool reset) {
  if (reset) std::ofstream("/proc/self/clear_refs") << 5;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmHWM:", 0) == 0) return std::atol(line.c_str() + 6);
  return 0;
}

TEST(Memory, TheCatNetTakesHalfAgainOfItsDataParametersAndActivations) {
  if (pool::kBypassed) GTEST_SKIP() << "a sanitizer keeps freed memory for a while";
  const std::vector<int64_t> widths{12288, 20, 7, 5, 1};
  int64_t elements = 209 * widths[0];
  for (size_t i = 1; i < widths.size(); i++) elements += widths[i] * (widths[i - 1] + 1) + 209 * widths[i];
  const int64_t before = peak_kib(true);
  Mlp model(widths, kFloat32);
  const Tensor x = full({209, widths[0]}, 0.5), target = zeros({209, 1});
  optim::SGD optimizer(nn::parameters(model), {.lr = 0.0075});
  for (int i = 0; i < 5; i++) {
    optimizer.zero_grad();
    binary_cross_entropy(sigmoid(model(x, relu)), target).backward();
    optimizer.step();
  }
  EXPECT_LE(peak_kib(false) - before, elements * 4 * 3 / 2 / 1024);
}

}  // namespace
}  // namespace gradus
