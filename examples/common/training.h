#pragma once
#include <common/datasets.h>
#include <gradus/nn/sequential.h>

#include <functional>

namespace gradus::examples {

/// The samples as a tensor [samples, features], and their labels as [samples, 1].
Tensor inputs(const Dataset& data, Dtype dtype);
Tensor labels(const Dataset& data, Dtype dtype);

/// Linear layers of these sizes: {2, 4, 1} has 2 inputs, 4 hidden units, 1 output. Every hidden layer is
/// followed by `activation` (tanh, relu or sigmoid) and, where dropout > 0, by Dropout; the output z is left
/// linear.
nn::Sequential make_network(const std::vector<int64_t>& sizes, const std::string& activation, Dtype dtype,
                            double dropout = 0);

/// Weights as the tutorials draw them, layer by layer from numpy_random(seed): scale(randn, fan_in). Biases
/// are 0.
void init_as_numpy(nn::Sequential& network, int64_t seed, double (*scale)(double r, double fan_in));

/// The share of samples that lie on the right side of 1/2.
double accuracy(const Tensor& a, const Tensor& y);

struct TrainingOptions {
  std::string optimizer = "sgd";  // or adam, rmsprop
  double lr;
  double l2 = 0;  // adds l2 · w to every parameter's gradient
  int64_t iterations;
  int64_t record_every = 1000, print_every = 1000;
  std::string title = {};  // of the progress bar; empty: nothing is shown or printed
  bool plot = false;       // on a terminal, the costs as a small plot above the bar
  /// Called where a cost is recorded, when its gradients are there and before the step; what it says, such as
  /// "accuracy 88 %", is shown beside the cost.
  std::function<std::string(int64_t iteration, double cost)> observe = {};
};

/// costs[i] is the cost before iteration iterations[i]; the last one is that after training.
struct CostCurve {
  std::vector<double> iterations, costs;
};

/// Full-batch training: in each iteration `cost` runs the model on all samples. Error for an unknown
/// optimizer.
CostCurve train(const Tensors& parameters, const std::function<Tensor()>& cost,
                const TrainingOptions& options);

}  // namespace gradus::examples
