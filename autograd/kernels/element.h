#pragma once
#include <gradus/autograd/base/dtype.h>

namespace gradus::kernels {

using gradus::convert;

/// a + b; integers wrap, bool is a or b.
template <class T>
constexpr T plus(T a, T b) {
  if constexpr (std::is_same_v<T, bool>)
    return a || b;
  else if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  else
    return a + b;
}

}  // namespace gradus::kernels
