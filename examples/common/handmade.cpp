#include <common/handmade.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/matmul.h>

namespace gradus::examples {

ShallowCache forward_propagation(const Tensor& x, const Shallow& p, Output output) {
  const Tensor z1 = matmul(p.w1, x) + p.b1;
  const Tensor a1 = tanh(z1);
  const Tensor z2 = matmul(p.w2, a1) + p.b2;
  return {a1, output == Output::Tanh ? tanh(z2) : sigmoid(z2)};
}

Tensor compute_cost(const Tensor& a2, const Tensor& y) {
  const double m = static_cast<double>(y.size(1));
  return -(log(a2) * y + (1 - y) * log(1 - a2)).sum() / m;
}

Shallow backward_propagation(const Shallow& p, const ShallowCache& cache, const Tensor& x, const Tensor& y) {
  NoGrad no_grad;
  const double m = static_cast<double>(x.size(1));
  const Tensor dz2 = cache.a2 - y;
  const Tensor dw2 = 1 / m * matmul(dz2, cache.a1.t());
  const Tensor db2 = 1 / m * dz2.sum({1}, true);
  const Tensor dz1 = matmul(p.w2.t(), dz2) * (1 - pow(cache.a1, 2));
  const Tensor dw1 = 1 / m * matmul(dz1, x.t());
  const Tensor db1 = 1 / m * dz1.sum({1}, true);
  return {dw1, db1, dw2, db2};
}

DeepCache deep_forward(const Tensor& x, const Deep& p) {
  DeepCache cache{{x}, {}};
  const size_t layers = p.w.size();
  for (size_t l = 1; l <= layers; l++) {
    const Tensor z = matmul(p.w[l - 1], cache.a[l - 1]) + p.b[l - 1];
    cache.z.push_back(z);
    cache.a.push_back(l < layers ? relu(z) : sigmoid(z));
  }
  return cache;
}

Deep deep_backward(const DeepCache& cache, const Deep& p, const Tensor& y) {
  NoGrad no_grad;
  const size_t layers = p.w.size();
  const double m = static_cast<double>(y.size(1));
  Deep g{Tensors(layers), Tensors(layers)};
  const Tensor& al = cache.a[layers];
  Tensor da = -(y / al - (1 - y) / (1 - al));
  for (size_t l = layers; l >= 1; l--) {
    const Tensor& z = cache.z[l - 1];
    const Tensor s = sigmoid(z);
    const Tensor dz = l == layers ? da * s * (1 - s) : where(z > 0, da, 0);
    g.w[l - 1] = matmul(dz, cache.a[l - 1].t()) / m;
    g.b[l - 1] = dz.sum({1}, true) / m;
    da = matmul(p.w[l - 1].t(), dz);
  }
  return g;
}

}  // namespace gradus::examples
