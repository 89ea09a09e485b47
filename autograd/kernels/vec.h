#pragma once
#include <gradus/autograd/kernels/isa.h>

#include <cstdint>
#include <type_traits>

#if GRADUS_VECTOR_BYTES > 16
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace gradus::GRADUS_LEVEL_NAMESPACE {

/// Lanes of one native vector of T.
template <class T>
inline constexpr int kLanes = GRADUS_VECTOR_BYTES / int(sizeof(T));

/// One truth value per lane of a Vec<T, N>: all bits of the lane set, or none.
template <class T, int N>
struct Mask {
  using Lane =
      std::conditional_t<sizeof(T) == 8, int64_t, std::conditional_t<sizeof(T) == 4, int32_t, int8_t>>;
  typedef Lane Raw __attribute__((vector_size(N * sizeof(T))));
  Raw raw;

  bool operator[](int lane) const { return raw[lane] != 0; }
  friend Mask operator&(Mask a, Mask b) { return {a.raw & b.raw}; }
  friend Mask operator|(Mask a, Mask b) { return {a.raw | b.raw}; }
  friend Mask operator~(Mask a) { return {~a.raw}; }
};

/// The number `a` as a T: integers saturate, so that an infinite bound of an integer clamp is no bound.
template <class T, class A>
constexpr T saturate(A a) {
  if constexpr (std::is_floating_point_v<A> && std::is_integral_v<T>) {
    constexpr bool is_signed = std::is_signed_v<T>;
    constexpr int bits = 8 * int(sizeof(T)) - is_signed;
    constexpr T highest = T(~uint64_t{0} >> (64 - bits)), lowest = is_signed ? T(-highest - 1) : T(0);
    constexpr double limit = 2.0 * double(uint64_t{1} << (bits - 1));
    if (__builtin_isnan(a)) return 0;
    return a >= limit ? highest : a <= double(lowest) ? lowest : T(a);
  } else {
    return T(a);
  }
}

namespace detail {

/// a > b ? a : b, or a < b ? a : b. g++ does not make them the one instruction that they are.
template <bool kMax, class Raw>
Raw extreme_or_second(Raw a, Raw b) {
  [[maybe_unused]] constexpr bool f32 = sizeof(a[0]) == 4;
#if GRADUS_VECTOR_BYTES == 64
  if constexpr (sizeof(Raw) == 64 && f32)
    return (Raw)(kMax ? _mm512_maskz_max_ps(0xffff, (__m512)a, (__m512)b)
                      : _mm512_maskz_min_ps(0xffff, (__m512)a, (__m512)b));
  else if constexpr (sizeof(Raw) == 64)
    return (Raw)(kMax ? _mm512_maskz_max_pd(0xff, (__m512d)a, (__m512d)b)
                      : _mm512_maskz_min_pd(0xff, (__m512d)a, (__m512d)b));
#elif GRADUS_VECTOR_BYTES == 32
  if constexpr (sizeof(Raw) == 32 && f32)
    return (Raw)(kMax ? _mm256_max_ps((__m256)a, (__m256)b) : _mm256_min_ps((__m256)a, (__m256)b));
  else if constexpr (sizeof(Raw) == 32)
    return (Raw)(kMax ? _mm256_max_pd((__m256d)a, (__m256d)b) : _mm256_min_pd((__m256d)a, (__m256d)b));
#endif
  return (kMax ? a > b : a < b) ? a : b;
}

}  // namespace detail

/// N numbers of type T that are computed with as one. Numbers convert to it implicitly.
template <class T, int N = kLanes<T>>
struct Vec {
  static constexpr int size = N;
  using M = Mask<T, N>;
  typedef T Raw __attribute__((vector_size(N * sizeof(T))));
  // Integers wrap around: signed overflow would be undefined.
  typedef std::conditional_t<std::is_same_v<T, int64_t>, uint64_t, T> Wrapping
      __attribute__((vector_size(N * sizeof(T))));
  Raw raw;

  Vec() = default;
  Vec(Raw raw_) : raw(raw_) {}
  template <class A>
  requires std::is_arithmetic_v<A> Vec(A a) : raw(saturate<T>(a) - Raw{}) {}

  T operator[](int lane) const { return raw[lane]; }

  /// N elements from any address.
  static Vec load(const T* p) {
    Vec x;
    __builtin_memcpy(&x.raw, p, sizeof x.raw);
    return x;
  }
  void store(T* p) const { __builtin_memcpy(p, &raw, sizeof raw); }

  /// The first n < N elements; the other lanes are those of `rest`. Nothing beyond the n is touched.
  static Vec load(const T* p, int64_t n, Vec rest = 0);
  /// Stores the first n < N lanes.
  void store(T* p, int64_t n) const;

  friend Vec operator+(Vec a, Vec b) { return (Raw)((Wrapping)a.raw + (Wrapping)b.raw); }
  friend Vec operator-(Vec a, Vec b) { return (Raw)((Wrapping)a.raw - (Wrapping)b.raw); }
  friend Vec operator*(Vec a, Vec b) { return (Raw)((Wrapping)a.raw * (Wrapping)b.raw); }
  friend Vec operator/(Vec a, Vec b) { return a.raw / b.raw; }
  friend Vec operator-(Vec a) { return (Raw)(-(Wrapping)a.raw); }
  friend M operator<(Vec a, Vec b) { return {a.raw < b.raw}; }
  friend M operator<=(Vec a, Vec b) { return {a.raw <= b.raw}; }
  friend M operator>(Vec a, Vec b) { return {a.raw > b.raw}; }
  friend M operator>=(Vec a, Vec b) { return {a.raw >= b.raw}; }
  friend M operator==(Vec a, Vec b) { return {a.raw == b.raw}; }
  friend M operator!=(Vec a, Vec b) { return {a.raw != b.raw}; }

  /// a where the mask is set, b elsewhere.
  friend Vec where(M mask, Vec a, Vec b) { return mask.raw ? a.raw : b.raw; }
  friend Vec zeros_like(Vec) { return Raw{}; }
  /// The larger; NaN if either is.
  friend Vec maximum(Vec a, Vec b) {
    if constexpr (std::is_integral_v<T>)
      return a.raw > b.raw ? a.raw : b.raw;
    else
      return ((a.raw > b.raw) | (a.raw != a.raw)) ? a.raw : b.raw;
  }
  /// The smaller; NaN if either is.
  friend Vec minimum(Vec a, Vec b) {
    if constexpr (std::is_integral_v<T>)
      return a.raw < b.raw ? a.raw : b.raw;
    else
      return ((a.raw < b.raw) | (a.raw != a.raw)) ? a.raw : b.raw;
  }
  /// The same with a number, in one instruction; of equal ones (0 and -0) the vector's.
  template <class A>
  requires std::is_arithmetic_v<A>
  friend Vec maximum(Vec a, A b) {
    if constexpr (std::is_integral_v<T>)
      return maximum(a, Vec(b));
    else
      return __builtin_isnan(double(b)) ? Vec(b).raw : detail::extreme_or_second<true>(Vec(b).raw, a.raw);
  }
  template <class A>
  requires std::is_arithmetic_v<A>
  friend Vec minimum(Vec a, A b) {
    if constexpr (std::is_integral_v<T>)
      return minimum(a, Vec(b));
    else
      return __builtin_isnan(double(b)) ? Vec(b).raw : detail::extreme_or_second<false>(Vec(b).raw, a.raw);
  }
  friend Vec abs(Vec a) {
    if constexpr (std::is_unsigned_v<T>)
      return a;
    else if constexpr (std::is_integral_v<T>)
      return a.raw < 0 ? (Raw)(-(Wrapping)a.raw) : a.raw;
    else
      return (Raw)((typename M::Raw)a.raw & (typename M::Raw) ~(typename M::Raw)(-Raw{}));
  }
  /// -1, 0 or 1; 0 for NaN.
  friend Vec sign(Vec a) { return where(a > 0, Vec(1), where(a < 0, Vec(-1), Vec(0))); }
};

namespace detail {

/// f(lane) for every lane below n, without a loop that compilers would turn into a call of memcpy.
template <int N, class F>
void each_lane(int64_t n, F f) {
#pragma GCC unroll 64
  for (int lane = 0; lane < N; ++lane)
    if (lane < n) f(lane);
}

#if GRADUS_VECTOR_BYTES == 32
/// Lanes 0 .. n-1 set: a window into 32 set bytes followed by 32 clear ones.
template <class T, int N>
Mask<T, N> first_lanes(int64_t n) {
  alignas(64) static constexpr int64_t window[8] = {-1, -1, -1, -1, 0, 0, 0, 0};
  Mask<T, N> mask;
  __builtin_memcpy(&mask.raw, (const char*)window + 32 - n * int64_t(sizeof(T)), sizeof mask.raw);
  return mask;
}
#endif

}  // namespace detail

template <class T, int N>
Vec<T, N> Vec<T, N>::load(const T* p, int64_t n, Vec rest) {
#if GRADUS_VECTOR_BYTES == 64
  if constexpr (sizeof(Raw) == 64) {
    const uint64_t first = (uint64_t{1} << n) - 1;
    if constexpr (sizeof(T) == 8)
      return (Raw)_mm512_mask_loadu_epi64((__m512i)rest.raw, __mmask8(first), p);
    else if constexpr (sizeof(T) == 4)
      return (Raw)_mm512_mask_loadu_epi32((__m512i)rest.raw, __mmask16(first), p);
    else
      return (Raw)_mm512_mask_loadu_epi8((__m512i)rest.raw, first, p);
  }
#elif GRADUS_VECTOR_BYTES == 32
  if constexpr (sizeof(Raw) == 32 && sizeof(T) >= 4) {
    const auto first = detail::first_lanes<T, N>(n);
    Raw x;
    if constexpr (sizeof(T) == 8)
      x = (Raw)_mm256_maskload_epi64((const long long*)p, (__m256i)first.raw);
    else
      x = (Raw)_mm256_maskload_epi32((const int*)p, (__m256i)first.raw);
    return where(first, x, rest);
  }
#endif
  Raw x = rest.raw;
  detail::each_lane<N>(n, [&](int lane) { x[lane] = p[lane]; });
  return x;
}

template <class T, int N>
void Vec<T, N>::store(T* p, int64_t n) const {
#if GRADUS_VECTOR_BYTES == 64
  if constexpr (sizeof(Raw) == 64) {
    const uint64_t first = (uint64_t{1} << n) - 1;
    if constexpr (sizeof(T) == 8)
      return _mm512_mask_storeu_epi64(p, __mmask8(first), (__m512i)raw);
    else if constexpr (sizeof(T) == 4)
      return _mm512_mask_storeu_epi32(p, __mmask16(first), (__m512i)raw);
    else
      return _mm512_mask_storeu_epi8(p, first, (__m512i)raw);
  }
#elif GRADUS_VECTOR_BYTES == 32
  if constexpr (sizeof(Raw) == 32 && sizeof(T) == 8)
    return _mm256_maskstore_epi64((long long*)p, (__m256i)detail::first_lanes<T, N>(n).raw, (__m256i)raw);
  else if constexpr (sizeof(Raw) == 32 && sizeof(T) == 4)
    return _mm256_maskstore_epi32((int*)p, (__m256i)detail::first_lanes<T, N>(n).raw, (__m256i)raw);
#endif
  detail::each_lane<N>(n, [&](int lane) { p[lane] = raw[lane]; });
}

}  // namespace gradus::GRADUS_LEVEL_NAMESPACE
