#pragma once
#include <gradus/autograd/core/tensor.h>

#include <string_view>

#pragma GCC visibility push(default)

/// Initialisers overwrite the elements of w, which must not be expanded, unrecorded, and return w. Random
/// numbers are those of the default generator (manual_seed), the same in float32 and float64.
///
/// fan_in and fan_out are the inputs and outputs that one element of a weight [out, in, …] connects: in · k
/// and out · k, k the product of the sizes after the second (a convolution's kernel). Initialisers that need
/// them throw for fewer than two dims.
namespace gradus::nn::init {

/// The standard deviation by which a layer's nonlinearity asks to scale the one before it, PyTorch's values:
/// linear, sigmoid: 1; tanh: 5/3; relu: √2; leaky_relu: √(2 / (1 + slope²)) with slope `param`, which must be
/// finite; selu: 3/4.
double calculate_gain(std::string_view nonlinearity, double param = 0.01);

/// All 0.
Tensor zeros_(const Tensor& w);
/// All 1.
Tensor ones_(const Tensor& w);
/// All `value`.
Tensor constant_(const Tensor& w, double value);
/// Uniform in [low, high), as numbers of w's dtype; all low where the two are one.
Tensor uniform_(const Tensor& w, double low = 0, double high = 1);
/// Normal with this mean and standard deviation. normal_(w, 0, 0.01) starts a shallow network near 0, but not
/// at it.
Tensor normal_(const Tensor& w, double mean = 0, double std = 1);
/// Normal with standard deviation 1 / √fan_in (LeCun, Bottou, Orr and Müller 1998, "Efficient BackProp").
Tensor lecun_normal_(const Tensor& w);
/// Uniform in [-b, b) with b = gain √(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, "Understanding the
/// difficulty of training deep feedforward neural networks"); gain is finite and at least 0.
Tensor xavier_uniform_(const Tensor& w, double gain = 1);
/// Normal with standard deviation gain √(2 / (fan_in + fan_out)).
Tensor xavier_normal_(const Tensor& w, double gain = 1);
/// Uniform in [-b, b) with b = gain √(3 / fan), where gain is calculate_gain(nonlinearity, a) and fan is
/// mode's: "fan_in" keeps the variance of the forward pass, "fan_out" that of the backward pass (He, Zhang,
/// Ren and Sun 2015, "Delving deep into rectifiers").
Tensor kaiming_uniform_(const Tensor& w, double a = 0, std::string_view mode = "fan_in",
                        std::string_view nonlinearity = "leaky_relu");
/// Normal with standard deviation gain / √fan.
Tensor kaiming_normal_(const Tensor& w, double a = 0, std::string_view mode = "fan_in",
                       std::string_view nonlinearity = "leaky_relu");

}  // namespace gradus::nn::init

#pragma GCC visibility pop
