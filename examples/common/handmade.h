#pragma once
#include <gradus/autograd/core/tensor.h>

/// The two tutorials' backpropagation as they derive it by hand, in their own layout: samples are columns, x
/// [n_x, m], y [n_y, m], w [out, in], b [out, 1]. The backward passes are not recorded.
namespace gradus::examples {

/// What the output layer of the shallow network applies: the sigmoid, or tanh as the first tutorial prints
/// it.
enum class Output { Sigmoid, Tanh };

/// Parameters of the shallow network, or their gradients.
struct Shallow {
  Tensor w1, b1, w2, b2;
};
struct ShallowCache {
  Tensor a1, a2;
};

/// a1 = tanh(w1 x + b1), a2 = σ(w2 a1 + b2)
ShallowCache forward_propagation(const Tensor& x, const Shallow& p, Output output = Output::Sigmoid);
/// -1/m Σ (y ln a2 + (1 - y) ln(1 - a2)): NaN as soon as some a2 lies outside (0, 1).
Tensor compute_cost(const Tensor& a2, const Tensor& y);
/// The gradients as the tutorial derives them, from dz2 = a2 - y. That is right for the sigmoid alone: for a
/// network that ends in tanh the true dz2 is (a2 - y)(1 + a2) / a2.
Shallow backward_propagation(const Shallow& p, const ShallowCache& cache, const Tensor& x, const Tensor& y);

/// Parameters of a network of L layers, or their gradients: layer l is at l - 1.
struct Deep {
  Tensors w, b;
};
struct DeepCache {
  Tensors a;  // a[0] = x, a[l] = the activation of layer l
  Tensors z;  // z[l - 1] = w_l a[l - 1] + b_l
};

/// (L - 1) layers of relu(w a + b), then one of sigmoid(w a + b).
DeepCache deep_forward(const Tensor& x, const Deep& p);
/// The gradients, layer by layer from the last: da = -(y / a - (1 - y) / (1 - a)), dz = da g'(z), dw = dz aᵀ
/// / m, db = Σ dz / m, da of the layer before = wᵀ dz.
Deep deep_backward(const DeepCache& cache, const Deep& p, const Tensor& y);

}  // namespace gradus::examples
