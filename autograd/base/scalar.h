#pragma once
#include <gradus/autograd/base/dtype.h>
#include <gradus/autograd/base/error.h>

#include <concepts>

#pragma GCC visibility push(default)

namespace gradus {

/// A number with the category it was written in. As an operand it promotes by category only: 2.5 makes
/// an int64 tensor float32, but never a float32 tensor float64.
class Scalar {
 public:
  /// Any arithmetic type, implicitly. An Error where it is an integer above 2^63 - 1, which no dtype holds.
  template <class A>
  requires std::is_arithmetic_v<A>
  constexpr Scalar(A a) : floating_(std::is_floating_point_v<A>), bool_(std::same_as<A, bool>) {
    if constexpr (std::is_floating_point_v<A>) {
      d_ = static_cast<double>(a);
    } else {
      i_ = static_cast<int64_t>(a);
      if constexpr (std::is_unsigned_v<A> && sizeof(A) == sizeof i_)
        if (i_ < 0) fail("Scalar: an integer is at most 2^63 - 1, write a floating number for {}", a);
    }
  }
  /// The number as a T, converted as a tensor's elements are: convert (dtype.h).
  template <class T>
  constexpr T to() const {
    return floating_ ? convert<T>(d_) : convert<T>(i_);
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

#pragma GCC visibility pop
