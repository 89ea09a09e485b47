#pragma once
#include <gradus/autograd/base/launch.h>

#pragma GCC visibility push(default)

/// Tensors that are made of nothing: y is contiguous.
namespace gradus::kernels {

/// y_i = start + i · step, computed as a Number (int64_t, modulo 2^64, or double), as y's dtype.
template <class Number>
struct Arange {
  static constexpr auto name = "arange";
  Write y;
  Number start, step;
  void operands(auto f) { f(y); }
  void run() const;
};

template <>
void Arange<int64_t>::run() const;
template <>
void Arange<double>::run() const;

/// From start to end in equal steps, both included.
struct Linspace {
  static constexpr auto name = "linspace";
  Write y;
  double start, end;
  void operands(auto f) { f(y); }
  void run() const;
};

/// The unit matrix.
struct Eye {
  static constexpr auto name = "eye";
  Write y;
  void operands(auto f) { f(y); }
  void run() const;
};

/// y = min(shift + scale · u, most) of the default generator's next numbers u, uniform in [0, 1) or standard
/// normal; y is float64.
struct Draw {
  static constexpr auto name = "draw";
  Write y;
  bool normal;
  double shift, scale, most;
  void operands(auto f) { f(y); }
  void run() const;
};

/// 0 with probability p, else 1 / (1 - p). Element i depends on the default generator's state and i alone.
struct DropoutMask {
  static constexpr auto name = "dropout_mask";
  Write y;
  double p;
  void operands(auto f) { f(y); }
  void run() const;
};

}  // namespace gradus::kernels

#pragma GCC visibility pop
