#include <gradus/autograd/base/error.h>
#include <gradus/autograd/kernels/pointwise.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "needs.h"

namespace {

using namespace gradus;
using namespace gradus::formulas;
using kernels::Level;

constexpr Level kAllLevels[] = {Level::baseline, Level::v3, Level::v4};

// What each gradient reads is derived from the formulas.
static_assert(arity<Tanh> == 1 && arity<Mul> == 2 && arity<BceWithPosWeight> == 3);
static_assert(passes_gradient<Add, 0> && passes_gradient<Add, 1> && passes_gradient<Copy, 1>);
static_assert(passes_gradient<Sub, 0> && !passes_gradient<Sub, 1> && deduce<Sub, 1>() == nothing);
static_assert(zero_gradient<Copy, 0> && zero_gradient<Sign, 0> && zero_gradient<Floor, 0> &&
              !zero_gradient<Neg, 0>);
static_assert(deduce<Mul, 0>() == in(1) && deduce<Mul, 1>() == in(0));
static_assert(deduce<Div, 0>() == in(1) && deduce<Div, 1>() == (in(1) | out(0)));
static_assert(deduce<Tanh, 0>() == out(0) && deduce<Sigmoid, 0>() == out(0) && deduce<Relu, 0>() == out(0));
static_assert(deduce<Exp, 0>() == out(0) && deduce<Sqrt, 0>() == out(0) && deduce<Log, 0>() == in(0));
static_assert(deduce<Pow, 0>() == (in(0) | in(1)) && deduce<Pow, 1>() == (in(0) | in(1) | out(0)));
static_assert(deduce<PowScalar, 0>() == in(0) && deduce<Clamp, 0>() == in(0));
static_assert(deduce<BceWithLogits, 0>() == (in(0) | in(1)) && deduce<BceWithLogits, 1>() == in(0));
static_assert(deduce<BceWithPosWeight, 1>() == (in(0) | in(2)) &&
              deduce<BceWithPosWeight, 2>() == (in(0) | in(1)));

/// A number in long double with a running bound of the rounding error that the same formula may make in T, in
/// units of T's epsilon: half an ULP per operation, 4 ULP per function.
struct Real {
  long double v = 0, error = 0;
  Real() = default;
  Real(long double value, long double error_) : v(value), error(error_) {}
  template <class A>
  requires std::is_arithmetic_v<A> Real(A a)
      : v(a), error(A(int64_t(std::fabs(double(a)) < 1e6 ? a : 0)) == a ? 0 : std::fabs((long double)a)) {}

  static Real rounded(long double v, long double error) { return {v, error + std::fabs(v) / 2}; }
  static Real function(long double v, long double slope, Real x) {
    return {v, std::fabs(slope) * x.error + 4 * std::fabs(v)};
  }
  friend Real operator+(Real a, Real b) { return rounded(a.v + b.v, a.error + b.error); }
  friend Real operator-(Real a, Real b) { return rounded(a.v - b.v, a.error + b.error); }
  friend Real operator*(Real a, Real b) {
    return rounded(a.v * b.v, std::fabs(a.v) * b.error + std::fabs(b.v) * a.error);
  }
  friend Real operator/(Real a, Real b) {
    return rounded(a.v / b.v, (a.error + std::fabs(a.v / b.v) * b.error) / std::fabs(b.v));
  }
  friend Real operator-(Real a) { return {-a.v, a.error}; }
  friend bool operator<(Real a, Real b) { return a.v < b.v; }
  friend bool operator<=(Real a, Real b) { return a.v <= b.v; }
  friend bool operator>(Real a, Real b) { return a.v > b.v; }
  friend bool operator>=(Real a, Real b) { return a.v >= b.v; }
  friend bool operator==(Real a, Real b) { return a.v == b.v; }
  friend Real where(bool mask, Real a, Real b) { return mask ? a : b; }
  friend Real zeros_like(Real) { return {}; }
  friend Real maximum(Real a, Real b) { return a.v > b.v || std::isnan(a.v) ? a : b; }
  friend Real minimum(Real a, Real b) { return a.v < b.v || std::isnan(a.v) ? a : b; }
  friend Real abs(Real a) { return {std::fabs(a.v), a.error}; }
  friend Real sign(Real a) { return (a.v > 0) - (a.v < 0); }
  friend Real floor(Real a) { return {std::floor(a.v), 0}; }
  friend Real sqrt(Real x) { return function(std::sqrt(x.v), 0.5L / std::sqrt(x.v), x); }
  friend Real exp(Real x) { return function(std::exp(x.v), std::exp(x.v), x); }
  friend Real expm1(Real x) { return function(std::expm1(x.v), std::exp(x.v), x); }
  friend Real log(Real x) { return function(std::log(x.v), 1 / x.v, x); }
  friend Real log1p(Real x) { return function(std::log1p(x.v), 1 / (1 + x.v), x); }
  friend Real sin(Real x) { return function(std::sin(x.v), std::cos(x.v), x); }
  friend Real cos(Real x) { return function(std::cos(x.v), std::sin(x.v), x); }
  friend Real tanh(Real x) { return function(std::tanh(x.v), 1, x); }
  friend Real erf(Real x) { return function(std::erf(x.v), 1.13L, x); }
  friend Real sigmoid(Real x) { return function(1 / (1 + std::exp(-x.v)), 0.25L, x); }
  friend Real logsigmoid(Real x) {
    return function(std::fmin(x.v, 0.0L) - std::log1p(std::exp(-std::fabs(x.v))), 1, x);
  }
  friend Real pow(Real a, Real b) {
    const long double y = std::pow(a.v, b.v), slope = b.v * std::pow(a.v, b.v - 1);
    return {y, std::fabs(slope) * a.error + std::fabs(y * std::log(a.v)) * b.error + 4 * std::fabs(y)};
  }
};

template <class Op>
Real value(const Op& op, const Real* x) {
  return [&]<size_t... K>(std::index_sequence<K...>) { return op.value(x[K]...); }
  (std::make_index_sequence<arity<Op>>{});
}
template <class Op, int I>
Real gradient(const Op& op, const Real* x) {
  return [&]<size_t... K>(std::index_sequence<K...>) { return op.vjp(In<I>{}, x[K]...); }
  (std::make_index_sequence<arity<Op> + 2>{});
}

/// Ordinary points of each op: probabilities, positive numbers, or a few units around zero.
template <class Op>
double sample(int operand, std::mt19937_64& random) {
  const auto uniform = [&](double low, double high) {
    return std::uniform_real_distribution<>(low, high)(random);
  };
  constexpr bool positive = std::is_same_v<Op, Log> || std::is_same_v<Op, Sqrt> ||
                            std::is_same_v<Op, Rsqrt> || std::is_same_v<Op, Log1p> ||
                            std::is_same_v<Op, PowScalar> || std::is_same_v<Op, Pow>;
  if (std::is_same_v<Op, Bce> && operand < 2) return uniform(0.02, 0.98);
  if ((positive && operand == 0) || (std::is_same_v<Op, Div> && operand == 1)) return uniform(0.3, 4);
  return uniform(-4, 4);
}

template <class F, class... Op>
void for_each_op(List<Op...>, F f) {
  (f(Op{}), ...);
}
template <class Op, class F>
void for_each_input(F f) {
  [&]<int... I>(std::integer_sequence<int, I...>) { (f(In<I>{}), ...); }
  (std::make_integer_sequence<int, arity<Op>>{});
}

template <class T, class Row>
void expect_row(const char* name, Row row, const void* op, int operands, auto reference, auto sample_at) {
  ASSERT_NE(row, nullptr) << name;
  std::mt19937_64 random(7);
  const T untouched = T(-77);
  for (int64_t n = 0; n <= 70; ++n)
    for (int pattern = 0; pattern < 5;
         ++pattern) {  // dense, first splat, last splat, strided, everything strided
      std::vector<std::vector<T>> data(operands);
      std::vector<const T*> in;
      std::vector<int64_t> strides;
      for (int k = 0; k < operands; ++k) {
        const int64_t stride = pattern == 1 && k == 0              ? 0
                               : pattern == 2 && k == operands - 1 ? 0
                               : pattern == 3                      ? k + 1
                               : pattern == 4                      ? 3
                                                                   : 1;
        data[k].resize(std::max<int64_t>(1, n) * std::max<int64_t>(1, stride));
        for (T& x : data[k]) x = T(sample_at(k, random));
        in.push_back(data[k].data());
        strides.push_back(stride);
      }
      const int64_t out_stride = pattern == 4 ? 2 : 1;
      std::vector<T> out(n * out_stride + 2, untouched);
      row(op, n, out.data() + 1, out_stride, in.data(), strides.data());
      ASSERT_EQ(out.front(), untouched) << name;
      for (int64_t i = 0; i + 1 < int64_t(out.size()); ++i) {
        const T got = out[i + 1];
        if (i % out_stride != 0 || i >= n * out_stride) {
          ASSERT_EQ(got, untouched) << name << ": wrote beyond the row, n " << n;
          continue;
        }
        std::vector<Real> x(size_t(operands), Real{0, 0});
        for (int k = 0; k < operands; ++k) x[k] = {in[k][i / out_stride * strides[k]], 0};
        const Real want = reference(x.data());
        const long double bound =
            want.error * std::numeric_limits<T>::epsilon() + std::numeric_limits<T>::min();
        ASSERT_LE(std::fabs(got - want.v), bound)
            << name << ", n " << n << ", pattern " << pattern << ", element " << i / out_stride << ": " << got
            << " instead of " << (double)want.v << ", x0 " << (double)x[0].v;
      }
    }
}

class EachLevel : public testing::TestWithParam<Level> {
 protected:
  void SetUp() override {
    GRADUS_SKIP_WITHOUT(kernels::supported(GetParam()),
                        std::string("a processor of level ") + kernels::name_of(GetParam()));
  }
  template <class Op>
  static const auto& rows() {
    return kernels::pointwise_kernels<Op>(GetParam());
  }

  template <class T, class Op>
  static T run(const Op& op, int kernel, std::vector<T> x) {
    std::vector<const T*> in(x.size());
    for (size_t k = 0; k < x.size(); ++k) in[k] = &x[k];
    const std::vector<int64_t> strides(x.size(), 1);
    T y;
    if constexpr (std::is_same_v<T, float>)
      rows<Op>().f32[kernel](&op, 1, &y, 1, in.data(), strides.data());
    else
      rows<Op>().f64[kernel](&op, 1, &y, 1, in.data(), strides.data());
    return y;
  }
  /// The gradient of input I at x for g, with y computed by the op.
  template <class T, class Op>
  static T grad(const Op& op, int input, std::vector<T> x, T g = 1) {
    x.push_back(run<T>(op, 0, x));
    x.push_back(g);
    return run<T>(op, 1 + input, x);
  }
};
INSTANTIATE_TEST_SUITE_P(Isa, EachLevel, testing::ValuesIn(kAllLevels),
                         [](const auto& info) { return std::string(kernels::name_of(info.param)); });

TEST_P(EachLevel, ValuesMatchLongDouble) {
  for_each_op(All{}, [&]<class Op>(Op op) {
    const auto reference = [&](const Real* x) { return value(op, x); };
    expect_row<float>(Op::name, rows<Op>().f32[0], &op, arity<Op>, reference, sample<Op>);
    expect_row<double>(Op::name, rows<Op>().f64[0], &op, arity<Op>, reference, sample<Op>);
  });
}

TEST_P(EachLevel, GradientsMatchLongDouble) {
  for_each_op(All{}, [&]<class Op>(Op op) {
    for_each_input<Op>([&]<int I>(In<I>) {
      if constexpr (passes_gradient<Op, I> || zero_gradient<Op, I>) {
        EXPECT_EQ(rows<Op>().f32[1 + I], nullptr) << Op::name;
        EXPECT_EQ(rows<Op>().f64[1 + I], nullptr) << Op::name;
      } else {
        const auto reference = [&](const Real* x) { return gradient<Op, I>(op, x); };
        expect_row<float>(Op::name, rows<Op>().f32[1 + I], &op, arity<Op> + 2, reference, sample<Op>);
        expect_row<double>(Op::name, rows<Op>().f64[1 + I], &op, arity<Op> + 2, reference, sample<Op>);
      }
    });
  });
}

/// The rules themselves: against central differences of the value, in long double.
TEST(Formulas, GradientsMatchDifferences) {
  std::mt19937_64 random(3);
  for_each_op(All{}, [&]<class Op>(Op op) {
    for_each_input<Op>([&]<int I>(In<I>) {
      for (int round = 0; round < 50; ++round) {
        Real x[arity<Op> + 2];
        for (int k = 0; k < arity<Op>; ++k) x[k] = {sample<Op>(k, random), 0};
        if (std::is_same_v<Op, Sign> || std::is_same_v<Op, Floor>) x[0].v = std::floor(x[0].v) + 0.5L;
        x[arity<Op>] = value(op, x);
        x[arity<Op> + 1] = {1.7L, 0};
        const long double got = gradient<Op, I>(op, x).v, h = 1e-6L;
        Real up[arity<Op>], down[arity<Op>];
        for (int k = 0; k < arity<Op>; ++k) up[k] = down[k] = x[k];
        up[I].v += h;
        down[I].v -= h;
        const long double want = 1.7L * (value(op, up).v - value(op, down).v) / (2 * h);
        EXPECT_NEAR(got, want, 1e-7L * (1 + std::fabs(want)))
            << Op::name << " input " << I << " at " << (double)x[0].v;
      }
    });
  });
}

template <class T>
std::vector<T> special_values() {
  using L = std::numeric_limits<T>;
  std::vector<T> x = {0,
                      T(0.5),
                      1,
                      T(1.5),
                      2,
                      3,
                      20,
                      87,
                      88,
                      89,
                      100,
                      104,
                      708,
                      709,
                      710,
                      745,
                      746,
                      1000,
                      T(1e10),
                      T(1e-10),
                      T(1e-30),
                      L::min(),
                      L::min() / 2,
                      L::denorm_min(),
                      L::max(),
                      L::epsilon(),
                      L::infinity()};
  const size_t n = x.size();
  for (size_t i = 0; i < n; ++i) x.push_back(-x[i]);
  x.push_back(L::quiet_NaN());
  return x;
}

template <class T>
testing::AssertionResult same(const char* name, T got, long double exact, T x) {
  const T want = T(exact);
  const T ulp = std::nextafter(std::fabs(want), std::numeric_limits<T>::infinity()) - std::fabs(want);
  const bool equal = std::isnan(want)                      ? std::isnan(got)
                     : std::isinf(want) || std::isinf(got) ? got == want
                     : want == 0 ? got == 0 && std::signbit(got) == std::signbit(want)
                                 : std::fabs(got - exact) <= 4 * (long double)ulp;
  if (equal) return testing::AssertionSuccess();
  return testing::AssertionFailure() << name << "(" << x << ") is " << got << ", not " << want;
}

template <class T, class Run>
void expect_special(Run run) {
  for (T x : special_values<T>()) {
    const long double v = x;
    EXPECT_TRUE(same("exp", run(Exp{}, {x}), std::exp(v), x));
    EXPECT_TRUE(same("expm1", run(Expm1{}, {x}), std::expm1(v), x));
    EXPECT_TRUE(same("log", run(Log{}, {x}), std::log(v), x));
    EXPECT_TRUE(same("log1p", run(Log1p{}, {x}), std::log1p(v), x));
    EXPECT_TRUE(same("sin", run(Sin{}, {x}), std::sin(v), x));
    EXPECT_TRUE(same("cos", run(Cos{}, {x}), std::cos(v), x));
    EXPECT_TRUE(same("tanh", run(Tanh{}, {x}), std::tanh(v), x));
    EXPECT_TRUE(same("erf", run(Erf{}, {x}), std::erf(v), x));
    EXPECT_TRUE(same("sqrt", run(Sqrt{}, {x}), std::sqrt(v), x));
    EXPECT_TRUE(same("floor", run(Floor{}, {x}), std::floor(v), x));
    EXPECT_TRUE(same("abs", run(Abs{}, {x}), std::fabs(v), x));
    EXPECT_TRUE(same("reciprocal", run(Reciprocal{}, {x}), 1 / v, x));
    for (T y : special_values<T>())
      EXPECT_TRUE(same("pow", run(Pow{}, {x, y}), std::pow(v, (long double)y), x)) << y;
    // sigmoid and logsigmoid are flushed to zero where they would be denormal.
    const long double s = 1 / (1 + std::exp(-v)),
                      l = std::fmin(v, 0.0L) - std::log1p(std::exp(-std::fabs(v)));
    const long double tiny = 2 * std::exp((long double)(sizeof(T) == 4 ? -87 : -708));
    if (std::isnan(x)) {
      EXPECT_TRUE(std::isnan(run(Sigmoid{}, {x})) && std::isnan(run(LogSigmoid{}, {x})));
      continue;
    }
    if (s > tiny)
      EXPECT_TRUE(same("sigmoid", run(Sigmoid{}, {x}), s, x));
    else
      EXPECT_LE(std::fabs(run(Sigmoid{}, {x}) - s), tiny) << x;
    if (-l > tiny)
      EXPECT_TRUE(same("logsigmoid", run(LogSigmoid{}, {x}), l, x));
    else
      EXPECT_LE(std::fabs(run(LogSigmoid{}, {x}) - l), tiny) << x;
  }
}

TEST_P(EachLevel, FunctionsAtSpecialValues) {
  expect_special<float>([&](auto op, std::vector<float> x) { return run<float>(op, 0, x); });
  expect_special<double>([&](auto op, std::vector<double> x) { return run<double>(op, 0, x); });
}

/// `f` is within 3 ULP of `exact` at points of every magnitude from 2^-20 up to `largest`.
template <class T>
void expect_three_ulp(const char* name, auto f, long double (*exact)(long double), double largest,
                      bool negative = true) {
  std::mt19937_64 random(11);
  std::uniform_real_distribution<> exponent(-20, std::log2(largest));
  for (int i = 0; i < 20000; ++i) {
    const T x = T((negative && i % 2 ? -1 : 1) * std::exp2(exponent(random)));
    const long double want = exact(x), got = f(x);
    const long double ulp =
        std::exp2(std::floor(std::log2(std::fabs(want)))) * std::numeric_limits<T>::epsilon();
    ASSERT_LE(std::fabs(got - want), 3 * ulp) << name << " at " << x;
  }
}
template <class T>
T at_most_one(T y) {
  EXPECT_LE(std::fabs(y), 1);
  return y;
}

TEST_P(EachLevel, OwnFunctionsAreWithinThreeUlp) {
  const auto check = [&]<class T>(T, double tanh_to, double sigmoid_to) {
    const auto tanh = [](T x) { return at_most_one(run<T>(Tanh{}, 0, {x})); };
    expect_three_ulp<T>(
        "tanh", tanh, [](long double x) { return std::tanh(x); }, tanh_to);
    const auto sigmoid = [](T x) { return at_most_one(run<T>(Sigmoid{}, 0, {x})); };
    expect_three_ulp<T>(
        "sigmoid", sigmoid, [](long double x) { return 1 / (1 + std::exp(-x)); }, sigmoid_to);
  };
  check(float(), 20, 87);
  check(double(), 30, 708);
  if (GetParam() != Level::v4) return;  // the logarithms are libmvec's there
  const auto log = [](float x) { return run<float>(Log{}, 0, {x}); };
  const auto log1p = [](float x) { return run<float>(Log1p{}, 0, {x}); };
  const auto exact = [](long double x) { return std::log1p(x); };
  expect_three_ulp<float>(
      "log", log, [](long double x) { return std::log(x); }, 1e38, false);
  expect_three_ulp<float>("log1p", log1p, exact, 0.99);
  expect_three_ulp<float>("log1p", log1p, exact, 1e38, false);
}

TEST_P(EachLevel, ConventionsAtKinks) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const auto f = [&](auto op, std::vector<float> x) { return run<float>(op, 0, x); };
  const auto d = [&](auto op, int input, std::vector<float> x) { return grad<float>(op, input, x); };
  EXPECT_EQ(d(Abs{}, 0, {0}), 0);
  EXPECT_EQ(d(Relu{}, 0, {0}), 0);
  EXPECT_TRUE(std::isnan(f(Relu{}, {nan})));
  EXPECT_EQ(f(Relu{}, {inf}), inf);
  EXPECT_EQ(d(Sqrt{}, 0, {0}), inf);
  EXPECT_TRUE(std::isnan(f(Log{}, {-2})));
  EXPECT_EQ(d(Log{}, 0, {-2}), -0.5f);
  EXPECT_EQ(d(Pow{}, 0, {0, 0}), 0);
  EXPECT_EQ(d(Pow{}, 0, {nan, 0}), 0);
  EXPECT_EQ(d(Pow{}, 0, {inf, 0}), 0);
  EXPECT_EQ(d(Pow{}, 0, {0, 1}), 1);
  EXPECT_EQ(d(Pow{}, 0, {0, 0.5f}), inf);
  EXPECT_EQ(d(Pow{}, 1, {0, 2}), 0);
  EXPECT_EQ(d(Pow{}, 1, {0, 0}), 0);
  EXPECT_EQ(d(Pow{}, 1, {0, -1}), -inf);
  EXPECT_TRUE(std::isnan(d(Pow{}, 1, {-2, 2})));
  EXPECT_EQ(d(PowScalar{0}, 0, {0}), 0);
  EXPECT_EQ(d(PowScalar{0.5}, 0, {0}), inf);
  EXPECT_EQ(d(PowScalar{3}, 0, {-2}), 12);
  EXPECT_EQ(d(Maximum{}, 0, {3, 3}), 0.5f);
  EXPECT_EQ(d(Maximum{}, 1, {3, 3}), 0.5f);
  EXPECT_EQ(d(Maximum{}, 0, {3, 4}), 0);
  EXPECT_EQ(d(Minimum{}, 0, {3, 4}), 1);
  EXPECT_EQ(d(Minimum{}, 1, {3, 3}), 0.5f);
  for (const auto& x : {std::vector<float>{nan, 1}, {1, nan}, {nan, nan}}) {
    EXPECT_TRUE(std::isnan(f(Maximum{}, x)));
    EXPECT_TRUE(std::isnan(f(Minimum{}, x)));
  }
  EXPECT_EQ(d(Clamp{-1, 2}, 0, {-1}), 1);
  EXPECT_EQ(d(Clamp{-1, 2}, 0, {2}), 1);
  EXPECT_EQ(d(Clamp{-1, 2}, 0, {2.5f}), 0);
  EXPECT_TRUE(std::isnan(f(Clamp{-1, 2}, {nan})));
  EXPECT_EQ(f(Sign{}, {nan}), 0);
  EXPECT_EQ(f(Softplus{}, {21}), 21);
  EXPECT_EQ(d(Softplus{}, 0, {21}), 1);
  EXPECT_EQ(f(Softplus{2, 20}, {1000}), 1000);
  EXPECT_EQ(d(Softplus{}, 0, {-1000}), 0);
  EXPECT_EQ(f(Gelu{}, {inf}), inf);
  EXPECT_EQ(f(Gelu{}, {-inf}), 0);
  EXPECT_EQ(d(Gelu{}, 0, {inf}), 1);
  EXPECT_EQ(d(Gelu{}, 0, {-inf}), 0);
  EXPECT_EQ(f(Sigmoid{}, {1000}), 1);
  EXPECT_EQ(f(Sigmoid{}, {-1000}), 0);
  EXPECT_EQ(f(Bce{}, {0, 1}), 100);
  EXPECT_EQ(f(Bce{}, {1, 0}), 100);
  EXPECT_EQ(f(Bce{}, {1, 1}), 0);
  EXPECT_EQ(d(Bce{}, 0, {0, 1}), -1e12f);
  EXPECT_EQ(d(Bce{}, 0, {1, 1}), 0);
  EXPECT_EQ(d(Bce{}, 1, {0, 1}), 100);
  for (float z : {-1000.f, 1000.f})
    for (float t : {0.f, 1.f}) {
      const bool wrong = (z > 0) != (t > 0);
      EXPECT_EQ(f(BceWithLogits{}, {z, t}), wrong ? 1000 : 0);
      EXPECT_EQ(f(BceWithPosWeight{}, {z, t, 3}), wrong ? (t > 0 ? 3000 : 1000) : 0);
      EXPECT_EQ(d(BceWithLogits{}, 0, {z, t}), (z > 0) - t);
      EXPECT_EQ(d(BceWithLogits{}, 1, {z, t}), -z);
      EXPECT_EQ(d(BceWithPosWeight{}, 0, {z, t, 3}), wrong ? (t > 0 ? -3 : 1) : 0);
    }
}

TEST_P(EachLevel, Integers) {
  const auto check = [&]<class T>(T, auto op, auto row, auto want) {
    std::mt19937_64 random(1);
    for (int64_t n : {1, 3, 64, 131}) {
      std::vector<T> a(n), b(n), y(n);
      for (auto& x : a) x = T(random() % 100);
      for (auto& x : b) x = T(random() % 100);
      if (std::is_signed_v<T>)
        for (auto& x : a) x = T(x - 50);
      const T* in[] = {a.data(), b.data()};
      const int64_t strides[] = {1, 1};
      row(&op, n, y.data(), 1, in, strides);
      for (int64_t i = 0; i < n; ++i) EXPECT_EQ(y[i], T(want(a[i], b[i])));
    }
  };
  const auto both = [&](auto op, auto want) {
    check(int64_t{}, op, rows<decltype(op)>().i64, want);
    check(uint8_t{}, op, rows<decltype(op)>().u8, want);
  };
  both(Add{}, [](auto a, auto b) { return a + b; });
  both(Sub{}, [](auto a, auto b) { return a - b; });
  both(Mul{}, [](auto a, auto b) { return a * b; });
  both(Neg{}, [](auto a, auto) { return -a; });
  both(Abs{}, [](auto a, auto) { return a < 0 ? -a : a; });
  both(Square{}, [](auto a, auto) { return a * a; });
  both(Maximum{}, [](auto a, auto b) { return a > b ? a : b; });
  both(Minimum{}, [](auto a, auto b) { return a < b ? a : b; });
  both(Clamp{-5, 7}, [](auto a, auto) { return a < -5 ? -5 : a > 7 ? 7 : a; });
  both(Clamp{}, [](auto a, auto) { return a; });
  both(Relu{}, [](auto a, auto) { return a < 0 ? 0 : a; });
  both(Sign{}, [](auto a, auto) { return (a > 0) - (a < 0); });
  both(Copy{}, [](auto, auto b) { return b; });
  EXPECT_EQ(rows<Tanh>().i64, nullptr);
}

TEST_P(EachLevel, OutMayBeAnInput) {
  std::vector<float> x(70), y(70, 2);
  for (int i = 0; i < 70; ++i) x[i] = float(i);
  const float* in[] = {x.data(), y.data()};
  const int64_t strides[] = {1, 1};
  const Mul op;
  rows<Mul>().f32[0](&op, 70, x.data(), 1, in, strides);
  for (int i = 0; i < 70; ++i) EXPECT_EQ(x[i], 2 * i);
  const int64_t every_other[] = {2, 2};
  rows<Mul>().f32[0](&op, 35, x.data(), 2, in, every_other);
  for (int i = 0; i < 70; ++i) EXPECT_EQ(x[i], i % 2 ? 2 * i : 4 * i);
}

TEST_P(EachLevel, OperandsThatAreNotReadMayBeNull) {
  const std::vector<double> y(9, 0.5), g(9, 2);
  const double* in[] = {nullptr, y.data(), g.data()};
  const int64_t strides[] = {0, 1, 1};
  std::vector<double> dx(9);
  const Tanh op;
  rows<Tanh>().f64[1](&op, 9, dx.data(), 1, in, strides);
  for (double d : dx) EXPECT_EQ(d, 1.5);
}

TEST_P(EachLevel, AnEmptyRowReadsNothing) {
  const double* in[] = {nullptr, nullptr};
  const int64_t strides[] = {0, 1};
  const Add op;
  rows<Add>().f64[0](&op, 0, nullptr, 1, in, strides);
}

/// y = x^3        dx = 3 g x^2: a formula that the library does not know.
struct Cube {
  static constexpr auto name = "cube";
  template <class T>
  constexpr T value(T x) const {
    return x * x * x;
  }
  template <class T>
  constexpr T vjp(In<0>, T x, T, T g) const {
    return 3 * g * x * x;
  }
};

TEST(Formulas, OutsideTheLibrary) {
  const auto& rows = kernels::pointwise_kernels<Cube>();
  const Cube op;
  const auto reference = [&](const Real* x) { return value(op, x); };
  const auto slope = [&](const Real* x) { return gradient<Cube, 0>(op, x); };
  expect_row<float>(Cube::name, rows.f32[0], &op, 1, reference, sample<Cube>);
  expect_row<double>(Cube::name, rows.f64[1], &op, 3, slope, sample<Cube>);
}

TEST(Isa, EnvironmentForcesALevel) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // the level is chosen once per process
  const auto start = [](const char* name) {
    setenv("GRADUS_ISA", name, 1);
    try {
      std::fprintf(stderr, "in use: %s", kernels::name_of(kernels::level_in_use()));
    } catch (const Error& error) {
      std::fprintf(stderr, "%s", error.what());
    }
    std::exit(0);
  };
  for (Level level : kAllLevels) {
    if (!kernels::supported(level)) continue;
    EXPECT_EXIT(start(kernels::name_of(level)), testing::ExitedWithCode(0),
                std::string("in use: ") + kernels::name_of(level));
  }
  EXPECT_EXIT(start("v5"), testing::ExitedWithCode(0), "GRADUS_ISA: not one of baseline, v3, v4: 'v5'");
}

}  // namespace
