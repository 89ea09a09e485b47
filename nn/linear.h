#pragma once
#include <gradus/nn/visitor.h>

#pragma GCC visibility push(default)

namespace gradus::nn {

/// y = x wᵀ + b: x [..., in], weight [out, in], bias [out], y [..., out].
///
/// Both start uniform in [-1/√in, 1/√in), PyTorch's default: for the weight it is kaiming_uniform_ with a =
/// √5.
struct Linear {
  Param weight;  // [out, in]
  Param bias;    // [out]
  /// Without a bias, `bias` is undefined.
  Linear(int64_t in_features, int64_t out_features, bool bias = true, Dtype dtype = kFloat32);
  Tensor operator()(const Tensor& x) const;
  void visit(Visitor& v) {
    v("weight", weight);
    v("bias", bias);
  }
};

}  // namespace gradus::nn

#pragma GCC visibility pop
