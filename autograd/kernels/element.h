#pragma once
#include <gradus/autograd/base/dtype.h>

#include <limits>

namespace gradus::kernels {

/// Whether x is no number; an integer always is one.
template <class T>
constexpr bool is_nan(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return __builtin_isnan(x);
  else
    return false;
}

/// x as a To. Floating to integer cuts towards zero; outside To's range it is the nearest end of the range,
/// and 0 for NaN. int64 to uint8 wraps; to bool is x != 0.
template <class To, class From>
constexpr To convert(From x) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != From(0);
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // The largest To may round up as a From, so it is the first value that is too large.
    constexpr From low = static_cast<From>(std::numeric_limits<To>::min());
    constexpr From high = static_cast<From>(std::numeric_limits<To>::max());
    return is_nan(x)   ? To(0)
           : x <= low  ? std::numeric_limits<To>::min()
           : x >= high ? std::numeric_limits<To>::max()
                       : static_cast<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

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
