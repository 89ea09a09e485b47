// The main peer: the workloads of gradus_workloads on libtorch's eager autograd.
#include <torch/torch.h>

#include "../program.h"

namespace {

using bench::now;
using torch::Tensor;

at::ScalarType dtype_of(const bench::Request& request) {
  return request.f64 ? torch::kFloat64 : torch::kFloat32;
}

Tensor load(const std::string& name, at::IntArrayRef shape, at::ScalarType dtype) {
  std::vector<double> values = bench::read_input(name, static_cast<size_t>(c10::multiply_integers(shape)));
  return torch::from_blob(values.data(), shape, torch::kFloat64).clone().to(dtype);
}

void overhead(const bench::Request& request) {
  constexpr int kCalls = 200000, kLength = 1000, kChains = 50, kVectorChains = 30;
  const auto options = torch::TensorOptions().dtype(dtype_of(request));
  const Tensor a = torch::ones({}, options), b = torch::ones({}, options);
  std::vector<bench::Overhead> repetitions;
  for (int r = 0; r < request.reps; r++) {
    bench::Overhead& t = repetitions.emplace_back();
    {
      const torch::NoGradGuard no_grad;
      double start = now();
      for (int i = 0; i < kCalls; i++) Tensor c = a + b;
      t.add = (now() - start) / kCalls * 1e9;
      Tensor c = a.clone();
      start = now();
      for (int i = 0; i < kCalls; i++) c.add_(b);
      t.add_inplace = (now() - start) / kCalls * 1e9;
    }
    {
      const Tensor x = torch::ones({}, options).requires_grad_();
      const double start = now();
      for (int i = 0; i < kCalls; i++) Tensor c = x + b;
      t.add_recorded = (now() - start) / kCalls * 1e9;
    }
    for (int k = 0; k < kChains; k++) {
      const Tensor x = torch::ones({}, options).requires_grad_();
      const double start = now();
      Tensor y = x;
      for (int i = 0; i < kLength; i++) y = y + b;
      t.chain_forward += (now() - start) / kChains / kLength * 1e9;
      y.backward();
      t.chain += (now() - start) / kChains / kLength * 1e9;
    }
    for (int k = 0; k < kVectorChains; k++) {
      const Tensor x = torch::full({64}, 0.5, options).requires_grad_(), w = torch::full({64}, 0.99, options);
      const double start = now();
      Tensor y = x;
      for (int i = 0; i < kLength; i++) y = y * w;
      y.sum().backward();
      t.mul_chain += (now() - start) / kVectorChains / kLength * 1e9;
    }
    for (int k = 0; k < kVectorChains; k++) {
      const Tensor x = torch::full({64}, 0.5, options).requires_grad_();
      const double start = now();
      Tensor y = x;
      for (int i = 0; i < kLength; i++) y = y.tanh();
      y.sum().backward();
      t.tanh_chain += (now() - start) / kVectorChains / kLength * 1e9;
    }
  }
  print_overhead(request, repetitions);
}

torch::nn::Linear linear(int64_t in, int64_t out, const std::string& weight, at::ScalarType dtype) {
  torch::nn::Linear layer(in, out);
  layer->to(dtype);
  const torch::NoGradGuard no_grad;
  layer->weight.copy_(load(weight, {out, in}, dtype));
  layer->bias.zero_();
  return layer;
}

void planar(const bench::Request& request) {
  const auto dtype = dtype_of(request);
  const Tensor x = load("planar_X", {400, 2}, dtype), target = load("planar_Y", {400, 1}, dtype);
  std::vector<bench::Training> repetitions;
  for (int r = 0; r < request.reps; r++) {
    torch::nn::Linear hidden = linear(2, 4, "planar_W1", dtype), output = linear(4, 1, "planar_W2", dtype);
    torch::optim::SGD optimizer({hidden->weight, hidden->bias, output->weight, output->bias}, 1.2);
    Tensor loss;
    const double start = now();
    for (int i = 0; i < request.iterations; i++) {
      optimizer.zero_grad();
      loss = torch::binary_cross_entropy(torch::sigmoid(output(torch::tanh(hidden(x)))), target);
      loss.backward();
      optimizer.step();
    }
    repetitions.push_back({now() - start, loss.item<double>()});
  }
  print_planar(request, repetitions);
}

void cats(const bench::Request& request) {
  const auto dtype = dtype_of(request);
  const Tensor x = load("cats_X", {209, 12288}, dtype), target = load("cats_Y", {209, 1}, dtype);
  std::vector<bench::Training> repetitions;
  for (int r = 0; r < request.reps; r++) {
    torch::nn::Sequential model(linear(12288, 20, "cats_W1", dtype), torch::nn::ReLU(),
                                linear(20, 7, "cats_W2", dtype), torch::nn::ReLU(),
                                linear(7, 5, "cats_W3", dtype), torch::nn::ReLU(),
                                linear(5, 1, "cats_W4", dtype), torch::nn::Sigmoid());
    torch::optim::SGD optimizer(model->parameters(), 0.0075);
    Tensor loss;
    const double start = now();
    for (int i = 0; i < request.iterations; i++) {
      optimizer.zero_grad();
      loss = torch::binary_cross_entropy(model->forward(x), target);
      loss.backward();
      optimizer.step();
    }
    repetitions.push_back({now() - start, loss.item<double>()});
  }
  print_cats(request, repetitions);
}

/// Trains from the same weights with each optimizer.
void mlp(const bench::Request& request) {
  const auto dtype = dtype_of(request);
  const Tensor x = load("mlp_X", {64, 784}, dtype), target = load("mlp_Y", {64}, torch::kLong);
  const auto measure = [&](const char* name, auto make_optimizer) {
    std::vector<bench::Training> repetitions;
    for (int r = 0; r < request.reps; r++) {
      torch::nn::Sequential model(linear(784, 512, "mlp_W1", dtype), torch::nn::ReLU(),
                                  linear(512, 512, "mlp_W2", dtype), torch::nn::ReLU(),
                                  linear(512, 10, "mlp_W3", dtype));
      auto optimizer = make_optimizer(model->parameters());
      Tensor loss;
      const double start = now();
      for (int i = 0; i < request.iterations; i++) {
        optimizer.zero_grad();
        loss = torch::nn::functional::cross_entropy(model->forward(x), target);
        loss.backward();
        optimizer.step();
      }
      repetitions.push_back({now() - start, loss.item<double>()});
    }
    print_mlp(request, name, repetitions);
  };
  using namespace torch::optim;
  measure("SGD", [](const auto& parameters) { return SGD(parameters, SGDOptions(0.01)); });
  measure("momentum", [](const auto& parameters) { return SGD(parameters, SGDOptions(0.01).momentum(0.9)); });
  measure("Adam", [](const auto& parameters) { return Adam(parameters, AdamOptions(1e-3)); });
}

/// One run, whatever REPS: memory is fresh only once in a process.
void chain1m(const bench::Request& request) {
  constexpr int kLength = 1000000;
  const auto options = torch::TensorOptions().dtype(dtype_of(request));
  const Tensor x = torch::ones({}, options).requires_grad_(), b = torch::ones({}, options);
  bench::Chain chain{};
  chain.start = bench::resident();
  double start = now();
  Tensor y = x;
  for (int i = 0; i < kLength; i++) y = y + b;
  chain.forward = now() - start;
  chain.built = bench::resident();
  start = now();
  y.backward();
  chain.backward = now() - start;
  chain.done = bench::resident();
  start = now();
  y = Tensor();
  chain.destroy = now() - start;
  chain.freed = bench::resident();
  chain.grad = x.grad().item<double>();
  print_chain(chain);
}

void run(const bench::Request& request) {
  at::set_num_threads(request.threads);
  if (request.workload == "overhead") overhead(request);
  if (request.workload == "planar") planar(request);
  if (request.workload == "cats") cats(request);
  if (request.workload == "mlp") mlp(request);
  if (request.workload == "chain1m") chain1m(request);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::program_main(argc, argv, {"overhead", "planar", "cats", "mlp", "chain1m"}, run);
}
