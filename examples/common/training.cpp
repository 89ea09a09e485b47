#include <common/progress.h>
#include <common/training.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/nn/activation.h>
#include <gradus/nn/dropout.h>
#include <gradus/nn/linear.h>
#include <gradus/nn/module.h>
#include <gradus/optim/adam.h>
#include <gradus/optim/rmsprop.h>
#include <gradus/optim/sgd.h>

#include <memory>
#include <optional>

namespace gradus::examples {
namespace {

std::unique_ptr<optim::Optimizer> make_optimizer(const Tensors& parameters, const TrainingOptions& options) {
  const double lr = options.lr, l2 = options.l2;
  if (options.optimizer == "sgd")
    return std::make_unique<optim::SGD>(parameters, optim::SGDOptions{.lr = lr, .weight_decay = l2});
  if (options.optimizer == "adam")
    return std::make_unique<optim::Adam>(parameters, optim::AdamOptions{.lr = lr, .weight_decay = l2});
  if (options.optimizer == "rmsprop")
    return std::make_unique<optim::RMSprop>(parameters, optim::RMSpropOptions{.lr = lr, .weight_decay = l2});
  fail("train: no such optimizer: '{}' (there are sgd, adam, rmsprop)", options.optimizer);
}

void add_activation(nn::Sequential& network, const std::string& name) {
  if (name == "tanh")
    network.push_back(nn::Tanh());
  else if (name == "relu")
    network.push_back(nn::ReLU());
  else if (name == "sigmoid")
    network.push_back(nn::Sigmoid());
  else
    fail("make_network: no such activation: '{}' (there are tanh, relu, sigmoid)", name);
}

}  // namespace

Tensor inputs(const Dataset& data, Dtype dtype) {
  return tensor(data.x, {data.samples, data.features}, dtype);
}
Tensor labels(const Dataset& data, Dtype dtype) { return tensor(data.y, {data.samples, 1}, dtype); }

nn::Sequential make_network(const std::vector<int64_t>& sizes, const std::string& activation, Dtype dtype,
                            double dropout) {
  if (sizes.size() < 2)
    fail("make_network: an input and an output size are needed, not {} sizes", sizes.size());
  nn::Sequential network;
  for (size_t i = 0; i + 1 < sizes.size(); i++) {
    if (i > 0) {
      add_activation(network, activation);
      if (dropout > 0) network.push_back(nn::Dropout(dropout));
    }
    network.push_back(nn::Linear(sizes[i], sizes[i + 1], true, dtype));
  }
  return network;
}

void init_as_numpy(nn::Sequential& network, int64_t seed, double (*scale)(double r, double fan_in)) {
  NumpyRandom random = numpy_random(seed);
  NoGrad no_grad;
  for (auto& [name, p] : nn::named_parameters(network)) {
    if (p.dim() == 1) {
      p.zero_();
      continue;
    }
    std::vector<double> w = random.randn(p.numel());
    for (double& r : w) r = scale(r, static_cast<double>(p.size(1)));
    p.copy_(tensor(w, p.shape(), p.dtype()));
  }
}

double accuracy(const Tensor& a, const Tensor& y) {
  return ((a > 0.5) == (y > 0.5)).to(kFloat64).mean().item();
}

CostCurve train(const Tensors& parameters, const std::function<Tensor()>& cost,
                const TrainingOptions& options) {
  if (options.iterations < 0 || options.record_every < 1 || options.print_every < 1)
    fail("train: iterations must be at least 0, record_every and print_every at least 1: {}, {} and {}",
         options.iterations, options.record_every, options.print_every);
  const auto optimizer = make_optimizer(parameters, options);
  std::optional<Progress> progress;
  if (!options.title.empty()) progress.emplace(options.title, options.iterations);

  CostCurve curve;
  std::string seen;
  for (int64_t i = 0; i <= options.iterations; i++) {
    const bool last = i == options.iterations;
    const Tensor c = cost();
    if (!last || options.observe) {
      optimizer->zero_grad();
      c.backward();
    }
    if (last || i % options.record_every == 0) {
      curve.iterations.push_back(static_cast<double>(i));
      curve.costs.push_back(c.item());
      if (options.observe) seen = "   " + options.observe(i, c.item());
    }
    if (progress && (last || i % options.print_every == 0))
      progress->print(fmt::format("Cost after iteration {:5}: {:.9f}{}", i, c.item(), seen));
    if (last) break;
    optimizer->step();
    if (progress)
      progress->update(i + 1, fmt::format("cost {:.6f}{}", c.item(), seen),
                       options.plot ? std::span<const double>(curve.costs) : std::span<const double>());
  }
  return curve;
}

}  // namespace gradus::examples
