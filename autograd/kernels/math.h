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
#define GRADUS_UNARY(name)                                                                 \
  extern "C" __attribute__((const, nothrow)) detail::F32 GRADUS_F32(v, name)(detail::F32); \
  extern "C" __attribute__((const, nothrow)) detail::F64 GRADUS_F64(v, name)(detail::F64); \
  inline Vec<float> name(Vec<float> x) { return GRADUS_F32(v, name)(x.raw); }              \
  inline Vec<double> name(Vec<double> x) { return GRADUS_F64(v, name)(x.raw); }
#define GRADUS_BINARY(name)                                                                              \
  extern "C" __attribute__((const, nothrow)) detail::F32 GRADUS_F32(vv, name)(detail::F32, detail::F32); \
  extern "C" __attribute__((const, nothrow)) detail::F64 GRADUS_F64(vv, name)(detail::F64, detail::F64); \
  inline Vec<float> name(Vec<float> a, Vec<float> b) { return GRADUS_F32(vv, name)(a.raw, b.raw); }      \
  inline Vec<double> name(Vec<double> a, Vec<double> b) { return GRADUS_F64(vv, name)(a.raw, b.raw); }
#else
#define GRADUS_UNARY(name)                                                                 \
  inline Vec<float> name(Vec<float> x) {                                                   \
    return detail::by_lane<float>([&](int lane) { return __builtin_##name##f(x[lane]); }); \
  }                                                                                        \
  inline Vec<double> name(Vec<double> x) {                                                 \
    return detail::by_lane<double>([&](int lane) { return __builtin_##name(x[lane]); });   \
  }
#define GRADUS_BINARY(name)                                                                         \
  inline Vec<float> name(Vec<float> a, Vec<float> b) {                                              \
    return detail::by_lane<float>([&](int lane) { return __builtin_##name##f(a[lane], b[lane]); }); \
  }                                                                                                 \
  inline Vec<double> name(Vec<double> a, Vec<double> b) {                                           \
    return detail::by_lane<double>([&](int lane) { return __builtin_##name(a[lane], b[lane]); });   \
  }
#endif

GRADUS_UNARY(exp)
GRADUS_UNARY(expm1)
GRADUS_UNARY(log)
GRADUS_UNARY(log1p)
GRADUS_UNARY(sin)
GRADUS_UNARY(cos)
GRADUS_UNARY(tanh)
GRADUS_UNARY(erf)
GRADUS_BINARY(pow)

#undef GRADUS_UNARY
#undef GRADUS_BINARY
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
