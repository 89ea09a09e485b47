#pragma once
#include <gradus/autograd/base/dtype.h>

#include <concepts>

namespace gradus {

/// A number with the category it was written in. As an operand it promotes by category only: 2.5 makes
/// an int64 tensor float32, but never a float32 tensor float64.
class Scalar {
 public:
  /// Any arithmetic type, implicitly.
  template <class A>
  requires std::is_arithmetic_v<A>
  constexpr Scalar(A a) : floating_(std::is_floating_point_v<A>), bool_(std::same_as<A, bool>) {
    if constexpr (std::is_floating_point_v<A>)
      d_ = static_cast<double>(a);
    else
      i_ = static_cast<int64_t>(a);
  }
  /// The number as a T (a floating number is cut to an integer as a C++ cast does).
  template <class T>
  constexpr T to() const {
    return floating_ ? static_cast<T>(d_) : static_cast<T>(i_);
  }
  /// The dtype of `tensor (of dtype d) op *this`.
  constexpr Dtype promoted(Dtype d) const {
    if (floating_) return is_floating(d) ? d : kFloat32;
    if (bool_) return d;
    return d == kBool ? kInt64 : d;
  }
  /// The dtype of a tensor made of this number alone.
  constexpr Dtype dtype() const { return floating_ ? kFloat32 : bool_ ? kBool : kInt64; }

 private:
  union {
    double d_;
    int64_t i_;
  };
  bool floating_, bool_;
};

}  // namespace gradus
