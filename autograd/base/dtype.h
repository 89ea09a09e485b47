#pragma once
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#pragma GCC visibility push(default)

namespace gradus {

/// Element types. Promotion goes bool < uint8 < int64 < float32 < float64.
enum class Dtype : uint8_t { Bool, UInt8, Int64, Float32, Float64 };

inline constexpr Dtype kBool = Dtype::Bool;        // of comparisons and masks
inline constexpr Dtype kUInt8 = Dtype::UInt8;      // of pictures
inline constexpr Dtype kInt64 = Dtype::Int64;      // of indices and classes
inline constexpr Dtype kFloat32 = Dtype::Float32;  // the default, as in PyTorch
inline constexpr Dtype kFloat64 = Dtype::Float64;  // NumPy's default; gradcheck needs it

/// Bytes of one element.
constexpr int64_t item_size(Dtype d) { return d == kFloat64 || d == kInt64 ? 8 : d == kFloat32 ? 4 : 1; }
/// Whether tensors of it can have gradients.
constexpr bool is_floating(Dtype d) { return d == kFloat32 || d == kFloat64; }
/// PyTorch's names: "float32", "int64", "bool" ...
constexpr const char* name_of(Dtype d) {
  switch (d) {
    case Dtype::Bool: return "bool";
    case Dtype::UInt8: return "uint8";
    case Dtype::Int64: return "int64";
    case Dtype::Float32: return "float32";
    case Dtype::Float64: return "float64";
  }
  return "?";
}
/// The dtype of a binary operation's result: the wider of the two.
constexpr Dtype promote(Dtype a, Dtype b) { return a > b ? a : b; }

template <class T>
struct dtype_of_type;
template <>
struct dtype_of_type<bool> : std::integral_constant<Dtype, kBool> {};
template <>
struct dtype_of_type<uint8_t> : std::integral_constant<Dtype, kUInt8> {};
template <>
struct dtype_of_type<int64_t> : std::integral_constant<Dtype, kInt64> {};
template <>
struct dtype_of_type<float> : std::integral_constant<Dtype, kFloat32> {};
template <>
struct dtype_of_type<double> : std::integral_constant<Dtype, kFloat64> {};
/// The dtype whose elements are of C++ type T.
template <class T>
inline constexpr Dtype dtype_of = dtype_of_type<T>::value;

/// Whether x is no number; an integer always is one.
template <class T>
constexpr bool is_nan(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return __builtin_isnan(x);
  else
    return false;
}

/// x as a To, of a tensor's element as of a number: the one conversion there is. Floating to integer cuts
/// towards zero; outside To's range it is the nearest end of the range, and 0 for NaN. Integers wrap in a
/// narrower integer; to bool is x != 0.
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

/// Calls f with a value of the C++ type of `d`: dispatch(d, [&](auto zero) { using T = decltype(zero); … }).
template <class F>
decltype(auto) dispatch(Dtype d, F&& f) {
  switch (d) {
    case Dtype::Bool: return f(bool());
    case Dtype::UInt8: return f(uint8_t());
    case Dtype::Int64: return f(int64_t());
    case Dtype::Float32: return f(float());
    case Dtype::Float64: break;
  }
  return f(double());
}
/// As dispatch, for float32 and float64 alone (the caller has checked).
template <class F>
decltype(auto) dispatch_floating(Dtype d, F&& f) {
  if (d == kFloat32) return f(float());
  return f(double());
}

}  // namespace gradus

#pragma GCC visibility pop
