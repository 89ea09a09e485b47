// The trainings that are benchmarked, on data of their shapes: the same bits on any number of threads, and
// replayed.
#include <gradus/autograd/base/parallel.h>
#include <gradus/autograd/engine/replay.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/loss.h>
#include <gradus/nn/activation.h>
#include <gradus/nn/linear.h>
#include <gradus/nn/module.h>
#include <gradus/nn/sequential.h>
#include <gradus/optim/adam.h>
#include <gradus/optim/sgd.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>

namespace gradus {
namespace {

/// A model, how it learns, and what.
struct Training {
  nn::Sequential model;
  std::unique_ptr<optim::Optimizer> optimizer;
  std::function<Tensor(const nn::Sequential&)> loss;
};

template <class Optimizer, class Options>
Training train(nn::Sequential model, Options options, std::function<Tensor(const nn::Sequential&)> loss) {
  const Tensors parameters = nn::parameters(model);
  return {std::move(model), std::make_unique<Optimizer>(parameters, options), std::move(loss)};
}
Training planar(Dtype dtype) {
  const Tensor x = randn({400, 2}, dtype), y = rand({400, 1}, dtype);
  return train<optim::SGD>(
      nn::Sequential{nn::Linear(2, 4, true, dtype), nn::Tanh(), nn::Linear(4, 1, true, dtype), nn::Sigmoid()},
      optim::SGDOptions{.lr = 1.2},
      [x, y](const nn::Sequential& model) { return binary_cross_entropy(model(x), y); });
}
Training cats(Dtype dtype) {
  const Tensor x = rand({209, 12288}, dtype), y = rand({209, 1}, dtype);
  return train<optim::SGD>(
      nn::Sequential{nn::Linear(12288, 20, true, dtype), nn::ReLU(), nn::Linear(20, 7, true, dtype),
                     nn::ReLU(), nn::Linear(7, 5, true, dtype), nn::ReLU(), nn::Linear(5, 1, true, dtype),
                     nn::Sigmoid()},
      optim::SGDOptions{.lr = 0.0075},
      [x, y](const nn::Sequential& model) { return binary_cross_entropy(model(x), y); });
}
template <class Optimizer, class Options>
Training mlp(Options options) {
  std::vector<int64_t> classes;
  for (int64_t i = 0; i < 64; i++) classes.push_back(i % 10);
  const Tensor x = randn({64, 784}), y = tensor(classes);
  return train<Optimizer>(
      nn::Sequential{nn::Linear(784, 512), nn::ReLU(), nn::Linear(512, 512), nn::ReLU(), nn::Linear(512, 10)},
      options, [x, y](const nn::Sequential& model) { return cross_entropy(model(x), y); });
}

/// The loss and all parameters after five steps.
std::vector<std::vector<double>> trained(Training (*make)(), int threads, bool replayed) {
  const int before = num_threads();
  set_num_threads(threads);
  manual_seed(1);
  const Training t = make();
  Tensor loss;
  const auto step = [&] {
    t.optimizer->zero_grad();
    loss = t.loss(t.model);
    loss.backward();
    t.optimizer->step();
  };
  if (replayed) {
    Replay replay = record(step);
    replay();
    replay();
  } else {
    for (int i = 0; i < 5; i++) step();
  }
  std::vector<std::vector<double>> all{loss.to_vector()};
  for (const Tensor& p : t.optimizer->parameters()) all.push_back(p.to_vector());
  set_num_threads(before);
  return all;
}

class Workloads : public testing::TestWithParam<std::pair<const char*, Training (*)()>> {};

TEST_P(Workloads, BitEqualOnAnyNumberOfThreadsAndReplayed) {
  const auto expected = trained(GetParam().second, 1, false);
  EXPECT_TRUE(expected[0][0] > 0 && expected[0][0] < 2.5) << expected[0][0];
  for (const int threads : {1, 2, 4, 8})
    for (const bool replayed : {false, true})
      EXPECT_TRUE(trained(GetParam().second, threads, replayed) == expected)
          << threads << " threads" << (replayed ? ", replayed" : "");
}

const auto kName = [](const auto& info) { return info.param.first; };
INSTANTIATE_TEST_SUITE_P(Each, Workloads,
                         testing::Values(std::pair(
                                             "PlanarFloat32", +[] { return planar(kFloat32); }),
                                         std::pair(
                                             "PlanarFloat64", +[] { return planar(kFloat64); })),
                         kName);
INSTANTIATE_TEST_SUITE_P(
    Slow, Workloads,
    testing::Values(std::pair(
                        "CatsFloat32", +[] { return cats(kFloat32); }),
                    std::pair(
                        "CatsFloat64", +[] { return cats(kFloat64); }),
                    std::pair(
                        "MlpSgd", +[] { return mlp<optim::SGD>(optim::SGDOptions{.lr = 0.01}); }),
                    std::pair(
                        "MlpMomentum",
                        +[] { return mlp<optim::SGD>(optim::SGDOptions{.lr = 0.01, .momentum = 0.9}); }),
                    std::pair(
                        "MlpAdam", +[] { return mlp<optim::Adam>(optim::AdamOptions{}); })),
    kName);

}  // namespace
}  // namespace gradus
