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
#define GRADUS_UNARY(name)                                                \
  GRADUS_UNARY_OF(float, detail::F32, GRADUS_F32(v, name), name, name##f) \
  GRADUS_UNARY_OF(double, detail::F64, GRADUS_F64(v, name), name, name)
#define GRADUS_BINARY(name)                                                 \
  GRADUS_BINARY_OF(float, detail::F32, GRADUS_F32(vv, name), name, name##f) \
  GRADUS_BINARY_OF(double, detail::F64, GRADUS_F64(vv, name), name, name)

GRADUS_UNARY(exp)
GRADUS_UNARY(expm1)
#if GRADUS_VECTOR_BYTES == 64  // those of floats are our own: see below
GRADUS_UNARY_OF(double, detail::F64, GRADUS_F64(v, log), log, log)
GRADUS_UNARY_OF(double, detail::F64, GRADUS_F64(v, log1p), log1p, log1p)
#else
GRADUS_UNARY(log)
GRADUS_UNARY(log1p)
#endif
GRADUS_UNARY(sin)
GRADUS_UNARY(cos)
GRADUS_UNARY(erf)
GRADUS_BINARY(pow)

#undef GRADUS_UNARY
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
template <class T>
Vec<T> fused(Vec<T> a, Vec<T> b, Vec<T> c) {
#if GRADUS_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4)
    return (F32)_mm512_fmadd_ps((__m512)a.raw, (__m512)b.raw, (__m512)c.raw);
  else
    return (F64)_mm512_fmadd_pd((__m512d)a.raw, (__m512d)b.raw, (__m512d)c.raw);
#elif GRADUS_VECTOR_BYTES == 32
  if constexpr (sizeof(T) == 4)
    return (F32)_mm256_fmadd_ps((__m256)a.raw, (__m256)b.raw, (__m256)c.raw);
  else
    return (F64)_mm256_fmadd_pd((__m256d)a.raw, (__m256d)b.raw, (__m256d)c.raw);
#else
  return a * b + c;
#endif
}

/// a / b for normal b.
#if GRADUS_VECTOR_BYTES == 64
/// Dividing 8 doubles takes as long as 16 other instructions. Newton's steps double the bits, from 14: first
/// in the inverse, then in the quotient.
inline Vec<double> quotient(Vec<double> a, Vec<double> b) {
  Vec<double> inverse = (F64)_mm512_maskz_rcp14_pd(0xff, (__m512d)b.raw);
  inverse = fused<double>(inverse, fused<double>(-b, inverse, 1), inverse);
  const Vec<double> y = a * inverse;
  return fused<double>(inverse, fused<double>(-b, y, a), y);
}
#else
template <class T>
Vec<T> quotient(Vec<T> a, Vec<T> b) {
  return a / b;
}
#endif

/// Of T's format: adding `shift` rounds to an integer n, and leaves n and the exponent's bias in the lowest
/// bits.
template <class T>
struct Format {
  static constexpr int mantissa_bits = sizeof(T) == 4 ? 23 : 52;
  static constexpr T shift = sizeof(T) == 4 ? T(0x1.8p23 + 127) : T(0x1.8p52 + 1023);
  // ln 2 in two parts, the first with zeros at its end: times n it is exact.
  static constexpr T ln2_high = sizeof(T) == 4 ? T(0x1.62e4p-1) : T(0x1.62e42feep-1),
                     ln2_low = sizeof(T) == 4 ? T(0x1.7f7d1cp-20) : T(0x1.a39ef35793c76p-33);
};

/// (e^r - 1 - r) / r² for |r| ≤ ln 2 / 2: the polynomials whose relative error in e^r - 1 is least, 2^-26 and
/// 2^-55.
inline Vec<float> exp_rest(Vec<float> r) {
  constexpr float terms[] = {0.00836652072f, 0.0416671999f, 0.166665436f, 0.49999998f};
  Vec<float> q = 0.00138825190f;
  for (float term : terms) q = fused<float>(q, r, term);
  return q;
}
inline Vec<double> exp_rest(Vec<double> r) {
  // Not one term after the other: the chain would be longer than what the processor looks ahead.
  const Vec<double> r2 = r * r, r4 = r2 * r2;
  const auto pair = [&](double a, double b) { return fused<double>(b, r, a); };
  const Vec<double> low = fused<double>(pair(0.04166666666657675, 0.008333333333389554), r2,
                                        pair(0.5000000000000006, 0.16666666666666588)),
                    high = fused<double>(pair(2.480150527282228e-05, 2.7557407542515357e-06), r2,
                                         pair(0.0013888888931565795, 0.00019841269719005506));
  return fused<double>(fused<double>(pair(2.7626038234718067e-07, 2.505377535862686e-08), r4, high), r4, low);
}

/// e^u = power (1 + rest), where power is 2^n for u = n ln 2 + r with |r| ≤ ln 2 / 2.
template <class T>
struct Exponential {
  Vec<T> power, rest;
};
/// u must not reach where e^u is denormal or infinite. What ln 2 is off by, n 2^-29 as a float, is spared
/// where kExact.
template <bool kExact, class T>
[[gnu::always_inline]] inline Exponential<T> exponential(Vec<T> u) {
  using Format = detail::Format<T>;
  using Bits = typename Mask<T, kLanes<T>>::Raw;
  const Vec<T> shifted = fused<T>(u, 1.4426950408889634, Format::shift), n = shifted - Format::shift;
  Vec<T> r;
  if constexpr (kExact)
    r = fused<T>(n, -Format::ln2_low, fused<T>(n, -Format::ln2_high, u));
  else
    r = fused<T>(n, -0.6931471805599453, u);
  const Vec<T> power((typename Vec<T>::Raw)((Bits)shifted.raw << Format::mantissa_bits));
  return {power, fused<T>(r * r, exp_rest(r), r)};
}

}  // namespace detail

#if GRADUS_VECTOR_BYTES == 64
namespace detail {

/// x = 2^n m with 3/4 ≤ m < 3/2. n is as log x needs it where x is 0 or infinite; m is NaN where x < 0.
struct Split {
  Vec<float> n, m;
};
inline Split split(Vec<float> x) {
  const __m512 v = (__m512)x.raw,
               m = _mm512_maskz_getmant_ps(0xffff, v, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_nan);
  const Vec<float> of_x = (F32)_mm512_maskz_getexp_ps(0xffff, v),
                   of_m = (F32)_mm512_maskz_getexp_ps(0xffff, m);
  return {of_x - of_m, (F32)m};
}
/// n ln 2 + log(1 + f) for -1/4 ≤ f < 1/2. log(1 + f) = f + f² p(f), where p is the polynomial whose relative
/// error in log(1 + f) is least, 2^-25.
inline Vec<float> log_sum(Vec<float> n, Vec<float> f) {
  constexpr float terms[] = {-0.120672941f, 0.149839160f, -0.168228215f, 0.199770779f,
                             -0.249934418f, 0.333335485f, -0.500000607f};
  Vec<float> p = 0.0541315745f;
  for (float term : terms) p = fused<float>(p, f, term);
  return fused<float>(n, 0.693147181f, fused<float>(f * f, p, f));
}

}  // namespace detail

/// Within 3 ULP. In a formula it takes less time than a call of libmvec, around which registers are saved.
inline Vec<float> log(Vec<float> x) {
  const auto [n, m] = detail::split(x);
  return detail::log_sum(n, m - 1);
}
/// log(u) for u = 1 + x, with what u is off by, e = x - (u - 1), given back to f.
inline Vec<float> log1p(Vec<float> x) {
  const Vec<float> u = 1 + x, e = x - (u - 1);
  const auto [n, m] = detail::split(u);
  // Not where there is nothing to give back: 0 or an infinity may be among the factors then.
  const __mmask16 some = _mm512_cmp_ps_mask((__m512)e.raw, _mm512_setzero_ps(), _CMP_NEQ_OQ);
  const Vec<float> rest = (detail::F32)_mm512_maskz_scalef_ps(some, (__m512)e.raw, (__m512)(-n).raw);
  return where(u == 1, x, detail::log_sum(n, m - 1 + rest));
}
#endif

/// tanh |x| = e / (e + 2) with e = e^(2|x|) - 1, within 3 ULP and in less than libmvec's time.
template <class T>
[[gnu::always_inline]] inline Vec<T> tanh(Vec<T> x) {
  using Bits = typename Mask<T, kLanes<T>>::Raw;
  const Vec<T> half = minimum(abs(x), 20);
  // Not exact: ln 2 is off by little, and an error of e^u less than 3 times as large in the quotient.
  const auto [power, rest] = detail::exponential<false, T>(half + half);
  const Vec<T> e = detail::fused<T>(rest, power, power - 1);
  const Bits sign = (Bits)x.raw & (Bits)(-typename Vec<T>::Raw{});
  return (typename Vec<T>::Raw)((Bits)detail::quotient(e, e + 2).raw | sign);
}

#if GRADUS_VECTOR_BYTES == 64
namespace detail {

/// For |x| in each of 32 intervals, a quarter of an octave each: tanh |x| = Σ terms[n] (|x| - middle)^n.
struct TanhTable {
  float middle[32], terms[6][32];
};
/// From y' = 1 - y² alone: its power series at the middle of an interval gives y at the next one's.
constexpr TanhTable tanh_table() {
  constexpr int kOrder = 24;
  TanhTable table{};
  double a[kOrder] = {}, at = 0;
  for (int i = 0; i < 32; i++) {
    // The first interval begins at 0, the others at 2^-4 (1 + 1/4), 2^-4 (1 + 2/4) … 2^3 (1 + 3/4).
    const double width = (1 << i / 4) / 64.0, half = i == 0 ? 5 * width : width / 2,
                 middle = i == 0 ? 0 : (4 + i % 4) * width + half;
    double y = 0;
    for (int n = kOrder - 1; n >= 0; n--) y = y * (middle - at) + a[n];
    at = middle;
    a[0] = y;
    for (int n = 0; n + 1 < kOrder; n++) {
      double square = 0;
      for (int k = 0; k <= n; k++) square += a[k] * a[n - k];
      a[n + 1] = ((n == 0) - square) / (n + 1);
    }
    // Economized: what is cut off is a multiple of Chebyshev's polynomial, the smallest over the interval.
    double b[kOrder] = {}, power = 1;
    for (int n = 0; n < kOrder; n++, power *= half) b[n] = a[n] * power;
    for (int n = kOrder - 1; n > 5; n--) {
      double c = b[n];
      for (int k = n; k >= 2; k -= 2) {
        c *= -double(k * (k - 1)) / (n * n - (k - 2) * (k - 2));
        b[k - 2] -= c;
      }
    }
    // The place that the lowest bits of the exponent and the highest two of the mantissa name.
    const int place = (i + 12) % 32;
    table.middle[place] = float(middle);
    power = 1;
    for (int n = 0; n <= 5; n++, power *= half) table.terms[n][place] = float(b[n] / power);
  }
  return table;
}
inline constexpr TanhTable kTanhTable = tanh_table();

}  // namespace detail

/// Of floats within 1.5 ULP, by the polynomial of |x|'s interval.
[[gnu::always_inline]] inline Vec<float> tanh(Vec<float> x) {
  using Bits = Mask<float, 16>::Raw;
  const Vec<float> size = minimum(abs(x), 10);
  const Bits place = (Bits)maximum(size, 1 / 16.f).raw >> 21;
  const auto pick = [&](const float(&row)[32]) -> Vec<float> {
    return (detail::F32)_mm512_permutex2var_ps(_mm512_loadu_ps(row), (__m512i)place,
                                               _mm512_loadu_ps(row + 16));
  };
  const detail::TanhTable& table = detail::kTanhTable;
  const Vec<float> t = size - pick(table.middle);
  Vec<float> y = pick(table.terms[5]);
  for (int n = 4; n >= 0; n--) y = detail::fused<float>(y, t, pick(table.terms[n]));
  const Bits sign = (Bits)x.raw & (Bits)(-Vec<float>::Raw{});
  return (detail::F32)((Bits)y.raw | sign);
}
#endif

namespace detail {
/// e^-x is neither denormal nor infinite for |x| up to here.
template <class T>
inline constexpr T kExpLimit = sizeof(T) == 4 ? T(87) : T(708);
}  // namespace detail

/// 1 / (1 + e^-x), within 3 ULP; 0 for x < -87 (double: -708), shortly before that is denormal.
template <class T>
[[gnu::always_inline]] inline Vec<T> sigmoid(Vec<T> x) {
  constexpr T limit = detail::kExpLimit<T>;
  const auto [power, rest] = detail::exponential<true, T>(-maximum(minimum(x, limit), -limit));
  return where(x < -limit, 0, 1 / (1 + detail::fused<T>(rest, power, power)));
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
