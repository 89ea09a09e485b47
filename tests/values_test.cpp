#include "table_support.h"

#include <fmt/format.h>

#include <limits>

/// Pointwise ops at 0, -0, infinities, NaN, the extremes and everywhere between, against std:: in the next
/// wider type.
namespace gradus::table {
namespace {

using Reference1 = long double (*)(long double);
using Reference2 = long double (*)(long double, long double);

/// What a row must compute, its derivative, and how far the value may be off in units of the last place.
struct Unary {
  const char* row;
  Reference1 value, slope;
  double ulps;
  bool flushes = false;  // results that would be denormal are 0
};

long double sigmoid_of(long double x) { return 1 / (1 + std::exp(-x)); }
long double logsigmoid_of(long double x) { return std::min(x, 0.0L) - std::log1p(std::exp(-std::abs(x))); }
/// 0 for NaN, too, as in PyTorch.
long double sign_of(long double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }
long double tanh_slope(long double x) { return std::isinf(x) ? 0 : 1 / (std::cosh(x) * std::cosh(x)); }
long double zero(long double) { return 0; }

#define F(expression) [](long double x) -> long double { return expression; }
const Unary kUnary[] = {
    {"abs", F(std::abs(x)), sign_of, 0},
    {"neg", F(-x), F((static_cast<void>(x), -1)), 0},
    {"square", F(x* x), F(2 * x), 0.5},
    {"reciprocal", F(1 / x), F(-1 / (x * x)), 0.5},
    {"sqrt", F(std::sqrt(x)), F(1 / (2 * std::sqrt(x))), 0.5},
    {"rsqrt", F(1 / std::sqrt(x)), F(-0.5L / std::sqrt(x) / std::sqrt(x) / std::sqrt(x)), 1.5},
    {"exp", F(std::exp(x)), F(std::exp(x)), 4},
    {"expm1", F(std::expm1(x)), F(std::exp(x)), 4},
    {"log", F(std::log(x)), F(1 / x), 4},
    {"log1p", F(std::log1p(x)), F(1 / (1 + x)), 4},
    {"sin", F(std::sin(x)), F(std::cos(x)), 4},
    {"cos", F(std::cos(x)), F(-std::sin(x)), 4},
    {"tanh", F(std::tanh(x)), tanh_slope, 4},
    {"sigmoid", sigmoid_of, F(sigmoid_of(x) * sigmoid_of(-x)), 6, true},
    {"logsigmoid", logsigmoid_of, F(sigmoid_of(-x)), 6, true},
    {"relu", F(std::isnan(x) || x > 0 ? x : 0), F(x <= 0 ? 0 : 1), 0},
    {"sign", sign_of, zero, 0},
    {"floor", F(std::floor(x)), zero, 0},
};
#undef F

struct Binary {
  const char* row;
  Reference2 value;
  double ulps;
};
long double pow_of(long double x, long double y) { return std::pow(x, y); }
long double nan_or(long double x, long double y, long double chosen) {
  return std::isnan(x) ? x : std::isnan(y) ? y : chosen;
}
const Binary kBinary[] = {
    {"add", [](long double x, long double y) { return x + y; }, 0.5},
    {"sub", [](long double x, long double y) { return x - y; }, 0.5},
    {"mul", [](long double x, long double y) { return x * y; }, 0.5},
    {"div", [](long double x, long double y) { return x / y; }, 0.5},
    {"pow", pow_of, 4},
    {"maximum", [](long double x, long double y) { return nan_or(x, y, std::max(x, y)); }, 0},
    {"minimum", [](long double x, long double y) { return nan_or(x, y, std::min(x, y)); }, 0},
};

/// Zeros, infinities, NaN, denormals, the extremes and their neighbours, and where functions turn.
template <class T>
std::vector<T> special() {
  using L = std::numeric_limits<T>;
  std::vector<T> x = {0,
                      L::denorm_min(),
                      L::min() / 4,
                      std::nextafter(L::min(), T(0)),
                      L::min(),
                      L::epsilon() / 4,
                      L::epsilon(),
                      T(1e-5),
                      T(0.1),
                      T(0.5),
                      T(0.55),
                      std::nextafter(T(1), T(0)),
                      T(1),
                      std::nextafter(T(1), T(2)),
                      T(1.5),
                      T(2),
                      T(2.5),
                      T(3),
                      T(7),
                      T(9.1),
                      T(20),
                      T(37),
                      T(88.5),
                      T(89),
                      T(104),
                      T(300),
                      T(709.5),
                      T(710),
                      T(745),
                      T(746),
                      T(1e4),
                      T(1e10),
                      T(1e18),
                      L::max() / 2,
                      L::max(),
                      L::infinity()};
  const size_t n = x.size();
  for (size_t i = 0; i < n; i++) x.push_back(-x[i]);
  x.push_back(L::quiet_NaN());
  return x;
}

/// Random bit patterns: all exponents alike, denormals, infinities and NaNs among them.
template <class T>
std::vector<T> any_bits(int64_t n) {
  NumpyRandom random(20);
  std::vector<T> x;
  for (int64_t i = 0; i < n; i++) {
    const uint64_t bits = static_cast<uint64_t>(random.randint(0, int64_t{1} << 32)) << 32 |
                          static_cast<uint64_t>(random.randint(0, int64_t{1} << 32));
    T v;
    std::memcpy(&v, &bits, sizeof v);
    x.push_back(v);
    x.push_back(static_cast<T>(random.randn() * 10));
  }
  return x;
}

/// How far got is from want in units of want's last place as a T; denormal results are held to the smallest
/// one.
template <class T>
double off_by(T got, long double want) {
  const T rounded = static_cast<T>(want);
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : INFINITY;
  if (std::isinf(rounded) || std::isinf(got)) {
    // On either side of the largest number, one rounding decides.
    const T largest = std::numeric_limits<T>::max();
    return got == rounded ||
                   (std::abs(want) > static_cast<long double>(largest) * (1 - 1e-6L) &&
                    std::abs(got) >= largest * T(0.999999) && std::signbit(got) == std::signbit(rounded))
               ? 0
               : INFINITY;
  }
  const T size = std::max(std::abs(rounded), std::numeric_limits<T>::min());
  const long double ulp =
      std::nextafter(size, std::numeric_limits<T>::infinity()) - static_cast<long double>(size);
  return static_cast<double>(std::abs(static_cast<long double>(got) - want) / ulp);
}

template <class T>
std::string text(T x) {
  return fmt::format("{:.9g}", x);
}

template <class T>
void expect_value(const char* row, const std::string& at, T got, long double want, double ulps) {
  // The reference rounds, too: half a place may come out a little larger.
  EXPECT_LE(off_by(got, want), ulps == 0.5 ? 0.5005 : ulps)
      << row << "(" << at << ") = " << text(got) << ", want " << text(static_cast<T>(want));
}

/// 1 - y² and the like are as good as y: to a few roundings of 1, and of the slope itself.
template <class T>
void expect_slope(const char* row, const std::string& at, T got, long double want) {
  const long double eps = std::numeric_limits<T>::epsilon();
  const bool near = std::isfinite(got) && std::abs(got - want) <= 16 * eps * std::abs(want) + 4 * eps;
  EXPECT_TRUE(near || off_by(got, want) <= 16)
      << row << "'(" << at << ") = " << text(got) << ", want " << text(static_cast<T>(want));
}

template <class T>
void check_unary(const std::vector<T>& x) {
  Tensor in = tensor(x, {static_cast<int64_t>(x.size())}, dtype_of<T>);
  in.requires_grad_();
  for (const Unary& f : kUnary) {
    const OpRow* row = find_op(f.row);
    ASSERT_NE(row, nullptr) << f.row;
    const Tensor out = row->call({in}, {})[0];
    const auto y = out.to_vector<T>(),
               dx = gradients({out}, {in}, {ones_like(out)})[0].template to_vector<T>();
    for (size_t i = 0; i < x.size(); i++) {
      const long double want = f.value(x[i]);
      const bool flushed = f.flushes && y[i] == 0 && std::abs(want) < 1.5L * std::numeric_limits<T>::min();
      if (!flushed) expect_value(f.row, text(x[i]), y[i], want, f.ulps);
      expect_slope(f.row, text(x[i]), dx[i], f.slope(x[i]));
    }
  }
}

template <class T>
void check_binary(const std::vector<T>& a, const std::vector<T>& b) {
  const Tensor x = tensor(a, {static_cast<int64_t>(a.size())}, dtype_of<T>);
  const Tensor y = tensor(b, {static_cast<int64_t>(b.size())}, dtype_of<T>);
  for (const Binary& f : kBinary) {
    const OpRow* row = find_op(f.row);
    ASSERT_NE(row, nullptr) << f.row;
    const auto z = row->call({x, y}, {})[0].template to_vector<T>();
    for (size_t i = 0; i < a.size(); i++)
      expect_value(f.row, text(a[i]) + ", " + text(b[i]), z[i], f.value(a[i], b[i]), f.ulps);
  }
}

template <class T>
std::pair<std::vector<T>, std::vector<T>> all_pairs() {
  std::vector<T> a, b;
  for (const T x : special<T>())
    for (const T y : special<T>()) {
      a.push_back(x);
      b.push_back(y);
    }
  return {a, b};
}

TEST(Values, SpecialUnaryFloat64) { check_unary(special<double>()); }
TEST(Values, SpecialUnaryFloat32) { check_unary(special<float>()); }
TEST(Values, AnyBitsUnaryFloat64) { check_unary(any_bits<double>(is_long() ? 100000 : 2000)); }
TEST(Values, AnyBitsUnaryFloat32) { check_unary(any_bits<float>(is_long() ? 100000 : 2000)); }
TEST(Values, SpecialBinaryFloat64) {
  const auto [a, b] = all_pairs<double>();
  check_binary(a, b);
}
TEST(Values, SpecialBinaryFloat32) {
  const auto [a, b] = all_pairs<float>();
  check_binary(a, b);
}

TEST(Values, ZerosKeepTheirSign) {
  for (const char* odd : {"neg", "sqrt", "expm1", "log1p", "sin", "tanh", "floor"}) {
    const bool flips = std::string(odd) == "neg";
    for (const Dtype dtype : {kFloat64, kFloat32}) {
      const auto y = find_op(odd)->call({tensor({0.0, -0.0}, dtype)}, {})[0].to_vector();
      EXPECT_EQ(y[0], 0) << odd;
      EXPECT_EQ(y[1], 0) << odd;
      EXPECT_EQ(std::signbit(y[0]), flips) << odd;
      EXPECT_EQ(std::signbit(y[1]), !flips) << odd;
    }
  }
}

TEST(Values, AWrongValueIsFound) {
  const float above = std::nextafter(1.0f, 2.0f);
  EXPECT_EQ(off_by(1.0f, 1.0L), 0);
  EXPECT_EQ(off_by(above, 1.0L), 1);
  EXPECT_GT(off_by(0.0f, std::numeric_limits<float>::min()), 1e6);
  EXPECT_EQ(off_by(0.0f, 0x1p-149L), 1);
  EXPECT_EQ(off_by(NAN, 1.0L), INFINITY);
  EXPECT_EQ(off_by(1.0, NAN), INFINITY);
  EXPECT_EQ(off_by(INFINITY, 1e30L), INFINITY);
  EXPECT_EQ(off_by(-INFINITY, INFINITY), INFINITY);
  EXPECT_EQ(off_by(double{INFINITY}, INFINITY), 0);
  EXPECT_EQ(off_by(NAN, NAN), 0);
}

}  // namespace
}  // namespace gradus::table
