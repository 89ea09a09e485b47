// The workloads that Gradus is measured on, written as its user would write them.
#include <gradus/gradus.h>

#include <fmt/format.h>
#include <algorithm>
#include <cstdlib>

#include "inputs.h"
#include "program.h"

namespace {

using namespace gradus;
using bench::now;

Dtype dtype_of(const bench::Request& request) { return request.f64 ? kFloat64 : kFloat32; }

/// The inputs of a workload: from the files that the peers read, too, where PEERS_DATA names their folder.
class Loader {
 public:
  explicit Loader(const bench::Request& request) : dtype_(dtype_of(request)) {
    if (std::getenv("PEERS_DATA")) return;
    if (request.workload == "planar" || request.workload == "replayed") {
      made_ = bench::planar_inputs();
    } else if (request.workload == "mlp") {
      made_ = bench::mlp_inputs();
    } else {
      const char* folder = std::getenv("GRADUS_DATA");
      if (!folder)
        fail(
            "cats: no pictures: set GRADUS_DATA to the folder of train_catvnoncat.h5 and test_catvnoncat.h5");
      made_ = bench::cats_inputs(folder);
    }
  }
  Tensor operator()(const std::string& name, const Shape& shape) const {
    return tensor(
        made_.empty() ? bench::read_input(name, static_cast<size_t>(shape.numel())) : made_.at(name), shape,
        dtype_);
  }
  /// A layer that starts with these weights.
  nn::Linear linear(int64_t in, int64_t out, const std::string& weight) const {
    nn::Linear layer(in, out, true, dtype_);
    const NoGrad no_grad;
    layer.weight.copy_((*this)(weight, {out, in}));
    layer.bias.zero_();
    return layer;
  }

 private:
  Dtype dtype_;
  bench::Inputs made_;
};

void overhead(const bench::Request& request) {
  constexpr int kCalls = 200000, kLength = 1000, kChains = 50, kVectorChains = 30;
  const Dtype dtype = dtype_of(request);
  const Tensor a = ones({}, dtype), b = ones({}, dtype);
  std::vector<bench::Overhead> repetitions;
  for (int r = 0; r < request.reps; r++) {
    bench::Overhead& t = repetitions.emplace_back();
    {
      const NoGrad no_grad;
      double start = now();
      for (int i = 0; i < kCalls; i++) Tensor c = a + b;
      t.add = (now() - start) / kCalls * 1e9;
      Tensor c = a.clone();
      start = now();
      for (int i = 0; i < kCalls; i++) c.add_(b);
      t.add_inplace = (now() - start) / kCalls * 1e9;
    }
    {
      const Tensor x = ones({}, dtype).requires_grad_();
      const double start = now();
      for (int i = 0; i < kCalls; i++) Tensor c = x + b;
      t.add_recorded = (now() - start) / kCalls * 1e9;
    }
    for (int k = 0; k < kChains; k++) {
      const Tensor x = ones({}, dtype).requires_grad_();
      const double start = now();
      Tensor y = x;
      for (int i = 0; i < kLength; i++) y = y + b;
      t.chain_forward += (now() - start) / kChains / kLength * 1e9;
      y.backward();
      t.chain += (now() - start) / kChains / kLength * 1e9;
    }
    for (int k = 0; k < kVectorChains; k++) {
      const Tensor x = full({64}, 0.5, dtype).requires_grad_(), w = full({64}, 0.99, dtype);
      const double start = now();
      Tensor y = x;
      for (int i = 0; i < kLength; i++) y = y * w;
      y.sum().backward();
      t.mul_chain += (now() - start) / kVectorChains / kLength * 1e9;
    }
    for (int k = 0; k < kVectorChains; k++) {
      const Tensor x = full({64}, 0.5, dtype).requires_grad_();
      const double start = now();
      Tensor y = x;
      for (int i = 0; i < kLength; i++) y = tanh(y);
      y.sum().backward();
      t.tanh_chain += (now() - start) / kVectorChains / kLength * 1e9;
    }
  }
  print_overhead(request, repetitions);
}

/// The planar net, from the start.
class Planar {
 public:
  explicit Planar(const bench::Request& request) : Planar(Loader(request)) {}
  void step() {
    optimizer_.zero_grad();
    loss = binary_cross_entropy(model_(x_), target_);
    loss.backward();
    optimizer_.step();
  }
  Tensor loss;

 private:
  struct Model {
    nn::Linear hidden, output;
    Tensor operator()(const Tensor& x) const { return sigmoid(output(tanh(hidden(x)))); }
    void visit(nn::Visitor& v) { v("hidden", hidden), v("output", output); }
  };
  explicit Planar(const Loader& load)
      : model_{load.linear(2, 4, "planar_W1"), load.linear(4, 1, "planar_W2")},
        optimizer_(nn::parameters(model_), {.lr = 1.2}),
        x_(load("planar_X", {400, 2})),
        target_(load("planar_Y", {400, 1})) {}

  Model model_;
  optim::SGD optimizer_;
  Tensor x_, target_;
};

constexpr int kWarmup = 2;

/// planar, or replayed: the same, recorded once.
void planar(const bench::Request& request) {
  std::vector<bench::Training> repetitions;
  for (int r = 0; r < request.reps; r++) {
    Planar net(request);
    const double start = now();
    if (request.workload == "replayed") {
      Replay replay = record([&] { net.step(); }, kWarmup);
      for (int i = kWarmup + 1; i < request.iterations; i++) replay();
    } else {
      for (int i = 0; i < request.iterations; i++) net.step();
    }
    repetitions.push_back({now() - start, net.loss.item()});
  }
  print_planar(request, repetitions);
}

void cats(const bench::Request& request) {
  struct Model {
    std::vector<nn::Linear> layers;
    Tensor operator()(Tensor x) const {
      for (size_t i = 0; i + 1 < layers.size(); i++) x = relu(layers[i](x));
      return sigmoid(layers.back()(x));
    }
    void visit(nn::Visitor& v) { v("layers", layers); }
  };
  const Loader load(request);
  const Tensor x = load("cats_X", {209, 12288}), target = load("cats_Y", {209, 1});
  std::vector<bench::Training> repetitions;
  for (int r = 0; r < request.reps; r++) {
    Model model{{load.linear(12288, 20, "cats_W1"), load.linear(20, 7, "cats_W2"),
                 load.linear(7, 5, "cats_W3"), load.linear(5, 1, "cats_W4")}};
    optim::SGD optimizer(nn::parameters(model), {.lr = 0.0075});
    Tensor loss;
    const double start = now();
    for (int i = 0; i < request.iterations; i++) {
      optimizer.zero_grad();
      loss = binary_cross_entropy(model(x), target);
      loss.backward();
      optimizer.step();
    }
    repetitions.push_back({now() - start, loss.item()});
  }
  print_cats(request, repetitions);
}

nn::Sequential mlp_model(const Loader& load) {
  return nn::Sequential{load.linear(784, 512, "mlp_W1"), nn::ReLU(), load.linear(512, 512, "mlp_W2"),
                        nn::ReLU(), load.linear(512, 10, "mlp_W3")};
}

/// Trains from the same weights with each optimizer.
void mlp(const bench::Request& request) {
  const Loader load(request);
  const Tensor x = load("mlp_X", {64, 784}), target = load("mlp_Y", {64}).to(kInt64);
  const auto measure = [&](const char* name, auto make_optimizer) {
    std::vector<bench::Training> repetitions;
    for (int r = 0; r < request.reps; r++) {
      nn::Sequential model = mlp_model(load);
      auto optimizer = make_optimizer(nn::parameters(model));
      Tensor loss;
      const double start = now();
      for (int i = 0; i < request.iterations; i++) {
        optimizer.zero_grad();
        loss = cross_entropy(model(x), target);
        loss.backward();
        optimizer.step();
      }
      repetitions.push_back({now() - start, loss.item()});
    }
    print_mlp(request, name, repetitions);
  };
  measure("SGD", [](const Tensors& parameters) { return optim::SGD(parameters, {.lr = 0.01}); });
  measure("momentum",
          [](const Tensors& parameters) { return optim::SGD(parameters, {.lr = 0.01, .momentum = 0.9}); });
  measure("Adam", [](const Tensors& parameters) { return optim::Adam(parameters); });
}

/// A step of the planar net and of the MLP with Adam, kernel by kernel.
void profile(bench::Request request) {
  constexpr int kRuns = 200;
  request.workload = "planar";
  Planar net(request);
  fmt::print("planar\n{}\n", record([&] { net.step(); }).profile(kRuns));
  request.workload = "mlp";
  const Loader load(request);
  const Tensor x = load("mlp_X", {64, 784}), target = load("mlp_Y", {64}).to(kInt64);
  nn::Sequential model = mlp_model(load);
  optim::Adam optimizer(nn::parameters(model));
  fmt::print("\nmlp, Adam\n{}\n", record([&] {
                                    optimizer.zero_grad();
                                    cross_entropy(model(x), target).backward();
                                    optimizer.step();
                                  }).profile(kRuns));
}

/// Backward through every x[t] of x [T, 32, 64], read one by one or unbound, for each t.
void parts(const bench::Request& request) {
  for (const bool create_graph : {false, true})
    for (const bool unbound : {false, true})
      for (const int64_t steps : {64, 512, 4096}) {
        double least = 1e9;
        for (int r = 0; r < request.reps; r++) {
          const Tensor x = ones({steps, 32, 64}, dtype_of(request)).requires_grad_(), h = x * 1;
          const Tensors rows = unbound ? h.unbind() : Tensors();
          Tensor y = zeros({32, 64}, dtype_of(request));
          for (int64_t t = 0; t < steps; t++) y = y + (unbound ? rows[static_cast<size_t>(t)] : h[t]) * 2;
          y = y.sum();
          const double start = now();
          grad({y}, {x}, {}, {.create_graph = create_graph});
          least = std::min(least, now() - start);
        }
        fmt::print("{}{} T={}: {:.2f} us for each t\n", unbound ? "unbind" : "x[t]",
                   create_graph ? ", create_graph" : "", steps, least / static_cast<double>(steps) * 1e6);
      }
}

/// One run, whatever REPS: memory is fresh only once in a process.
void chain1m(const bench::Request& request) {
  constexpr int kLength = 1000000;
  const Dtype dtype = dtype_of(request);
  const Tensor x = ones({}, dtype).requires_grad_(), b = ones({}, dtype);
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
  chain.grad = x.grad().item();
  print_chain(chain);
}

void run(const bench::Request& request) {
  set_num_threads(request.threads);
  if (request.workload == "overhead") overhead(request);
  if (request.workload == "planar" || request.workload == "replayed") planar(request);
  if (request.workload == "cats") cats(request);
  if (request.workload == "mlp") mlp(request);
  if (request.workload == "chain1m") chain1m(request);
  if (request.workload == "profile") profile(request);
  if (request.workload == "parts") parts(request);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::program_main(
      argc, argv, {"overhead", "planar", "replayed", "cats", "mlp", "chain1m", "profile", "parts"}, run);
}
