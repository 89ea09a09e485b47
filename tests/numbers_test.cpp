#include <gradus/autograd/base/pool.h>
#include <gradus/optim/rmsprop.h>

#include <limits>

#include "core_support.h"
#include "needs.h"

/// Where a number is wrapped, rounded or lost on its way: conversions, comparisons, intervals, counts,
/// limits.
namespace gradus {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity(),
                 kNan = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min(), kMax = std::numeric_limits<int64_t>::max();
constexpr Dtype kEach[] = {kBool, kUInt8, kInt64, kFloat32, kFloat64};

// ---- one conversion

TEST(Conversion, IsTheSameWhereverANumberBecomesAnElement) {
  const double numbers[] = {0,    0.5,  -0.5, 1,     -1,    2.9,    -2.9,  255,  255.9, 256, 300,
                            -300, 1e10, 1e30, -1e30, 1e300, 9.3e18, -1e19, kInf, -kInf, kNan};
  for (const double number : numbers)
    for (const Dtype dtype : kEach) {
      const Tensor wanted = tensor({number}, kFloat64).to(dtype);
      const auto same = [&](const Tensor& x) { return equals(x.reshape({1}), wanted); };
      EXPECT_TRUE(same(full({1}, number, dtype))) << number << " " << name_of(dtype);
      EXPECT_TRUE(same(zeros({1}, dtype).fill_(number))) << number << " " << name_of(dtype);
      EXPECT_TRUE(same(zeros({1}, dtype).copy_(tensor({number}, kFloat64))))
          << number << " " << name_of(dtype);
      EXPECT_TRUE(same(tensor(number, dtype))) << number << " " << name_of(dtype);
      EXPECT_TRUE(same(tensor({number}, dtype))) << number << " " << name_of(dtype);
      EXPECT_TRUE(same(nn::init::constant_(zeros({1}, dtype), number))) << number << " " << name_of(dtype);
    }
  for (const int64_t number : {int64_t(0), int64_t(-1), int64_t(255), int64_t(256), int64_t(300), kMin, kMax})
    for (const Dtype dtype : kEach) {
      const Tensor wanted = tensor({number}).to(dtype);
      EXPECT_TRUE(equals(full({1}, number, dtype), wanted)) << number << " " << name_of(dtype);
      EXPECT_TRUE(equals(zeros({1}, dtype).fill_(number), wanted)) << number << " " << name_of(dtype);
    }
}

TEST(Conversion, IsTheSameWhereAnElementBecomesANumber) {
  for (const double number : {0.5, -1.5, 255.5, 256., 300., -300., 1e30, -1e30, kInf, -kInf, kNan}) {
    const Tensor x = tensor({number}, kFloat64);
    EXPECT_EQ(x.item<int64_t>(), x.to_vector<int64_t>()[0]) << number;
    EXPECT_EQ(x.item<uint8_t>(), x.to_vector<uint8_t>()[0]) << number;
    EXPECT_EQ(x.at<int64_t>({0}), x.to(kInt64).item<int64_t>()) << number;
    EXPECT_EQ(x.item<bool>(), x.to(kBool).item<bool>()) << number;
    EXPECT_EQ(x.to(kFloat32).item<int64_t>(), x.to(kFloat32).to_vector<int64_t>()[0]) << number;
  }
  EXPECT_EQ(tensor(1e30).item<int64_t>(), kMax);
  EXPECT_EQ(tensor(kNan).item<int64_t>(), 0);
  EXPECT_EQ(tensor(1e30).item<int>(), std::numeric_limits<int>::max());
  EXPECT_EQ(tensor(-1e30).item<unsigned>(), 0u);
  EXPECT_EQ(tensor(1e30).item<uint64_t>(), std::numeric_limits<uint64_t>::max());
}

TEST(Conversion, IntegersThatNoDtypeHoldsAreRefused) {
  const uint64_t above = uint64_t(1) << 63;
  EXPECT_THROW(full({1}, above, kFloat64), Error);
  EXPECT_THROW(zeros({1}, kInt64).fill_(above), Error);
  EXPECT_THROW(static_cast<void>(tensor({1}) < std::numeric_limits<uint64_t>::max()), Error);
  EXPECT_THROW(tensor(above), Error);
  EXPECT_THROW(tensor({above}), Error);
  EXPECT_THROW(tensor({{above}}), Error);
  EXPECT_THROW(tensor(std::vector<uint64_t>{1, above}), Error);
  EXPECT_THROW(arange(above), Error);
  EXPECT_TRUE(equals(tensor({above - 1}) == kMax, {1}));
  EXPECT_TRUE(equals(tensor(std::vector<uint64_t>{1, above - 1}) == kMax, {0, 1}));
  EXPECT_EQ(full({}, above - 1, kInt64).item<int64_t>(), kMax);
}

// ---- a comparison means the number

Tensor bytes(const std::vector<uint8_t>& v) { return tensor(v); }

/// What `x op number` is for numbers in long double, which holds every int64 and every double.
std::vector<double> compared(const std::vector<long double>& x, long double number, int op) {
  std::vector<double> y;
  y.reserve(x.size());
  for (const long double v : x)
    y.push_back(op == 0   ? v == number
                : op == 1 ? v != number
                : op == 2 ? v < number
                : op == 3 ? v <= number
                : op == 4 ? v > number
                          : v >= number);
  return y;
}
template <class B>
Tensor apply_comparison(const Tensor& x, const B& b, int op) {
  switch (op) {
    case 0: return x == b;
    case 1: return x != b;
    case 2: return x < b;
    case 3: return x <= b;
    case 4: return x > b;
    default: return x >= b;
  }
}

template <class T>
std::vector<long double> wide(const std::vector<T>& v) {
  return {v.begin(), v.end()};
}
template <class T>
std::vector<T> interesting() {
  using Limits = std::numeric_limits<T>;
  std::vector<T> v = {Limits::lowest(), T(0), T(1), T(2), Limits::max()};
  if constexpr (sizeof(T) == 1)
    for (const int x : {44, 127, 128, 254, 255}) v.push_back(T(x));
  if constexpr (sizeof(T) > 1)
    for (const int64_t x : {-256, -1, 256, 16777216, 16777217, 16777218}) v.push_back(T(x));
  if constexpr (sizeof(T) == 8)
    for (const int64_t x : {9007199254740992, 9007199254740993, 9007199254740994}) v.push_back(T(x));
  if constexpr (std::is_same_v<T, int64_t>)
    for (const int64_t x : {kMin + 1, kMax - 1, kMax - 512}) v.push_back(x);
  if constexpr (std::is_floating_point_v<T>)
    for (const double x : {0.5, -0.5, -0.0, kInf, -kInf, kNan, 0x1p63, -0x1p63, 0x1.8p63}) v.push_back(T(x));
  return v;
}

template <class T>
void check_comparisons_with_numbers() {
  const std::vector<T> v = interesting<T>();
  const Tensor x = tensor(v, dtype_of<T>);
  for (int op = 0; op < 6; op++) {
    for (const int64_t number : interesting<int64_t>())
      EXPECT_TRUE(equals(apply_comparison(x, Scalar(number), op), compared(wide(v), number, op)))
          << name_of(dtype_of<T>) << " op " << op << " " << number;
    for (const double number : interesting<double>()) {
      // A float32 tensor is compared with the float of what a float can be.
      const bool rounds = std::is_same_v<T, float> && std::abs(number) <= std::numeric_limits<float>::max();
      EXPECT_TRUE(equals(apply_comparison(x, Scalar(number), op),
                         compared(wide(v), rounds ? static_cast<float>(number) : number, op)))
          << name_of(dtype_of<T>) << " op " << op << " " << number;
    }
  }
}

TEST(Comparison, WithANumberMeansTheNumber) {
  check_comparisons_with_numbers<uint8_t>();
  check_comparisons_with_numbers<int64_t>();
  check_comparisons_with_numbers<float>();
  check_comparisons_with_numbers<double>();
  const Tensor flags = tensor({false, true});
  for (int op = 0; op < 6; op++)
    for (const double number : {-1., 0., 0.5, 1., 2., kInf, -kInf, kNan})
      EXPECT_TRUE(equals(apply_comparison(flags, Scalar(number), op), compared({0, 1}, number, op)))
          << number;
  for (int op = 0; op < 6; op++)
    for (const int number : {-1, 0, 1, 2, 256})
      EXPECT_TRUE(equals(apply_comparison(flags, Scalar(number), op), compared({0, 1}, number, op)))
          << number;
}

TEST(Comparison, OfBytesWithNumbersBeyondThem) {
  const Tensor x = bytes({0, 1, 255});
  EXPECT_TRUE(equals(x < 256, {1, 1, 1}));
  EXPECT_TRUE(equals(x == -1, {0, 0, 0}));
  EXPECT_TRUE(equals(x >= -1, {1, 1, 1}));
  EXPECT_TRUE(equals(x != 257, {1, 1, 1}));
  EXPECT_TRUE(equals(x == tensor(257), {0, 0, 0}));
  EXPECT_TRUE(equals(tensor(256) > x, {1, 1, 1}));
  EXPECT_TRUE(equals(tensor({0.1f}) == 0.1, {1})) << "as in PyTorch";
}

template <class A, class B>
void check_comparisons_of_tensors() {
  const std::vector<A> a = interesting<A>();
  const std::vector<B> b = interesting<B>();
  const Tensor x = tensor(a, dtype_of<A>), y = tensor(b, dtype_of<B>);
  for (int op = 0; op < 6; op++)
    for (size_t i = 0; i < b.size(); i++) {
      const int64_t at = static_cast<int64_t>(i);
      const auto wanted = compared(wide(a), b[i], op);
      EXPECT_TRUE(equals(apply_comparison(x, y.slice(0, at, at + 1), op), wanted))
          << name_of(x.dtype()) << " op " << op << " " << name_of(y.dtype()) << " " << +b[i];
      // Of floating operands without dims only the category counts.
      if (is_floating(x.dtype()) && is_floating(y.dtype()) && x.dtype() != y.dtype()) continue;
      EXPECT_TRUE(equals(apply_comparison(x, y[at], op), wanted))
          << name_of(x.dtype()) << " op " << op << " 0-d " << name_of(y.dtype()) << " " << +b[i];
    }
}

TEST(Comparison, OfTensorsMeansTheirNumbers) {
  const auto with_all = []<class A>(A) {
    check_comparisons_of_tensors<A, uint8_t>();
    check_comparisons_of_tensors<A, int64_t>();
    check_comparisons_of_tensors<A, float>();
    check_comparisons_of_tensors<A, double>();
  };
  with_all(uint8_t());
  with_all(int64_t());
  with_all(float());
  with_all(double());
  EXPECT_TRUE(equals(tensor({9007199254740993}) == 9007199254740993, {1}));
  EXPECT_FALSE((tensor({9007199254740993}) == tensor({9007199254740992.}, kFloat64)).item<bool>());
  EXPECT_THROW(static_cast<void>(tensor({1, 2}) < tensor({1.f, 2.f, 3.f})), ShapeError);
}

TEST(Choice, OfANumberIsRightOrRefused) {
  const Tensor x = bytes({0, 7, 255});
  EXPECT_TRUE(equals(maximum(x, -1), {0, 7, 255}));
  EXPECT_EQ(maximum(x, -1).dtype(), kUInt8);
  EXPECT_TRUE(equals(minimum(x, 300), {0, 7, 255}));
  EXPECT_TRUE(equals(maximum(x, 9), {9, 9, 255}));
  EXPECT_TRUE(equals(maximum(x, 7.5), {7.5, 7.5, 255}));
  EXPECT_THROW(maximum(x, 256), DtypeError);
  EXPECT_THROW(minimum(x, -1), DtypeError);
  EXPECT_TRUE(equals(maximum(x, tensor(-1)), {0, 7, 255}));
  EXPECT_TRUE(equals(minimum(tensor(-1), x), {-1, -1, -1}));
  EXPECT_TRUE(equals(maximum(x, tensor({300})), {300, 300, 300}));

  const Tensor some = tensor({true, false, true});
  EXPECT_THROW(where(some, x, 300), DtypeError);
  EXPECT_THROW(where(some, -1, x), DtypeError);
  EXPECT_TRUE(equals(where(some, x, 9), {0, 9, 255}));
  EXPECT_TRUE(equals(where(some, x, -1.5), {0, -1.5, 255}));
  EXPECT_TRUE(equals(where(some, x, tensor(-1)), {0, -1, 255}));
  EXPECT_TRUE(equals(where(some, 300, 7), {300, 7, 300}));
  EXPECT_TRUE(equals(x + 256, x)) << "sums are modulo 256";

  EXPECT_TRUE(equals(clamp(x, -5, 300), x));
  EXPECT_TRUE(equals(clamp(x, 5, 300), {5, 7, 255}));
  EXPECT_THROW(clamp(x, 300, {}), Error);
  EXPECT_THROW(clamp(x, {}, -5), Error);
  EXPECT_THROW(clamp(x, kNan, {}), Error);
  EXPECT_THROW(clamp(tensor({1}), {}, kNan), Error);
  EXPECT_THROW(clamp(tensor({1}), 1e30, {}), Error);
  EXPECT_TRUE(equals(clamp(tensor({kMin, kMax}), -1e30, 1e30) == tensor({kMin, kMax}), {1, 1}));
  EXPECT_TRUE(std::isnan(clamp(tensor({1.}), kNan, {}).item()));
}

// ---- counts

TEST(Arange, CountsIntegersExactly) {
  EXPECT_TRUE(equals(arange(10536076561662227, 10536076561662230) - 10536076561662227, {0, 1, 2}));
  EXPECT_EQ(arange(kMax - 2, kMax).to_vector<int64_t>(), (std::vector<int64_t>{kMax - 2, kMax - 1}));
  EXPECT_EQ(arange(kMin, kMin + 3).to_vector<int64_t>(), (std::vector<int64_t>{kMin, kMin + 1, kMin + 2}));
  EXPECT_EQ(arange(kMin, kMax, kMax).to_vector<int64_t>(), (std::vector<int64_t>{kMin, -1, kMax - 1}));
  EXPECT_EQ(arange(kMax, kMin, kMin).to_vector<int64_t>(), (std::vector<int64_t>{kMax, -1}));
  EXPECT_EQ(arange(kMax, kMax - 3, -1).to_vector<int64_t>(),
            (std::vector<int64_t>{kMax, kMax - 1, kMax - 2}));
  EXPECT_EQ(arange(kMin, kMin).numel(), 0);
  EXPECT_EQ(arange(kMax, kMin).numel(), 0);
  EXPECT_EQ(arange(kMin, kMax, -1).numel(), 0);
  EXPECT_EQ(arange(0, 7, 3).numel(), 3);
  EXPECT_EQ(arange(0, 6, 3).numel(), 2);
  EXPECT_EQ(arange(0, -7, -3).numel(), 3);
  EXPECT_THROW(arange(kMin, kMax), Error);
  EXPECT_THROW(arange(kMin, kMax, 2), Error);
  EXPECT_THROW(arange(0, 5, 0), Error);
}

TEST(Arange, OfFloatingNumbersEndsBeforeItsEnd) {
  EXPECT_TRUE(equals(arange(1., 1.3, 0.1, kFloat64), {1, 1.1, 1.2}));
  EXPECT_EQ(arange(0., 1., 0.99999999).numel(), 1) << "0.99999999 is 1 in float32";
  EXPECT_EQ(arange(0., 1., 0.99999999, kFloat64).numel(), 2);
  EXPECT_EQ(arange(0., -1., -0.99999999).numel(), 1);
  EXPECT_TRUE(equals(arange(0., 1.0000001, 0.5, kFloat64), {0, 0.5, 1}));
  NumpyRandom random(4);
  for (const Dtype dtype : {kFloat32, kFloat64})
    for (int i = 0; i < 2000; i++) {
      const double start = random.randn(), step = random.uniform(0.01, 0.3), end = start + step * 7;
      const std::vector<double> up = arange(start, end, step, dtype).to_vector(),
                                down = arange(-start, -end, -step, dtype).to_vector();
      ASSERT_GE(up.size(), 7u);
      ASSERT_LT(up.back(), end);
      ASSERT_EQ(up.size(), down.size());
      ASSERT_GT(down.back(), -end);
    }
  EXPECT_TRUE(equals(arange(0., 2e19, 1e19, kInt64) == tensor({int64_t(0), kMax}), {1, 1}));
  EXPECT_THROW(arange(0., kNan), Error);
  EXPECT_THROW(arange(-1e308, 1e308, 1e300), Error);
  EXPECT_EQ(arange(1e308, -1e308, 1.).numel(), 0);
}

TEST(Linspace, RefusesARangeThatIsNotFinite) {
  EXPECT_THROW(linspace(-1e308, 1e308, 3), Error);
  EXPECT_THROW(linspace(0, kInf, 3), Error);
  EXPECT_THROW(linspace(kNan, 1, 3), Error);
  EXPECT_TRUE(equals(linspace(0, 1e30, 2, kInt64) == tensor({int64_t(0), kMax}), {1, 1}));
}

// ---- intervals hold in the dtype

TEST(Interval, RandStaysBelow1) {
  constexpr float kBelow1 = 0x1.fffffep-1f;
  manual_seed(2871038);
  EXPECT_EQ(rand({2}).to_vector<float>()[1], kBelow1);
  manual_seed(16390493);
  EXPECT_EQ(rand({2}).to_vector<float>()[0], kBelow1);
  manual_seed(16390493);
  const double u = rand({2}, kFloat64).to_vector()[0];
  EXPECT_LT(u, 1);
  EXPECT_EQ(static_cast<float>(u), 1);
  manual_seed(0);
}

TEST(Interval, InitialisersStayBelowTheirUpperBound) {
  using namespace nn::init;
  const auto first = [](uint64_t seed, const Shape& shape, Dtype dtype, const auto& initialise) {
    manual_seed(seed);
    Tensor w = zeros(shape, dtype);
    initialise(w);
    manual_seed(0);
    return w.flatten()[seed == 2871038 ? 1 : 0].item();
  };
  for (const uint64_t seed : {2871038, 16390493}) {
    EXPECT_EQ(first(seed, {2}, kFloat32, [](Tensor& w) { uniform_(w, 1, 2); }), 0x1.fffffep0);
    EXPECT_EQ(first(seed, {2}, kFloat32, [](Tensor& w) { uniform_(w); }), 0x1.fffffep-1);
    EXPECT_EQ(first(seed, {2}, kFloat32, [](Tensor& w) { uniform_(w, -2, -1); }), -0x1.000002p0);
    EXPECT_EQ(first(seed, {2}, kFloat32, [](Tensor& w) { uniform_(w, 16777216, 16777218); }), 16777216);
    EXPECT_EQ(first(seed, {2}, kFloat32, [](Tensor& w) { uniform_(w, 3, 3); }), 3);
    EXPECT_EQ(first(seed, {2}, kFloat64, [](Tensor& w) { uniform_(w, 0x1p53, 0x1p53 + 2); }), 0x1p53);
    EXPECT_LT(first(seed, {1, 6}, kFloat32, [](Tensor& w) { kaiming_uniform_(w, 1); }), std::sqrt(3 / 6.f));
    EXPECT_LT(first(seed, {3, 3}, kFloat32, [](Tensor& w) { xavier_uniform_(w); }), 1);
  }
  EXPECT_THROW(uniform_(zeros({2}), 0, 1e300), Error);
  EXPECT_THROW(normal_(zeros({2}), 0, 1e300), Error);
  EXPECT_THROW(normal_(zeros({2}), -1e300, 1), Error);
  EXPECT_EQ(uniform_(zeros({2}), -3e38, 3e38).numel(), 2);
}

TEST(Interval, ARefusedInitialiserDrawsNothing) {
  manual_seed(1);
  const double wanted = rand({2}, kFloat64)[0].item();
  manual_seed(1);
  EXPECT_THROW(nn::init::uniform_(zeros({1, 3}).expand({2, 3})), Error);
  EXPECT_THROW(nn::init::kaiming_normal_(zeros({1, 3}).expand({2, 3})), Error);
  EXPECT_EQ(rand({2}, kFloat64)[0].item(), wanted);
}

// ---- memory that is not there

TEST(AbsurdSizes, AreErrorsOfGradus) {
  GRADUS_SKIP_WITHOUT(plain_memory());
  constexpr int64_t kHuge = int64_t(1) << 62;
  const Tensor huge = zeros({1}).expand({kHuge}), matrix = zeros({1, 1}).expand({2, kHuge / 2});
  EXPECT_EQ(error_of([&] { huge.to_vector(); }),
            "to_vector: no memory for 4611686018427387904 values of 8 bytes");
  EXPECT_THROW(huge.to_vector<uint8_t>(), Error);
  EXPECT_THROW(nn::init::uniform_(huge), Error);
  EXPECT_THROW(nn::init::normal_(huge), Error);
  EXPECT_THROW(nn::init::constant_(huge, 1), Error);
  EXPECT_THROW(nn::init::xavier_uniform_(matrix), Error);
  EXPECT_THROW(nn::init::kaiming_normal_(matrix), Error);
  EXPECT_THROW(nn::init::lecun_normal_(matrix), Error);
  NumpyRandom random = numpy_random(0);
  EXPECT_EQ(error_of([&] { random.rand(kHuge); }),
            "rand: no memory for 4611686018427387904 values of 8 bytes");
  EXPECT_THROW(random.randn(kMax), Error);
  EXPECT_THROW(random.randint(0, 2, kMax), Error);
  EXPECT_THROW(random.uniform(0, 1, kHuge), Error);
  EXPECT_THROW(random.normal(0, 1, kHuge), Error);
  EXPECT_THROW(random.permutation(kMax), Error);
  EXPECT_EQ(error_of<ShapeError>([&] { random.permutation(-1); }), "permutation: the count is negative: -1");
  EXPECT_EQ(random.rand(), 0.5488135039273248) << "a refused call draws nothing";
  EXPECT_THROW(rand({kHuge}), Error);
  EXPECT_THROW(arange(kMin, kMax, 2), Error);
  EXPECT_THROW(linspace(0, 1, kHuge), Error);
}

// ---- rounding below 0

TEST(Rmsprop, CenteredStaysFiniteWithAConstantGradient) {
  for (const Dtype dtype : {kFloat32, kFloat64})
    for (const double momentum : {0., 0.9})
      for (const double g : {0.1, -3e-5, 0., 7., 1e20}) {
        Tensor x = zeros({3}, dtype).requires_grad_();
        optim::RMSprop optimizer({x}, {.momentum = momentum, .centered = true});
        x.set_grad(full({3}, g, dtype));
        for (int step = 0; step < 6000; step++) {
          optimizer.step();
          ASSERT_TRUE(std::isfinite(x.detach()[0].item())) << g << " step " << step << " " << name_of(dtype);
        }
      }
}

TEST(Rmsprop, CenteredFollowsDoubleWhereTheVarianceVanishes) {
  Tensor x = zeros({1}).requires_grad_(), wanted = zeros({1}, kFloat64).requires_grad_();
  optim::RMSprop optimizer({x}, {.centered = true}), exact({wanted}, {.centered = true});
  x.set_grad(full({1}, 0.1));
  wanted.set_grad(full({1}, 0.1, kFloat64));
  for (int step = 0; step < 1300; step++) {
    optimizer.step();
    exact.step();
  }
  // Steps are 1 / sqrt(v - a²): where all digits of that are rounding, the size is what can be right.
  EXPECT_NEAR(std::log10(x.detach().item() / wanted.detach().item()), 0, 1);
}

TEST(Rmsprop, RefusesAnAlphaThatMakesItsAverageNegative) {
  Tensor x = zeros({1}).requires_grad_();
  EXPECT_THROW(optim::RMSprop({x}, {.alpha = 1.5}), Error);
  EXPECT_THROW(optim::RMSprop({x}, {.alpha = kNan}), Error);
}

// ---- limits at infinite inputs

/// f(x) and its first and second derivative by x.
template <class F>
std::vector<double> value_and_derivatives(F f, double x, Dtype dtype) {
  const Tensor at = tensor({x}, dtype).requires_grad_();
  const Tensor y = f(at).sum();
  const Tensor plain = grad({y}, {at}, {}, {.retain_graph = true})[0];
  const Tensor first = grad({y}, {at}, {}, {.create_graph = true})[0];
  EXPECT_TRUE(equals(first.detach(), plain));
  const Tensor second = grad({first.sum()}, {at}, {}, {.allow_unused = true})[0];
  return {y.item(), first.item(), second.defined() ? second.item() : 0};
}
using Three = std::vector<double>;

TEST(Limits, OfBinaryCrossEntropyWithLogits) {
  for (const Dtype dtype : {kFloat32, kFloat64})
    for (const Reduction reduction : {Reduction::Mean, Reduction::Sum, Reduction::None})
      for (const double weight : {0., 1., 3.})
        for (const double t : {0., 0.25, 0.5, 1.})
          for (const double sign : {-1., 1.}) {
            const double z = sign * kInf;
            const bool zero = sign > 0 ? t == 1 : t == 0;
            const auto loss = [&](const Tensor& x) {
              return binary_cross_entropy_with_logits(x, tensor({t}, dtype), {}, {}, reduction);
            };
            EXPECT_EQ(value_and_derivatives(loss, z, dtype), (Three{zero ? 0 : kInf, (sign > 0) - t, 0}))
                << z << t;
            const auto weighted = [&](const Tensor& x) {
              return binary_cross_entropy_with_logits(x, tensor({t}, dtype), {}, tensor({weight}, dtype),
                                                      reduction);
            };
            const bool none = sign > 0 ? t == 1 : weight * t == 0;
            EXPECT_EQ(value_and_derivatives(weighted, z, dtype),
                      (Three{none ? 0 : kInf, sign > 0 ? 1 - t : -weight * t, 0}))
                << z << " " << t << " " << weight;
          }
  // Gradients by the target and the weight, too, are their limits.
  for (const double z : {-kInf, kInf})
    for (const double t : {0., 1.}) {
      const Tensor target = tensor({t}).requires_grad_(), weight = tensor({2.}).requires_grad_();
      const Tensors d =
          grad({binary_cross_entropy_with_logits(tensor({z}), target, {}, weight)}, {target, weight});
      EXPECT_EQ(d[0].item(), z > 0 ? -kInf : kInf);
      EXPECT_EQ(d[1].item(), z < 0 && t == 1 ? kInf : 0);
    }
  const Tensor z = tensor({-kInf, 1.});
  EXPECT_EQ(binary_cross_entropy_with_logits(z, tensor({1., 1.}), tensor({0., 0.})).item(), 0)
      << "a weight of 0 counts for nothing";
  EXPECT_TRUE(std::isnan(binary_cross_entropy_with_logits(tensor({kNan}), tensor({0.})).item()));
  EXPECT_TRUE(std::isnan(binary_cross_entropy_with_logits(tensor({1.}), tensor({kNan})).item()));
}

TEST(Limits, OfActivations) {
  for (const Dtype dtype : {kFloat32, kFloat64}) {
    const auto at = [&](const auto& f, double x) { return value_and_derivatives(f, x, dtype); };
    const auto softplus_of = [](double beta) { return [=](const Tensor& x) { return softplus(x, beta); }; };
    for (const double beta : {0.5, 1., 1e30}) {
      EXPECT_EQ(at(softplus_of(beta), kInf), (Three{kInf, 1, 0}));
      EXPECT_EQ(at(softplus_of(beta), -kInf), (Three{0, 0, 0}));
    }
    const auto of = [](Tensor (*f)(const Tensor&)) { return f; };
    EXPECT_EQ(at(of(logsigmoid), kInf), (Three{0, 0, 0}));
    EXPECT_EQ(at(of(logsigmoid), -kInf), (Three{-kInf, 1, 0}));
    EXPECT_EQ(at(of(sigmoid), kInf), (Three{1, 0, 0}));
    EXPECT_EQ(at(of(sigmoid), -kInf), (Three{0, 0, 0}));
    EXPECT_EQ(at(of(tanh), -kInf), (Three{-1, 0, 0}));
    const auto silu = [](const Tensor& x) { return pointwise(formulas::Silu{}, x); };
    const auto gelu_tanh = [](const Tensor& x) { return pointwise(formulas::GeluTanh{}, x); };
    const auto elu = [](const Tensor& x) { return pointwise(formulas::Elu{}, x); };
    for (const double large : {1e3, 1e25, kInf}) {
      EXPECT_EQ(at(silu, large), (Three{large == kInf ? kInf : tensor({large}, dtype).item(), 1, 0}))
          << large;
      EXPECT_EQ(at(silu, -large), (Three{0, 0, 0})) << large;
      EXPECT_EQ(at(gelu_tanh, large), (Three{large == kInf ? kInf : tensor({large}, dtype).item(), 1, 0}));
      EXPECT_EQ(at(gelu_tanh, -large), (Three{0, 0, 0})) << large;
      EXPECT_EQ(at(elu, -large), (Three{-1, 0, 0})) << large;
    }
  }
}

TEST(Limits, SoftplusRefusesABetaThatIsNoNumberOfTheDtype) {
  for (const double beta : {0., kInf, -kInf, kNan}) {
    EXPECT_THROW(softplus(zeros({1}, kFloat64), beta), Error);
    EXPECT_THROW(softplus(zeros({1}), beta), Error);
  }
  EXPECT_THROW(softplus(zeros({1}), 1e50), Error);
  EXPECT_THROW(softplus(zeros({1}), 1e-50), Error);
  EXPECT_THROW(softplus(zeros({1}, kInt64), 1e50), Error);
  const auto steep = [](const Tensor& x) { return softplus(x, 1e50); };
  EXPECT_NEAR(value_and_derivatives(steep, 0, kFloat64)[0], 0, 1e-50);
  EXPECT_EQ(value_and_derivatives(steep, 2, kFloat64), (Three{2, 1, 0}));
  EXPECT_EQ(value_and_derivatives(steep, -2, kFloat64), (Three{0, 0, 0}));
}

TEST(Limits, OfMaskedClasses) {
  for (const Dtype dtype : {kFloat32, kFloat64}) {
    const Tensor x = tensor({{1., -kInf, 2.}, {-kInf, 0., -kInf}}, dtype).requires_grad_();
    const Tensor plain = tensor({1., 2.}, dtype);
    for (const bool create_graph : {false, true})
      for (const Reduction reduction : {Reduction::Sum, Reduction::None}) {
        const auto gradient = [&](const Tensor& y) {
          const Tensor g = grad({y.sum()}, {x}, {}, {.create_graph = create_graph})[0];
          if (create_graph) {
            for (const double v : grad({square(g).sum()}, {x})[0].to_vector()) EXPECT_FALSE(std::isnan(v));
          }
          return g.detach();
        };
        const double wanted = std::log1p(std::exp(-1.)), p = 1 / (1 + std::exp(1.));
        const std::vector<double> dx = {p, 0, -p, 0, 0, 0};
        const Tensor classes = tensor({2, 1});
        const Tensor y = cross_entropy(x, classes, {}, reduction);
        EXPECT_NEAR(y.sum().item(), wanted, 1e-6);
        EXPECT_TRUE(equals(gradient(y), dx, 1e-6));
        const Tensor likely = tensor({{0., 0., 1.}, {0., 1., 0.}}, dtype);
        const Tensor z = cross_entropy(x, likely, {}, reduction);
        EXPECT_NEAR(z.sum().item(), wanted, 1e-6);
        EXPECT_TRUE(equals(gradient(z), dx, 1e-6));
        const Tensor nll = nll_loss(log_softmax(x, 1), classes, {}, reduction);
        EXPECT_NEAR(nll.sum().item(), wanted, 1e-6);
        EXPECT_TRUE(equals(gradient(nll), dx, 1e-6));
        EXPECT_FALSE(std::isnan(gradient(softmax(x, 1) * tensor({1., 2., 3.}, dtype)).sum().item()));
      }
    // What has no weight counts for nothing, whatever its logits are.
    const Tensor weight = tensor({1., 0., 1.}, dtype), target = tensor({2, 0});
    const Tensor masked = tensor({{1., 0., 2.}, {0., -kInf, 0.}}, dtype);
    EXPECT_EQ(cross_entropy(masked, tensor({1, 1}), weight, Reduction::Sum).item(), 0);
    EXPECT_EQ(nll_loss(log_softmax(masked, 1), tensor({1, 1}), weight, Reduction::Sum).item(), 0);
    EXPECT_TRUE(std::isfinite(cross_entropy(masked, target, weight, Reduction::Sum).item()));
  }
}

TEST(Limits, OfBinaryCrossEntropy) {
  for (const double p : {0., 1.})
    for (const double t : {0., 0.5, 1.}) {
      const Tensor x = tensor({p}).requires_grad_(), target = tensor({t}).requires_grad_();
      const Tensor y = binary_cross_entropy(x, target);
      EXPECT_EQ(y.item(), 100 * std::abs(p - t));
      for (const Tensor& g : grad({y}, {x, target})) EXPECT_TRUE(std::isfinite(g.item()));
    }
}

}  // namespace
}  // namespace gradus
