#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/matmul.h>
#include <gradus/nn/init.h>
#include <gradus/nn/linear.h>

#include <cmath>

namespace gradus::nn {

Linear::Linear(int64_t in_features, int64_t out_features, bool with_bias, Dtype dtype) {
  if (in_features < 0 || out_features < 0)
    fail<ShapeError>("Linear: sizes must be at least 0: in {}, out {}", in_features, out_features);
  if (!is_floating(dtype)) fail<DtypeError>("Linear: the dtype must be floating, not {}", dtype);
  Shape{out_features, in_features}.numel("Linear");
  weight = Param(zeros({out_features, in_features}, dtype));
  if (with_bias) bias = Param(zeros({out_features}, dtype));
  if (in_features == 0) return;
  init::kaiming_uniform_(weight, std::sqrt(5.0));
  const double bound = 1 / std::sqrt(static_cast<double>(in_features));
  if (with_bias) init::uniform_(bias, -bound, bound);
}

Tensor Linear::operator()(const Tensor& x) const { return linear(x, weight, bias); }

}  // namespace gradus::nn
