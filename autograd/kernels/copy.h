#pragma once
#include <gradus/autograd/base/launch.h>
#include <gradus/autograd/base/scalar.h>

#pragma GCC visibility push(default)

namespace gradus::kernels {

/// y = x, each element converted as convert (dtype.h) does. x has the shape of y (strides 0 where broadcast);
/// y must not overlap itself or x, unless it is x.
struct Copy {
  static constexpr auto name = "copy";
  Write y;
  Read x;
  void operands(auto f) { f(y), f(x); }
  void run() const;
};

/// Every element of y is `value`, converted as convert does.
struct Fill {
  static constexpr auto name = "fill";
  Write y;
  Scalar value;
  void operands(auto f) { f(y); }
  void run() const;
};

}  // namespace gradus::kernels

#pragma GCC visibility pop
