#pragma once
#include <gradus/autograd/kernels/vec.h>

// glibc's vector math library, by the names of its vector ABI: within 4 ULP and right at every special value.
// Complete since glibc 2.35; elsewhere the scalar functions are called lane by lane.
#if defined(__x86_64__) && defined(__GLIBC__)
#if __GLIBC_PREREQ(2, 35)
#define GRADUS_LIBMVEC
#endif
#endif

#if GRADUS_VECTOR_BYTES == 64
#define GRADUS_F32(args, name) _ZGVeN16##args##_##name##f
#define GRADUS_F64(args, name) _ZGVeN8##args##_##name
#elif GRADUS_VECTOR_BYTES == 32
#define GRADUS_F32(args, name) _ZGVdN8##args##_##name##f
#define GRADUS_F64(args, name) _ZGVdN4##args##_##name
#else
#define GRADUS_F32(args, name) _ZGVbN4##args##_##name##f
#define GRADUS_F64(args, name) _ZGVbN2##args##_##name
#endif

/// The functions that formulas call, on vectors of float and double. Domain and special values are those of
/// C's functions of the same name.
namespace gradus::GRADUS_LEVEL_NAMESPACE {

namespace detail {

using F32 = Vec<float>::Raw;
using F64 = Vec<double>::Raw;

template <class T, class F>
Vec<T> by_lane(F f) {
  Vec<T> y;
  for (int lane = 0; lane < kLanes<T>; ++lane) y.raw[lane] = f(lane);
  return y;
}

}  // namespace detail

#ifdef GRADUS_LIBMVEC
#define GRADUS_UNARY_OF(T, Raw, symbol, name, ...)            \
  extern "C" __attribute__((const, nothrow)) Raw symbol(Raw); \
  inline Vec<T> name(Vec<T> x) { return symbol(x.raw); }
#define GRADUS_BINARY_OF(T, Raw, symbol, name, ...)                \
  extern "C" __attribute__((const, nothrow)) Raw symbol(Raw, Raw); \
  inline Vec<T> name(Vec<T> a, Vec<T> b) { return symbol(a.raw, b.raw); }
#else
#define GRADUS_UNARY_OF(T, Raw, symbol, name, scalar)                                 \
  inline Vec<T> name(Vec<T> x) {                                                      \
    return detail::by_lane<T>([&](int lane) { return __builtin_##scalar(x[lane]); }); \
  }
#define GRADUS_BINARY_OF(T, Raw, symbol, name, scalar)                                         \
  inline Vec<T> name(Vec<T> a, Vec<T> b) {                                                     \
    return detail::by_lane<T>([&](int lane) { return __builtin_##scalar(a[lane], b[lane]); }); \
  }
#endif
#define GRADUS_UNARY_F32(name) GRADUS_UNARY_OF(float, detail::F32, GRADUS_F32(v, name), name, name##f)
#define GRADUS_UNARY(name) \
  GRADUS_UNARY_F32(name)   \
  GRADUS_UNARY_OF(double, detail::F64, GRADUS_F64(v, name), name, name)
#define GRADUS_BINARY(name)                                                 \
  GRADUS_BINARY_OF(float, detail::F32, GRADUS_F32(vv, name), name, name##f) \
  GRADUS_BINARY_OF(double, detail::F64, GRADUS_F64(vv, name), name, name)

GRADUS_UNARY(exp)
GRADUS_UNARY(expm1)
GRADUS_UNARY(log)
GRADUS_UNARY(log1p)
GRADUS_UNARY(sin)
GRADUS_UNARY(cos)
GRADUS_UNARY_F32(tanh)
GRADUS_UNARY(erf)
GRADUS_BINARY(pow)

#undef GRADUS_UNARY
#undef GRADUS_UNARY_F32
#undef GRADUS_UNARY_OF
#undef GRADUS_BINARY
#undef GRADUS_BINARY_OF
#undef GRADUS_F32
#undef GRADUS_F64

#if GRADUS_VECTOR_BYTES == 64
// The zeroing forms with all lanes set: g++ 12 warns about the undefined source of the plain ones.
inline Vec<float> sqrt(Vec<float> x) { return (detail::F32)_mm512_maskz_sqrt_ps(0xffff, (__m512)x.raw); }
inline Vec<double> sqrt(Vec<double> x) { return (detail::F64)_mm512_maskz_sqrt_pd(0xff, (__m512d)x.raw); }
inline Vec<float> floor(Vec<float> x) {
  return (detail::F32)_mm512_maskz_roundscale_ps(0xffff, (__m512)x.raw, _MM_FROUND_FLOOR);
}
inline Vec<double> floor(Vec<double> x) {
  return (detail::F64)_mm512_maskz_roundscale_pd(0xff, (__m512d)x.raw, _MM_FROUND_FLOOR);
}
#elif GRADUS_VECTOR_BYTES == 32
inline Vec<float> sqrt(Vec<float> x) { return (detail::F32)_mm256_sqrt_ps((__m256)x.raw); }
inline Vec<double> sqrt(Vec<double> x) { return (detail::F64)_mm256_sqrt_pd((__m256d)x.raw); }
inline Vec<float> floor(Vec<float> x) { return (detail::F32)_mm256_floor_ps((__m256)x.raw); }
inline Vec<double> floor(Vec<double> x) { return (detail::F64)_mm256_floor_pd((__m256d)x.raw); }
#else
#ifdef __SSE2__
inline Vec<float> sqrt(Vec<float> x) { return (detail::F32)_mm_sqrt_ps((__m128)x.raw); }
inline Vec<double> sqrt(Vec<double> x) { return (detail::F64)_mm_sqrt_pd((__m128d)x.raw); }
#else
inline Vec<float> sqrt(Vec<float> x) {
  return detail::by_lane<float>([&](int lane) { return __builtin_sqrtf(x[lane]); });
}
inline Vec<double> sqrt(Vec<double> x) {
  return detail::by_lane<double>([&](int lane) { return __builtin_sqrt(x[lane]); });
}
#endif
inline Vec<float> floor(Vec<float> x) {
  return detail::by_lane<float>([&](int lane) { return __builtin_floorf(x[lane]); });
}
inline Vec<double> floor(Vec<double> x) {
  return detail::by_lane<double>([&](int lane) { return __builtin_floor(x[lane]); });
}
#endif

namespace detail {

/// a b + c, rounded once where the processor can.
inline Vec<double> fused(Vec<double> a, Vec<double> b, Vec<double> c) {
#if GRADUS_VECTOR_BYTES == 64
  return (F64)_mm512_fmadd_pd((__m512d)a.raw, (__m512d)b.raw, (__m512d)c.raw);
#elif GRADUS_VECTOR_BYTES == 32
  return (F64)_mm256_fmadd_pd((__m256d)a.raw, (__m256d)b.raw, (__m256d)c.raw);
#else
  return a * b + c;
#endif
}

/// a / b for normal b: a division of 8 doubles takes as long as 16 other instructions.
inline Vec<double> quotient(Vec<double> a, Vec<double> b) {
#if GRADUS_VECTOR_BYTES == 64
  // Newton's steps from 14 bits to 28 and 56, and a last one on the quotient itself.
  Vec<double> inverse = (F64)_mm512_maskz_rcp14_pd(0xff, (__m512d)b.raw);
  inverse = fused(inverse, fused(-b, inverse, 1), inverse);
  inverse = fused(inverse, fused(-b, inverse, 1), inverse);
  const Vec<double> y = a * inverse;
  return fused(inverse, fused(-b, y, a), y);
#else
  return a / b;
#endif
}

}  // namespace detail

/// tanh |x| = e / (e + 2) with e = e^(2|x|) - 1, within 3 ULP and in less than half of libmvec's time.
///
/// 2|x| = n ln 2 + r with |r| ≤ ln 2 / 2, and e = 2^n (r + r² q(r)) + 2^n - 1, where q is Taylor's series.
inline Vec<double> tanh(Vec<double> x) {
  using detail::fused;
  using Bits = Mask<double, kLanes<double>>::Raw;
  const Vec<double> size = abs(x), half = where(size > 20, 20, size), u = half + half;
  // Adding 1.5 · 2^52 rounds to an integer, which then stands in the lowest bits.
  constexpr double shift = 0x1.8p52;
  const Vec<double> shifted = fused(u, 0x1.71547652b82fep0, shift), n = shifted - shift;
  const Vec<double> r = fused(n, -0x1.a39ef35793c76p-33, fused(n, -0x1.62e42feep-1, u)), r2 = r * r,
                    r4 = r2 * r2;
  const Vec<double> power((Vec<double>::Raw)(((Bits)shifted.raw << 52) + 0x3ff0000000000000));
  const Vec<double> low = fused(fused(1. / 120, r, 1. / 24), r2, fused(1. / 6, r, 1. / 2)),
                    middle = fused(fused(1. / 362880, r, 1. / 40320), r2, fused(1. / 5040, r, 1. / 720)),
                    high = fused(fused(1. / 6227020800, r, 1. / 479001600), r2,
                                 fused(1. / 39916800, r, 1. / 3628800));
  const Vec<double> q = fused(fused(high, r4, middle), r4, low), e = fused(fused(r2, q, r), power, power - 1);
  const Bits sign = (Bits)x.raw & (Bits)(-Vec<double>::Raw{});
  return (Vec<double>::Raw)((Bits)detail::quotient(e, e + 2).raw | sign);
}

namespace detail {
/// e^-x is neither denormal nor infinite for |x| up to here. Beyond, libm's slow path costs 30 times as much.
template <class T>
inline constexpr T kExpLimit = sizeof(T) == 4 ? T(87) : T(708);
}  // namespace detail

/// 1 / (1 + e^-x); 0 where that is denormal.
template <class T>
Vec<T> sigmoid(Vec<T> x) {
  constexpr T limit = detail::kExpLimit<T>;
  const Vec<T> inside = where(x > limit, limit, where(x < -limit, -limit, x));
  return where(x < -limit, 0, 1 / (1 + exp(-inside)));
}

/// log(sigmoid(x)) = min(x, 0) - log(1 + e^-|x|); 0 where that is denormal.
template <class T>
Vec<T> logsigmoid(Vec<T> x) {
  constexpr T limit = detail::kExpLimit<T>;
  const Vec<T> size = abs(x);
  const Vec<T> rest = log1p(exp(-where(size > limit, limit, size)));
  return minimum(x, 0) - where(size > limit, 0, rest);
}

}  // namespace gradus::GRADUS_LEVEL_NAMESPACE
