#include <gradus/autograd/kernels/create.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/nn/init.h>

#include <algorithm>
#include <cmath>

namespace gradus::nn::init {
namespace {

struct Fans {
  double in, out;
};
Fans fans_of(const char* op, const Tensor& w) {
  gradus::detail::check_defined(op, w);
  if (w.dim() < 2) fail<ShapeError>("{}: a weight has at least two dims [out, in, …], not {}", op, w.shape());
  const double kernel = static_cast<double>(w.shape().numel()) / static_cast<double>(w.size(0) * w.size(1));
  return {static_cast<double>(w.size(1)) * kernel, static_cast<double>(w.size(0)) * kernel};
}

void check_gain(const char* op, double gain) {
  if (!(gain >= 0 && std::isfinite(gain))) fail("{}: the gain must be finite and at least 0: {}", op, gain);
}

double fan_of(const char* op, const Tensor& w, std::string_view mode) {
  const Fans fans = fans_of(op, w);
  if (mode == "fan_in") return fans.in;
  if (mode == "fan_out") return fans.out;
  fail("{}: mode is 'fan_in' or 'fan_out', not '{}'", op, mode);
}

/// x as a number of w's dtype.
double held(const Tensor& w, double x) {
  return w.dtype() == kFloat32 ? static_cast<double>(static_cast<float>(x)) : x;
}

/// w = shift + scale · (the generator's next numbers, uniform or normal), none of them above `most`
Tensor fill(const char* op, const Tensor& w, double shift, double scale, double most, bool normal) {
  if (!is_floating(w.dtype())) fail<DtypeError>("{}: the tensor must be floating, not {}", op, w.dtype());
  if (!std::isfinite(scale) || !std::isfinite(held(w, shift)) || !std::isfinite(held(w, shift + scale)))
    fail("{}: the bounds, mean or standard deviation must be finite in {}: {} + {} u", op, w.dtype(), shift,
         scale);
  if (w.layout().overlaps()) fail("{}: the tensor {} is expanded: clone() it first", op, w.shape());
  Tensor values = empty(w.shape(), kFloat64);
  launch(kernels::Draw{writes(values), normal, shift, scale, most});
  NoGrad no_grad;
  return Tensor(w).copy_(values);
}

Tensor uniform(const char* op, const Tensor& w, double low, double high) {
  gradus::detail::check_defined(op, w);
  // Rounding, here or to w's dtype, may reach `high`.
  const double below = w.dtype() == kFloat32
                           ? std::nextafter(static_cast<float>(high), static_cast<float>(low))
                           : std::nextafter(high, low);
  return fill(op, w, low, high - low, below, false);
}
Tensor normal(const char* op, const Tensor& w, double mean, double std) {
  gradus::detail::check_defined(op, w);
  return fill(op, w, mean, std, INFINITY, true);
}

Tensor constant(const char* op, const Tensor& w, double value) {
  gradus::detail::check_defined(op, w);
  const NoGrad no_grad;
  return Tensor(w).fill_(value);
}

// A weight without elements may have no fans either: bounds are infinite then.
Tensor uniform(const char* op, const Tensor& w, double bound) {
  return w.numel() == 0 ? w : uniform(op, w, -bound, bound);
}
Tensor normal(const char* op, const Tensor& w, double std) {
  return w.numel() == 0 ? w : normal(op, w, 0, std);
}

}  // namespace

double calculate_gain(std::string_view nonlinearity, double param) {
  if (!std::isfinite(param)) fail("calculate_gain: the slope must be finite: {}", param);
  for (const char* linear : {"linear", "sigmoid", "conv1d", "conv2d", "conv3d"})
    if (nonlinearity == linear) return 1;
  if (nonlinearity == "tanh") return 5.0 / 3;
  if (nonlinearity == "relu") return std::sqrt(2.0);
  if (nonlinearity == "leaky_relu") return std::sqrt(2 / (1 + param * param));
  if (nonlinearity == "selu") return 0.75;
  fail("calculate_gain: unknown nonlinearity '{}'; there are linear, sigmoid, tanh, relu, leaky_relu, selu",
       nonlinearity);
}

Tensor constant_(const Tensor& w, double value) { return constant("constant_", w, value); }
Tensor zeros_(const Tensor& w) { return constant("zeros_", w, 0); }
Tensor ones_(const Tensor& w) { return constant("ones_", w, 1); }

Tensor uniform_(const Tensor& w, double low, double high) {
  if (!(low <= high)) fail("uniform_: low must not be above high: {} and {}", low, high);
  return uniform("uniform_", w, low, high);
}
Tensor normal_(const Tensor& w, double mean, double std) {
  if (!(std >= 0)) fail("normal_: std must be at least 0: {}", std);
  return normal("normal_", w, mean, std);
}
Tensor lecun_normal_(const Tensor& w) {
  return normal("lecun_normal_", w, 1 / std::sqrt(fans_of("lecun_normal_", w).in));
}

Tensor xavier_uniform_(const Tensor& w, double gain) {
  check_gain("xavier_uniform_", gain);
  const Fans fans = fans_of("xavier_uniform_", w);
  return uniform("xavier_uniform_", w, gain * std::sqrt(6 / (fans.in + fans.out)));
}
Tensor xavier_normal_(const Tensor& w, double gain) {
  check_gain("xavier_normal_", gain);
  const Fans fans = fans_of("xavier_normal_", w);
  return normal("xavier_normal_", w, gain * std::sqrt(2 / (fans.in + fans.out)));
}
Tensor kaiming_uniform_(const Tensor& w, double a, std::string_view mode, std::string_view nonlinearity) {
  const double fan = fan_of("kaiming_uniform_", w, mode);
  return uniform("kaiming_uniform_", w, calculate_gain(nonlinearity, a) * std::sqrt(3 / fan));
}
Tensor kaiming_normal_(const Tensor& w, double a, std::string_view mode, std::string_view nonlinearity) {
  const double fan = fan_of("kaiming_normal_", w, mode);
  return normal("kaiming_normal_", w, calculate_gain(nonlinearity, a) / std::sqrt(fan));
}

}  // namespace gradus::nn::init
