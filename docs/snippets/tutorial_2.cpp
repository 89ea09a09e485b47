// The code of docs/tutorial-2.md: the second tutorial, section by section. Its last part needs the cat
// pictures: GRADUS_DATA names their folder.
#include <common/datasets.h>
#include <common/hdf5.h>
#include <gradus/gradus.h>

#include <cmath>
#include <cstdlib>

using namespace gradus;
using namespace gradus::examples;

namespace {

// ---- 1. parameters

struct Network {
  std::vector<nn::Linear> layers;

  explicit Network(const std::vector<int64_t>& layer_dims) {
    NumpyRandom random = numpy_random(1);
    for (size_t l = 1; l < layer_dims.size(); l++) {
      const int64_t in = layer_dims[l - 1], out = layer_dims[l];
      nn::Linear& layer = layers.emplace_back(in, out, true, kFloat64);
      NoGrad no_grad;
      layer.weight.copy_(tensor(random.randn(out * in), {out, in}, kFloat64) / std::sqrt(in));
      layer.bias.zero_();
    }
  }

  // ---- 2. forward propagation
  Tensor operator()(const Tensor& x) const {
    Tensor a = x;
    for (size_t l = 0; l + 1 < layers.size(); l++) a = relu(layers[l](a));
    return sigmoid(layers.back()(a));
  }
  void visit(nn::Visitor& v) { v("layers", layers); }
};

// ---- 3. cost

Tensor compute_cost(const Tensor& al, const Tensor& y) { return binary_cross_entropy(al, y); }

Tensor clipped_cost(const Tensor& al, const Tensor& y) {
  const Tensor a = clamp(al, 1e-8, 1 - 1e-8);
  return -(y * log(a) + (1 - y) * log(1 - a)).mean();
}

// ---- 4. backward propagation, by hand

/// z = a wᵀ + b of one layer, and what its backward pass reads.
struct Cache {
  Tensor a_prev, w, z;
};
struct Gradients {
  Tensor da_prev, dw, db;
};

Gradients linear_backward(const Tensor& dz, const Cache& cache) {
  return {matmul(dz, cache.w), matmul(dz.t(), cache.a_prev), dz.sum({0})};
}

Tensor relu_backward(const Tensor& da, const Tensor& z) { return where(z > 0, da, 0); }

Tensor sigmoid_backward(const Tensor& da, const Tensor& z) {
  const Tensor s = sigmoid(z);
  return da * s * (1 - s);
}

/// The gradients of all layers, the last one's first.
std::vector<Gradients> model_backward(const Tensor& al, const Tensor& y, const std::vector<Cache>& caches) {
  const double m = static_cast<double>(y.size(0));
  Tensor da = -(y / al - (1 - y) / (1 - al)) / m;
  std::vector<Gradients> grads;
  for (size_t l = caches.size(); l-- > 0;) {
    const bool last = l + 1 == caches.size();
    const Tensor dz = last ? sigmoid_backward(da, caches[l].z) : relu_backward(da, caches[l].z);
    grads.push_back(linear_backward(dz, caches[l]));
    da = grads.back().da_prev;
  }
  return grads;
}

void compare() {
  manual_seed(1);
  Network network({12, 5, 3, 1});
  const Tensor x = randn({10, 12}, kFloat64), y = (rand({10, 1}, kFloat64) > 0.5).to(kFloat64);
  compute_cost(network(x), y).backward();  // by Gradus

  NoGrad no_grad;
  std::vector<Cache> caches;
  Tensor a = x;
  for (const nn::Linear& layer : network.layers) {
    caches.push_back({a, layer.weight, layer(a)});
    a = relu(caches.back().z);
  }
  const std::vector<Gradients> grads = model_backward(network(x), y, caches);
  for (size_t l = 0; l < grads.size(); l++) {
    const nn::Linear& layer = network.layers[grads.size() - 1 - l];
    const double dw = max(abs(grads[l].dw - layer.weight.grad())).item();
    const double db = max(abs(grads[l].db - layer.bias.grad())).item();
    fmt::print("layer {}: dW {}, db {}, by hand {}\n", grads.size() - l, grads[l].dw.shape(),
               grads[l].db.shape(), dw < 1e-15 && db < 1e-15 ? "the same" : "different");
  }
}

// ---- 5. and 6. update and training

void dnn_model(Network& network, const Tensor& x, const Tensor& y, double learning_rate, int iterations) {
  optim::SGD optimizer(nn::parameters(network), {.lr = learning_rate});
  for (int i = 0; i < iterations; i++) {
    optimizer.zero_grad();
    const Tensor cost = compute_cost(network(x), y);
    if (i % 100 == 0) fmt::print("cost after iteration {:3}: {:.6f}\n", i, cost.item());
    cost.backward();
    optimizer.step();
  }
}

double accuracy(const Network& network, const Tensor& x, const Tensor& y) {
  NoGrad no_grad;
  return ((network(x) > 0.5) == (y > 0.5)).to(kFloat64).mean().item();
}

// ---- 7. on real pictures

void learn_cats(const char* folder) {
  const Cats cats = load_cats(folder);
  const auto inputs = [](const Dataset& d) { return tensor(d.x, {d.samples, d.features}, kFloat64); };
  const auto labels = [](const Dataset& d) { return tensor(d.y, {d.samples, 1}, kFloat64); };
  const Tensor x = inputs(cats.train), y = labels(cats.train);
  fmt::print("x {}, y {}\n", x.shape(), y.shape());

  Network network({12288, 20, 7, 5, 1});
  dnn_model(network, x, y, 0.0075, 301);
  const double train = accuracy(network, x, y);
  const double test = accuracy(network, inputs(cats.test), labels(cats.test));
  fmt::print("accuracy: train {:.2f}, test {:.2f}\n", train, test);
}

}  // namespace

int main() {
  const Tensor certain = tensor({1., 0.}, kFloat64), wrong = tensor({0., 1.}, kFloat64);
  fmt::print("{} {:.3f}\n", compute_cost(certain, wrong).item(), clipped_cost(certain, wrong).item());
  compare();
  const char* folder = std::getenv("GRADUS_DATA");
  if (!folder || !reads_hdf5()) {
    fmt::print("GRADUS_DATA names no folder with the cat pictures, or no libhdf5\n");
    return 77;
  }
  learn_cats(folder);
}
