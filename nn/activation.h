#pragma once
#include <gradus/autograd/ops/elementwise.h>

#pragma GCC visibility push(default)

namespace gradus::nn {

/// y = tanh x
struct Tanh {
  Tensor operator()(const Tensor& x) const { return tanh(x); }
};
/// y = max(x, 0)
struct ReLU {
  Tensor operator()(const Tensor& x) const { return relu(x); }
};
/// y = 1 / (1 + e⁻ˣ)
struct Sigmoid {
  Tensor operator()(const Tensor& x) const { return sigmoid(x); }
};

}  // namespace gradus::nn

#pragma GCC visibility pop
