#include <gradus/nn/foreign_dtype.h>

#include <cmath>
#include <cstdint>
#include <cstring>

namespace gradus::detail {
namespace {

template <class From, class To, To (*f)(From)>
void convert_each(const std::byte* from, int64_t n, std::byte* to) {
  for (int64_t i = 0; i < n; i++) {
    From x;
    std::memcpy(&x, from + i * int64_t{sizeof(From)}, sizeof(From));
    const To y = f(x);
    std::memcpy(to + i * int64_t{sizeof(To)}, &y, sizeof(To));
  }
}

template <class T>
int64_t as_int64(T x) {
  return x;
}
// Not std::bit_cast, which libc++ 14 lacks.
float float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}
/// The upper half of a float32.
float from_bfloat16(uint16_t x) { return float_of(uint32_t{x} << 16); }
/// 1 bit of sign, 5 of the exponent plus 15, 10 of the fraction.
float from_float16(uint16_t x) {
  const uint32_t sign = uint32_t{x} >> 15 << 31, exponent = x >> 10 & 31, fraction = x & 1023;
  if (exponent == 0) return std::copysign(std::ldexp(static_cast<float>(fraction), -24), sign ? -1.0f : 1.0f);
  const uint32_t wide = exponent == 31 ? 255 : exponent - 15 + 127;
  return float_of(sign | wide << 23 | fraction << 13);
}

template <class T>
constexpr ForeignDtype integers(const char* safetensors, const char* npy) {
  return {safetensors, npy, sizeof(T), kInt64, convert_each<T, int64_t, as_int64<T>>};
}
constexpr ForeignDtype kForeignDtypes[] = {
    integers<int8_t>("I8", "|i1"),
    integers<int16_t>("I16", "<i2"),
    integers<int32_t>("I32", "<i4"),
    integers<uint16_t>("U16", "<u2"),
    integers<uint32_t>("U32", "<u4"),
    {"F16", "<f2", 2, kFloat32, convert_each<uint16_t, float, from_float16>},
    {"BF16", nullptr, 2, kFloat32, convert_each<uint16_t, float, from_bfloat16>}};

}  // namespace

std::span<const ForeignDtype> foreign_dtypes() noexcept { return kForeignDtypes; }

}  // namespace gradus::detail
