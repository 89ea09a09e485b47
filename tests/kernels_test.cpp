// The structured kernels and the thread pool against naive code, on every kind of layout.
#include <gtest/gtest.h>

#include <gradus/autograd/base/parallel.h>
#include <gradus/autograd/kernels/compare.h>
#include <gradus/autograd/kernels/copy.h>
#include <gradus/autograd/kernels/element.h>
#include <gradus/autograd/kernels/index.h>
#include <gradus/autograd/kernels/reduce.h>
#include <gradus/autograd/kernels/rows.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#ifdef __unix__
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "gemm_support.h"

namespace gradus {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

struct Threads {
  explicit Threads(int n) : before(num_threads()) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before;
};

std::mt19937& generator() {
  static std::mt19937 g(7);
  return g;
}

/// std::vector<bool> has no data().
template <class T>
struct Buffer {
  explicit Buffer(int64_t n, T value = T()) : size(n), data(new T[static_cast<size_t>(n)]) {
    std::fill(data.get(), data.get() + n, value);
  }
  T* get() const { return data.get(); }
  T& operator[](int64_t i) const { return data[static_cast<size_t>(i)]; }
  std::vector<T> values() const { return std::vector<T>(data.get(), data.get() + size); }
  int64_t size;
  std::unique_ptr<T[]> data;
};

/// A tensor laid out somehow.
template <class T>
struct Sample {
  std::string name;
  Layout layout;
  Buffer<T> data;
  T operator[](int64_t flat) const { return data[element_offset(layout, flat)]; }
};

template <class T>
Sample<T> sample(std::string name, const Layout& layout) {
  Sample<T> s{std::move(name), layout, Buffer<T>(std::max<int64_t>(layout.end(), 1) + 3)};
  std::uniform_int_distribution<int> numbers(-9, 9);
  for (int64_t i = 0; i < s.data.size; i++) {
    const int v = numbers(generator());
    s.data[i] = std::is_floating_point_v<T> ? T(v) / 4
                                            : kernels::convert<T>(std::is_signed_v<T> ? v : std::abs(v) / 3);
  }
  return s;
}

template <class T>
Read reads(const Sample<T>& s) {
  return gradus::reads<T>(s.data.get(), s.layout);
}
template <class T>
Write writes(const Sample<T>& s) {
  return gradus::writes<T>(s.data.get(), s.layout);
}
template <class T>
Read reads(const Buffer<T>& b, const Layout& l) {
  return gradus::reads<T>(b.get(), l);
}
template <class T>
Write writes(const Buffer<T>& b, const Layout& l) {
  return gradus::writes<T>(b.get(), l);
}

/// Contiguous; dims reversed in memory; every second element from an offset; the last or the first dim
/// broadcast.
template <class T>
std::vector<Sample<T>> samples(const Shape& shape) {
  std::vector<Sample<T>> all;
  all.push_back(sample<T>("contiguous", Layout(shape)));
  Layout reversed(shape);
  for (int64_t i = 0, stride = 1; i < shape.rank(); stride *= shape[int(i)], i++)
    reversed.strides[i] = stride;
  all.push_back(sample<T>("transposed", reversed));
  Layout sliced(shape);
  sliced.offset = 5;
  for (int i = 0; i < shape.rank(); i++) sliced.strides[i] *= 2;
  all.push_back(sample<T>("every second", sliced));
  Layout padded(shape);
  padded.offset = 1;
  for (int i = 0; i + 1 < shape.rank(); i++) padded.strides[i] += 3 * (shape.rank() - i);
  for (int i = shape.rank() - 2; i >= 0; i--) padded.strides[i] = padded.strides[i + 1] * shape[i + 1] + 3;
  all.push_back(sample<T>("rows with gaps", padded));
  for (int dim : {0, shape.rank() - 1}) {
    if (shape.rank() == 0) break;
    Layout broadcast(shape);
    broadcast.strides[dim] = 0;
    all.push_back(sample<T>("broadcast", broadcast));
  }
  return all;
}

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all = {{},        {1},        {7},         {70},        {0},     {3, 0, 2},
                                         {4, 5},    {40, 4},    {19, 20},    {3, 200},    {33, 1}, {2, 3, 4},
                                         {5, 1, 9}, {17, 2, 3}, {3, 20, 18}, {2, 2, 2, 5}};
  return all;
}

template <class T>
bool same(T a, T b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

// ---- rows

TEST(Rows, VisitEveryElementOnce) {
  for (const Shape& shape : shapes())
    for (const auto& a : samples<float>(shape))
      for (const auto& b : samples<float>(shape)) {
        const Layout y(shape);
        const int64_t numel = y.numel();
        std::vector<int> visits(static_cast<size_t>(numel));
        std::vector<int64_t> at_a(visits.size()), at_b(visits.size());
        kernels::for_each_row(shape, {&y, &a.layout, &b.layout},
                              [&](int64_t n, const int64_t* at, const int64_t* s) {
                                ASSERT_GT(n, 0);
                                for (int64_t i = 0; i < n; i++) {
                                  const size_t flat = static_cast<size_t>(at[0] + i * s[0]);
                                  visits.at(flat)++;
                                  at_a[flat] = at[1] + i * s[1];
                                  at_b[flat] = at[2] + i * s[2];
                                }
                              });
        for (int64_t k = 0; k < numel; k++) {
          ASSERT_EQ(visits[size_t(k)], 1) << shape.str() << a.name << b.name;
          ASSERT_EQ(at_a[size_t(k)], element_offset(a.layout, k)) << shape.str() << a.name;
          ASSERT_EQ(at_b[size_t(k)], element_offset(b.layout, k)) << shape.str() << b.name;
        }
      }
}

TEST(Rows, MergeWhatIsContiguous) {
  const auto rows = [](const Shape& shape, const Layout& a, const Layout& b) {
    int count = 0;
    kernels::for_each_row(shape, {&a, &b}, [&](int64_t, const int64_t*, const int64_t*) { count++; });
    return count;
  };
  const Shape shape{4, 5, 6};
  Layout scalar(shape), permuted(shape);
  for (int i = 0; i < 3; i++) scalar.strides[i] = 0;
  permuted.strides[0] = 6, permuted.strides[1] = 24, permuted.strides[2] = 1;
  EXPECT_EQ(rows(shape, Layout(shape), Layout(shape)), 1);
  EXPECT_EQ(rows(shape, Layout(shape), scalar), 1);
  EXPECT_EQ(rows(shape, permuted, permuted), 1);
  EXPECT_EQ(rows({}, Layout(Shape{}), Layout(Shape{})), 1);
  EXPECT_EQ(rows({3, 0}, Layout(Shape{3, 0}), Layout(Shape{3, 0})), 0);
}

TEST(Rows, PartsTogetherAreTheWhole) {
  const Shape shape{6, 7, 5};
  Layout odd(shape);
  odd.strides[0] = 1, odd.strides[1] = 31, odd.strides[2] = 6;
  const Layout y(shape);
  const kernels::Rows<2> rows(shape, {&y, &odd});
  std::vector<int64_t> whole, parts;
  const auto into = [](std::vector<int64_t>& list) {
    return [&list](int64_t, const int64_t* at, const int64_t*) { list.insert(list.end(), at, at + 2); };
  };
  rows.run(0, rows.count(), into(whole));
  for (int64_t i = 0; i < rows.count(); i++) rows.run(i, i + 1, into(parts));
  EXPECT_EQ(whole, parts);
}

// ---- copy, fill

template <class To, class From>
void check_copy() {
  for (const Shape& shape : shapes())
    for (const auto& x : samples<From>(shape))
      for (const auto& y : samples<To>(shape)) {
        if (y.name == "broadcast") continue;
        const auto before = y.data.values();
        kernels::Copy{writes(y), reads(x)}.run();
        std::vector<To> expected = before;
        for (int64_t k = 0; k < y.layout.numel(); k++)
          expected[size_t(element_offset(y.layout, k))] = kernels::convert<To>(x[k]);
        ASSERT_EQ(y.data.values(), expected) << shape.str() << " " << x.name << " to " << y.name;
      }
}
template <class To>
void check_copies() {
  check_copy<To, bool>();
  check_copy<To, uint8_t>();
  check_copy<To, int64_t>();
  check_copy<To, float>();
  check_copy<To, double>();
}
TEST(Copy, EveryDtypeToEveryOther) {
  check_copies<bool>();
  check_copies<uint8_t>();
  check_copies<int64_t>();
  check_copies<float>();
  check_copies<double>();
}
TEST(Copy, LargeTransposed) {
  for (int threads : {1, 4}) {
    const Threads use(threads);
    const Layout y(Shape{701, 503});
    Layout x(y.shape);
    x.strides[0] = 1, x.strides[1] = 701;
    const auto from = sample<float>("", x);
    const Buffer<float> to(y.numel());
    kernels::Copy{writes(to, y), reads(from)}.run();
    for (int64_t k = 0; k < y.numel(); k++) ASSERT_EQ(to[k], from[k]);
  }
}
TEST(Copy, OutOfRangeNumbers) {
  using kernels::convert;
  constexpr int64_t min = std::numeric_limits<int64_t>::min(), max = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(convert<int64_t>(kNaN), 0);
  EXPECT_EQ(convert<int64_t>(kInf), max);
  EXPECT_EQ(convert<int64_t>(-kInf), min);
  EXPECT_EQ(convert<int64_t>(9.3e18), max);
  EXPECT_EQ(convert<int64_t>(9223372036854774784.0), 9223372036854774784);
  EXPECT_EQ(convert<int64_t>(-9223372036854775808.0), min);
  EXPECT_EQ(convert<int64_t>(-2.9f), -2);
  EXPECT_EQ(convert<uint8_t>(255.9), 255);
  EXPECT_EQ(convert<uint8_t>(300.f), 255);
  EXPECT_EQ(convert<uint8_t>(-1.f), 0);
  EXPECT_EQ(convert<uint8_t>(int64_t(257)), 1);
  EXPECT_TRUE(convert<bool>(kNaN));
  EXPECT_TRUE(convert<bool>(0.1));
  EXPECT_FALSE(convert<bool>(-0.0));
}
TEST(Fill, EveryLayout) {
  for (const Shape& shape : shapes())
    for (const auto& y : samples<int64_t>(shape)) {
      std::vector<int64_t> expected = y.data.values();
      for (int64_t k = 0; k < y.layout.numel(); k++) expected[size_t(element_offset(y.layout, k))] = 42;
      kernels::Fill{writes(y), 42.9}.run();
      ASSERT_EQ(y.data.values(), expected) << shape.str() << y.name;
    }
  bool b[2] = {};
  kernels::Fill{gradus::writes(b, Layout(Shape{2})), 0.5}.run();
  EXPECT_TRUE(b[0] && b[1]);
  int64_t i = 0;
  kernels::Fill{gradus::writes(&i, Layout()), (int64_t(1) << 60) + 1}.run();
  EXPECT_EQ(i, (int64_t(1) << 60) + 1);
}

// ---- compare, where

template <class T>
void check_compare() {
  using kernels::Compare;
  for (const Shape& shape : shapes())
    for (const auto& a : samples<T>(shape))
      for (const auto& b : samples<T>(shape)) {
        const int64_t n = Layout(shape).numel();
        const Buffer<bool> y(n + 1);
        for (Compare op : {Compare::Equal, Compare::NotEqual, Compare::Less, Compare::LessEqual,
                           Compare::Greater, Compare::GreaterEqual, Compare::Same}) {
          kernels::Compared{op, writes(y, Layout(shape)), reads(a), reads(b)}.run();
          for (int64_t k = 0; k < n; k++) {
            const T p = a[k], q = b[k];
            const bool expected[] = {p == q, p != q, p<q, p <= q, p> q, p >= q, same(p, q)};
            ASSERT_EQ(y[k], expected[int(op)]) << shape.str() << a.name << b.name << int(op);
          }
        }
      }
}
TEST(Compare, EveryLayout) {
  check_compare<bool>();
  check_compare<uint8_t>();
  check_compare<int64_t>();
  check_compare<float>();
  check_compare<double>();
}
TEST(Compare, NaN) {
  const float a[] = {kNaN, 1, kNaN}, b[] = {1, kNaN, kNaN};
  bool y[3];
  const Layout l(Shape{3});
  using kernels::Compare;
  for (Compare op : {Compare::Equal, Compare::Less, Compare::LessEqual, Compare::Greater,
                     Compare::GreaterEqual, Compare::NotEqual}) {
    kernels::Compared{op, gradus::writes(y, l), gradus::reads(a, l), gradus::reads(b, l)}.run();
    for (bool v : y) EXPECT_EQ(v, op == Compare::NotEqual);
  }
  kernels::Compared{Compare::Same, gradus::writes(y, l), gradus::reads(a, l), gradus::reads(b, l)}.run();
  EXPECT_FALSE(y[0] || y[1]);
  EXPECT_TRUE(y[2]);
}
TEST(Where, EveryLayout) {
  for (const Shape& shape : shapes())
    for (const auto& c : samples<bool>(shape))
      for (const auto& a : samples<double>(shape))
        for (const auto& b : samples<double>(shape)) {
          const int64_t n = Layout(shape).numel();
          const Buffer<double> y(n + 1);
          kernels::Where{writes(y, Layout(shape)), reads(c), reads(a), reads(b)}.run();
          for (int64_t k = 0; k < n; k++) ASSERT_EQ(y[k], c[k] ? a[k] : b[k]) << shape.str();
        }
}

// ---- reductions

/// The position among the kept dims (row-major) of the flat position k.
int64_t kept_position(const Shape& shape, int64_t k, uint32_t dims) {
  int64_t position = 0, stride = 1;
  for (int i = shape.rank(); i-- > 0; k /= shape[i]) {
    if (dims >> i & 1) continue;
    position += k % shape[i] * stride;
    stride *= shape[i];
  }
  return position;
}
int64_t kept_size(const Shape& shape, uint32_t dims) {
  int64_t n = 1;
  for (int i = 0; i < shape.rank(); i++)
    if (!(dims >> i & 1)) n *= shape[i];
  return n;
}

template <class T, class Out>
void check_sum() {
  for (const Shape& shape : shapes())
    for (const auto& x : samples<T>(shape))
      for (uint32_t dims = 0; dims < 1u << shape.rank(); dims++) {
        const int64_t n = kept_size(shape, dims);
        std::vector<Out> expected(size_t(n), Out(0));
        // Quarters are summed exactly, in any order.
        for (int64_t k = 0; k < x.layout.numel(); k++)
          expected[size_t(kept_position(shape, k, dims))] += static_cast<Out>(x[k]);
        const Buffer<Out> y(n, Out(77));
        kernels::Sum{writes(y, Layout(Shape{n})), reads(x), dims}.run();
        ASSERT_EQ(y.values(), expected) << shape.str() << x.name << dims;
      }
}
TEST(Sum, EveryLayoutAndDims) {
  check_sum<bool, int64_t>();
  check_sum<uint8_t, int64_t>();
  check_sum<int64_t, int64_t>();
  check_sum<float, float>();
  check_sum<double, double>();
}
TEST(Sum, Float32IsSummedInDouble) {
  constexpr int64_t rows = 1'000'000, n = 3 * rows;
  const Buffer<float> x(n, 0.1f);
  float y = 0;
  kernels::Sum{gradus::writes(&y, Layout()), reads(x, Layout(Shape{n})), 1}.run();
  EXPECT_EQ(y, static_cast<float>(n * static_cast<double>(0.1f)));
  float columns[3];
  kernels::Sum{gradus::writes(columns, Layout(Shape{3})), reads(x, Layout(Shape{rows, 3})), 1}.run();
  for (float c : columns) EXPECT_EQ(c, static_cast<float>(rows * static_cast<double>(0.1f)));
}
TEST(Sum, BitEqualForAnyNumberOfThreads) {
  const Shape cases[] = {{200'003}, {50'001, 4}, {4, 50'001}, {400, 700}, {3, 50, 999}};
  for (const Shape& shape : cases)
    for (const auto& x : samples<double>(shape)) {
      for (int64_t i = 0; i < x.data.size; i++) x.data[i] = std::sin(double(i));
      for (uint32_t dims = 1; dims < 1u << shape.rank(); dims++) {
        const Buffer<double> one(kept_size(shape, dims)), many(kept_size(shape, dims));
        {
          const Threads use(1);
          kernels::Sum{writes(one, Layout(Shape{one.size})), reads(x), dims}.run();
        }
        for (int threads : {2, 4, 8}) {
          const Threads use(threads);
          kernels::Sum{writes(many, Layout(Shape{many.size})), reads(x), dims}.run();
          ASSERT_EQ(std::memcmp(one.get(), many.get(), size_t(one.size) * 8), 0)
              << shape.str() << x.name << dims;
        }
        std::vector<long double> exact(size_t(one.size)), size(exact);
        for (int64_t k = 0; k < x.layout.numel(); k++) {
          const size_t at = size_t(kept_position(shape, k, dims));
          exact[at] += x[k];
          size[at] += std::abs(x[k]);
        }
        for (size_t i = 0; i < exact.size(); i++)
          ASSERT_NEAR(one[int64_t(i)], double(exact[i]), 1e-12 * double(size[i]))
              << shape.str() << x.name << dims;
      }
    }
}

template <class T>
void check_extreme() {
  for (const Shape& shape : shapes()) {
    if (Layout(shape).numel() == 0) continue;
    for (const auto& x : samples<T>(shape))
      for (uint32_t dims = 0; dims < 1u << shape.rank(); dims++)
        for (bool max : {true, false}) {
          const int64_t n = kept_size(shape, dims);
          std::vector<T> expected(static_cast<size_t>(n));
          std::vector<char> seen(static_cast<size_t>(n));
          for (int64_t k = 0; k < x.layout.numel(); k++) {
            const size_t at = size_t(kept_position(shape, k, dims));
            if (!seen[at] || (max ? x[k] > expected[at] : x[k] < expected[at])) expected[at] = x[k];
            seen[at] = 1;
          }
          const Buffer<T> y(n);
          kernels::Extreme{writes(y, Layout(Shape{n})), reads(x), max, dims}.run();
          ASSERT_EQ(y.values(), expected) << shape.str() << x.name << dims << max;
        }
  }
}
TEST(Extreme, EveryLayoutAndDims) {
  check_extreme<bool>();
  check_extreme<uint8_t>();
  check_extreme<int64_t>();
  check_extreme<float>();
  check_extreme<double>();
}
TEST(Extreme, NaNWinsWhereverItIs) {
  for (int64_t n : {1, 3, 8, 17, 64, 200})
    for (int64_t at = 0; at < n; at++) {
      const Buffer<float> x(n, -kInf);
      x[at] = kNaN;
      float y = 0;
      kernels::Extreme{gradus::writes(&y, Layout()), reads(x, Layout(Shape{n})), true, 1}.run();
      ASSERT_TRUE(std::isnan(y));
      kernels::Extreme{gradus::writes(&y, Layout()), reads(x, Layout(Shape{n})), false, 1}.run();
      ASSERT_TRUE(std::isnan(y));
      const Buffer<float> rows(n * 5, 1.f), columns(5);
      rows[at * 5 + 2] = kNaN;
      kernels::Extreme{writes(columns, Layout(Shape{5})), reads(rows, Layout(Shape{n, 5})), true, 1}.run();
      for (int j = 0; j < 5; j++) ASSERT_EQ(std::isnan(columns[j]), j == 2);
      int64_t index = -1;
      if (at + 1 < n) x[n - 1] = kNaN;
      kernels::ExtremeIndex{gradus::writes(&y, Layout()), gradus::writes(&index, Layout()),
                            reads(x, Layout(Shape{n})), true, 0}
          .run();
      ASSERT_EQ(index, at);
      ASSERT_TRUE(std::isnan(y));
    }
  float y = 0;
  const float low[] = {-kInf, -kInf};
  kernels::Extreme{gradus::writes(&y, Layout()), gradus::reads(low, Layout(Shape{2})), true, 1}.run();
  EXPECT_EQ(y, -kInf);
}

/// Calls check(values of one line, flat position of its i-th element).
template <class T, class F>
void each_line(const Sample<T>& x, int dim, F check) {
  const Shape& shape = x.layout.shape;
  int64_t after = 1;
  for (int i = dim + 1; i < shape.rank(); i++) after *= shape[i];
  const int64_t n = shape.rank() ? shape[dim] : 1, numel = x.layout.numel();
  for (int64_t line = 0; n > 0 && line < numel / n; line++) {
    const auto flat = [=](int64_t i) { return line / after * n * after + i * after + line % after; };
    std::vector<T> values;
    for (int64_t i = 0; i < n; i++) values.push_back(x[flat(i)]);
    check(values, flat, line);
  }
}
int last_dim(const Shape& shape) { return std::max(shape.rank(), 1); }

TEST(ExtremeIndex, FirstOfEquals) {
  for (const Shape& shape : shapes()) {
    if (Layout(shape).numel() == 0) continue;
    for (const auto& x : samples<int64_t>(shape))
      for (int dim = 0; dim < last_dim(shape); dim++)
        for (bool max : {true, false}) {
          const Buffer<int64_t> values(x.layout.numel()), indices(x.layout.numel());
          kernels::ExtremeIndex{writes(values, Layout()), writes(indices, Layout()), reads(x), max, dim}
              .run();
          each_line(x, dim, [&](const std::vector<int64_t>& v, auto, int64_t line) {
            const auto best =
                max ? std::max_element(v.begin(), v.end()) : std::min_element(v.begin(), v.end());
            ASSERT_EQ(values[line], *best) << shape.str() << x.name;
            ASSERT_EQ(indices[line], best - v.begin()) << shape.str() << x.name;
          });
        }
  }
}

template <class T>
void check_cumsum() {
  for (const Shape& shape : shapes())
    for (const auto& x : samples<T>(shape))
      for (int dim = 0; dim < last_dim(shape); dim++) {
        const Buffer<T> y(x.layout.numel() + 1);
        for (bool reverse : {false, true}) {
          kernels::Cumsum{writes(y, Layout(shape)), reads(x), reverse, dim}.run();
          each_line(x, dim, [&](const std::vector<T>& v, auto flat, int64_t) {
            T sum = 0;
            for (size_t k = 0; k < v.size(); k++) {
              const size_t i = reverse ? v.size() - 1 - k : k;
              sum = kernels::plus(sum, v[i]);
              ASSERT_EQ(y[flat(int64_t(i))], sum) << shape.str() << x.name << dim;
            }
          });
        }
      }
}
TEST(Cumsum, EveryLayout) {
  check_cumsum<uint8_t>();
  check_cumsum<int64_t>();
  check_cumsum<float>();
  check_cumsum<double>();
}

template <class T>
void check_softmax() {
  const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-14;
  for (const Shape& shape : shapes())
    for (const auto& x : samples<T>(shape))
      for (int dim = 0; dim < last_dim(shape); dim++)
        for (bool log : {false, true}) {
          const Buffer<T> y(x.layout.numel() + 1);
          kernels::Softmax{writes(y, Layout(shape)), reads(x), log, dim}.run();
          each_line(x, dim, [&](const std::vector<T>& v, auto flat, int64_t) {
            const double m = *std::max_element(v.begin(), v.end());
            double sum = 0;
            for (T e : v) sum += std::exp(double(e) - m);
            for (size_t i = 0; i < v.size(); i++) {
              const double d = double(v[i]) - m, expected = log ? d - std::log(sum) : std::exp(d) / sum;
              ASSERT_NEAR(double(y[flat(int64_t(i))]), expected, tolerance * (1 + std::abs(expected)))
                  << shape.str() << x.name << dim << log;
            }
          });
        }
}
TEST(Softmax, EveryLayout) {
  check_softmax<float>();
  check_softmax<double>();
}
TEST(Softmax, SpecialRows) {
  for (int64_t stride : {1, 3})
    for (bool log : {false, true}) {
      Layout l(Shape{4, stride});
      const Buffer<float> x(4 * stride), y(4 * stride);
      const auto run = [&](std::vector<float> column) {
        for (int i = 0; i < 4; i++)
          for (int64_t j = 0; j < stride; j++) x[i * stride + j] = column[size_t(i)];
        kernels::Softmax{writes(y, l), reads(x, l), log, 0}.run();
        return std::vector<float>{y[0], y[stride], y[2 * stride], y[3 * stride]};
      };
      for (float v : run({-kInf, -kInf, -kInf, -kInf})) EXPECT_TRUE(std::isnan(v));
      for (float v : run({0, kNaN, 0, 0})) EXPECT_TRUE(std::isnan(v));
      const float zero = log ? -kInf : 0.f, half = log ? -std::log(2.f) : 0.5f;
      const auto y2 = run({1000, -kInf, 1000, -kInf});
      EXPECT_FLOAT_EQ(y2[0], half);
      EXPECT_EQ(y2[1], zero);
      EXPECT_FLOAT_EQ(y2[2], half);
      const auto y3 = run({0, -200, -3e38f, 0});
      EXPECT_FLOAT_EQ(y3[0], half);
      EXPECT_FLOAT_EQ(y3[1], log ? -200 - std::log(2.f) : 0.f);
    }
}
TEST(Softmax, BitEqualForAnyNumberOfThreads) {
  for (int dim : {0, 1}) {
    const auto x = sample<float>("", Layout(Shape{700, 450}));
    const Buffer<float> one(x.layout.numel()), many(x.layout.numel());
    {
      const Threads use(1);
      kernels::Softmax{writes(one, x.layout), reads(x), true, dim}.run();
    }
    for (int threads : {2, 4, 8}) {
      const Threads use(threads);
      kernels::Softmax{writes(many, x.layout), reads(x), true, dim}.run();
      ASSERT_EQ(one.values(), many.values());
    }
  }
}

// ---- index

template <class F>
void each_index_case(F check) {
  struct Case {
    Shape x, index;
    int dim;
  };
  const Case cases[] = {{{5}, {9}, 0},       {{4, 6}, {4, 3}, 1},       {{4, 6}, {9, 6}, 0},
                        {{4, 6}, {2, 2}, 0}, {{3, 4, 5}, {3, 7, 5}, 1}, {{3, 4, 5}, {2, 4, 1}, 2},
                        {{}, {}, 0},         {{4, 6}, {0, 6}, 0}};
  for (const Case& c : cases)
    for (const auto& x : samples<float>(c.x))
      for (const auto& index : samples<int64_t>(c.index)) {
        const int64_t size = c.x.rank() ? c.x[c.dim] : 1;
        for (int64_t i = 0; i < index.data.size; i++) index.data[i] = (index.data[i] + 99) % size;
        check(x, index, c.dim);
      }
}
/// The layout position of element k of the index's shape, with the coordinate along dim replaced.
int64_t chosen_offset(const Layout& l, const Shape& shape, int64_t k, int dim, int64_t value) {
  int64_t at = l.offset;
  for (int i = shape.rank(); i-- > 0; k /= shape[i]) at += (i == dim ? value : k % shape[i]) * l.strides[i];
  return at;
}
TEST(Gather, EveryLayout) {
  each_index_case([](const Sample<float>& x, const Sample<int64_t>& index, int dim) {
    const int64_t n = index.layout.numel();
    const Buffer<float> y(n + 1);
    kernels::Gather{writes(y, Layout(index.layout.shape)), reads(x), reads(index), dim}.run();
    for (int64_t k = 0; k < n; k++)
      ASSERT_EQ(y[k], x.data[chosen_offset(x.layout, index.layout.shape, k, dim, index[k])])
          << x.name << index.name;
  });
}
TEST(ScatterAdd, EveryLayout) {
  each_index_case([](const Sample<float>& like, const Sample<int64_t>& index, int dim) {
    for (const auto& x : samples<float>(index.layout.shape)) {
      const Layout ly(like.layout.shape);
      const Buffer<float> y(ly.numel() + 1, 1.f);
      std::vector<float> expected = y.values();
      for (int64_t k = 0; k < index.layout.numel(); k++)
        expected[size_t(chosen_offset(ly, index.layout.shape, k, dim, index[k]))] += x[k];
      kernels::ScatterAdd{writes(y, ly), reads(x), reads(index), dim}.run();
      ASSERT_EQ(y.values(), expected) << x.name << index.name;
    }
  });
}
TEST(FirstOutOfRange, FindsTheFirst) {
  for (const auto& index : samples<int64_t>({4, 6})) {
    if (index.name == "broadcast") continue;
    for (int64_t i = 0; i < index.data.size; i++) index.data[i] = 3;
    EXPECT_EQ(kernels::first_out_of_range(index.data.get(), index.layout, 4), -1);
    EXPECT_EQ(kernels::first_out_of_range(index.data.get(), index.layout, 3), 0);
    index.data[element_offset(index.layout, 17)] = 4;
    index.data[element_offset(index.layout, 9)] = -1;
    EXPECT_EQ(kernels::first_out_of_range(index.data.get(), index.layout, 4), 9) << index.name;
  }
}
TEST(AddTo, AddsEvenWhereTheRegionOverlapsItself) {
  for (const Shape& shape : shapes())
    for (const auto& region : samples<double>(shape))
      for (const auto& g : samples<double>(shape)) {
        std::vector<double> expected = region.data.values();
        for (int64_t k = 0; k < g.layout.numel(); k++)
          expected[size_t(element_offset(region.layout, k))] += g[k];
        kernels::AddTo{writes(region), reads(g)}.run();
        ASSERT_EQ(region.data.values(), expected) << shape.str() << region.name << g.name;
      }
  Layout windows(Shape{4, 3});  // of a row of 6, one step apart
  windows.strides[0] = 1;
  int64_t y[6] = {};
  const int64_t ones[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  kernels::AddTo{gradus::writes(y, windows), gradus::reads(ones, Layout(Shape{4, 3}))}.run();
  EXPECT_EQ(std::vector<int64_t>(y, y + 6), (std::vector<int64_t>{1, 2, 3, 3, 2, 1}));
}

// ---- gemm

/// How an operand [rows, cols] may lie.
struct Lie {
  int64_t row, col, size;
};
std::vector<Lie> lies(int64_t rows, int64_t cols) {
  return {{cols, 1, rows * cols}, {1, rows, rows * cols}, {2 * cols + 3, 2, rows * (2 * cols + 3) + 1}};
}
/// One element of the product, by the triple loop; rounding errors grow as a random walk of k steps.
template <class T>
struct Exact {
  Exact(const Buffer<T>& a, const Lie& la, const Buffer<T>& b, const Lie& lb, int64_t i, int64_t j, int64_t k,
        T c) {
    long double sum = c, size = std::abs(c);
    for (int64_t p = 0; p < k; p++) {
      const long double term = (long double)(a[i * la.row + p * la.col]) * b[p * lb.row + j * lb.col];
      sum += term;
      size += std::abs(term);
    }
    value = double(sum);
    tolerance = std::sqrt(double(k + 16)) * std::numeric_limits<T>::epsilon() * double(size);
  }
  double value, tolerance;
};
template <class T>
void check_gemm(int64_t m, int64_t n, int64_t k, bool with_bias) {
  std::uniform_real_distribution<T> u(-1, 1);
  for (const Lie& la : lies(m, k))
    for (const Lie& lb : lies(k, n))
      for (int64_t gap : {0, 3}) {
        const Buffer<T> a(la.size), b(lb.size), bias(n), c(m * (n + gap), T(9));
        for (int64_t i = 0; i < a.size; i++) a[i] = u(generator());
        for (int64_t i = 0; i < b.size; i++) b[i] = u(generator());
        for (int64_t j = 0; j < n; j++) bias[j] = u(generator());
        // Without a bias, every other time with the sums of a's rows.
        const Buffer<T> sums(m), ones(k, T(1));
        const bool with_sums = !with_bias && gap == 0;
        if (with_sums)
          gemm_and_sums(m, n, k, a.get(), la.row, la.col, b.get(), lb.row, lb.col, c.get(), sums.get());
        else
          gemm(m, n, k, a.get(), la.row, la.col, b.get(), lb.row, lb.col, with_bias ? bias.get() : nullptr,
               c.get(), n + gap);
        for (int64_t i = 0; i < m; i++) {
          if (with_sums) {
            const Exact exact(a, la, ones, {1, 1, k}, i, 0, k, T(0));
            ASSERT_NEAR(double(sums[i]), exact.value, exact.tolerance)
                << m << " x " << n << " x " << k << " a " << la.row << "," << la.col << ", sum " << i;
          }
          for (int64_t j = 0; j < n; j++) {
            const Exact exact(a, la, b, lb, i, j, k, with_bias ? bias[j] : T(0));
            ASSERT_NEAR(double(c[i * (n + gap) + j]), exact.value, exact.tolerance)
                << m << " x " << n << " x " << k << " a " << la.row << "," << la.col << " b " << lb.row << ","
                << lb.col << " at " << i << "," << j;
          }
          for (int64_t j = n; j < n + gap; j++)
            ASSERT_EQ(c[i * (n + gap) + j], T(9)) << "written beyond a row";
        }
      }
}
template <class T>
void check_gemms() {
  for (int64_t m = 1; m <= 8; m++)
    for (int64_t n = 1; n <= 8; n++)
      for (int64_t k = 1; k <= 8; k++) check_gemm<T>(m, n, k, (m + n + k) % 2 == 0);
  // Tall products: whole vectors of rows, and every number of rows that is left.
  for (int64_t n = 1; n <= 9; n++)
    for (int64_t k = 1; k <= 9; k++)
      for (int64_t m = 15; m <= 33; m++) check_gemm<T>(m, n, k, (m + n + k) % 2 == 0);
  // Outer products: whole vectors of rows, and every number of rows that is left.
  for (int64_t m : {1, 2, 4})
    for (int64_t n : {1, 2, 4})
      for (int64_t k = 15; k <= 85; k++) check_gemm<T>(m, n, k, k / 4 % 2 == 0);
  const int64_t sizes[][3] = {{400, 4, 2},   {400, 1, 4},  {399, 2, 2},  {401, 4, 4},   {17, 1, 2},
                              {16, 4, 1},    {4, 2, 400},  {1, 4, 401},  {2, 2, 399},   {4, 4, 77},
                              {1, 1, 1000},  {4, 1, 18},   {23, 29, 31}, {13, 33, 70},  {25, 65, 129},
                              {12, 32, 256}, {37, 5, 300}, {5, 37, 600}, {65, 130, 64}, {97, 64, 517},
                              {301, 67, 65}, {3, 300, 90}};
  for (auto& s : sizes)
    for (bool with_bias : {false, true}) check_gemm<T>(s[0], s[1], s[2], with_bias);
  // Few rows of a wide product, at every level; more rows, by strips and by blocks; k in two parts.
  for (int64_t m = 5; m <= 26; m++) check_gemm<T>(m, 69 + m % 3, 19 + m % 2, m % 2 == 0);
  const int64_t wide[][3] = {{20, 131, 209}, {7, 33, 1030},   {20, 64, 1100}, {26, 70, 600},
                             {64, 300, 40},  {129, 33, 1030}, {140, 300, 120}};
  for (auto& s : wide)
    for (bool with_bias : {false, true}) check_gemm<T>(s[0], s[1], s[2], with_bias);
}
TEST(Gemm, SmallAndOddSizesFloat) { check_gemms<float>(); }
TEST(Gemm, SmallAndOddSizesDouble) { check_gemms<double>(); }
TEST(Gemm, LongSumsOfFewRowsKeepTheirDigits) {
  const int64_t k = 1'000'000;
  const float each = 0.1f;
  for (int64_t m : {1, 2, 4})
    for (int64_t n : {1, 2, 4}) {
      const Buffer<float> a(m * k, each), b(n * k, 1.f), c(m * n), sums(m);
      gemm_and_sums(m, n, k, a.get(), 1, m, b.get(), n, 1, c.get(), sums.get());
      const double exact = double(k) * double(each);
      for (int64_t i = 0; i < m * n; i++) EXPECT_NEAR(c[i], exact, 1e-5 * exact) << m << " x " << n;
      for (int64_t i = 0; i < m; i++) EXPECT_NEAR(sums[i], exact, 1e-5 * exact) << m << " x " << n;
    }
}
TEST(Gemm, ZeroSizes) {
  for (bool with_bias : {false, true}) {
    check_gemm<float>(3, 4, 0, with_bias);
    check_gemm<double>(0, 4, 3, with_bias);
    check_gemm<float>(4, 0, 3, with_bias);
    check_gemm<double>(0, 0, 0, with_bias);
  }
}
TEST(Gemm, NaNAndInfinityStayInTheirRowsAndColumns) {
  const int64_t sizes[][3] = {{20, 40, 3},   {20, 40, 40},  {20, 40, 100}, {7, 100, 40},
                              {64, 200, 50}, {200, 40, 50}, {40, 200, 30}};
  for (const auto& [m, n, k] : sizes) {
    const Buffer<float> a(m * k, 1.f), b(k * n, 1.f), c(m * n);
    a[2 * k] = kNaN;
    b[n * (k - 1) + 5] = kInf;
    for (bool transposed : {false, true}) {
      // Transposed, b is read as [n, k] laid out along k: the infinity is at another place.
      gemm(m, n, k, a.get(), k, 1, b.get(), transposed ? 1 : n, transposed ? k : 1, nullptr, c.get(), n);
      const int64_t column = transposed ? (n * (k - 1) + 5) / k : 5;
      for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
          const float expected = i == 2 ? kNaN : j == column ? kInf : float(k);
          ASSERT_TRUE(same(c[i * n + j], expected)) << i << "," << j;
        }
    }
  }
}
TEST(Gemm, NaNAndInfinityStayInTheirRowsAndColumnsOfTallProducts) {
  const int64_t m = 37;
  for (int64_t n = 1; n <= 8; n++)
    for (int64_t k = 1; k <= 8; k++) {
      const Buffer<float> a(m * k, 1.f), b(k * n, 1.f), bias(n, 2.f), c(m * n);
      a[5 * k + k - 1] = kNaN;
      a[m * k - 1] = kInf;
      bias[n - 1] = -kInf;
      gemm(m, n, k, a.get(), k, 1, b.get(), 1, k, bias.get(), c.get(), n);
      for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
          const bool last = i == m - 1;
          const float finite = last ? kInf : float(k) + 2;
          const float expected = i == 5 || (last && j == n - 1) ? kNaN : j == n - 1 ? -kInf : finite;
          ASSERT_TRUE(same(c[i * n + j], expected)) << n << " " << k << " at " << i << "," << j;
        }
    }
}
template <class T>
void check_rows_alone() {
  const int64_t m = 37;
  for (int64_t n = 1; n <= 8; n++)
    for (int64_t k = 1; k <= 8; k++) {
      const Buffer<T> a(m * k), b(k * n), bias(n), all(m * n), row(n);
      for (int64_t i = 0; i < a.size; i++) a[i] = T(std::sin(double(i)));
      for (int64_t i = 0; i < b.size; i++) b[i] = T(std::cos(double(i)));
      for (int64_t j = 0; j < n; j++) bias[j] = T(std::sin(0.5 + double(j)));
      gemm(m, n, k, a.get(), k, 1, b.get(), 1, k, bias.get(), all.get(), n);
      for (int64_t i = 0; i < m; i++) {
        gemm(1, n, k, a.get() + i * k, k, 1, b.get(), 1, k, bias.get(), row.get(), n);
        ASSERT_EQ(std::memcmp(row.get(), all.get() + i * n, size_t(n) * sizeof(T)), 0)
            << n << " " << k << " row " << i;
      }
    }
}
TEST(Gemm, ASmallRowIsTheSameAloneAndInABatch) {
  check_rows_alone<float>();
  check_rows_alone<double>();
}
template <class T>
void check_rows_in_any_number() {
  const int64_t m = 260, n = 150, k = 67;
  for (const Lie& la : lies(m, k)) {
    const Buffer<T> a(la.size), b(k * n), bt(k * n), bias(n), all(m * n), some(m * n);
    for (int64_t i = 0; i < a.size; i++) a[i] = T(std::sin(double(i)));
    for (int64_t p = 0; p < k; p++)
      for (int64_t j = 0; j < n; j++) b[p * n + j] = bt[j * k + p] = T(std::cos(double(p * n + j)));
    for (int64_t j = 0; j < n; j++) bias[j] = T(std::sin(0.5 + double(j)));
    gemm(m, n, k, a.get(), la.row, la.col, b.get(), n, 1, bias.get(), all.get(), n);
    for (int64_t rows : {1, 4, 8, 12, 13, 20, 24, 25, 64, 129, 200, 260}) {
      gemm(rows, n, k, a.get(), la.row, la.col, b.get(), n, 1, bias.get(), some.get(), n);
      ASSERT_EQ(std::memcmp(some.get(), all.get(), size_t(rows * n) * sizeof(T)), 0) << rows;
      // With b contiguous along k, vectors are multiplied along it where that is faster: for less than 8
      // rows.
      if (rows < 8) continue;
      gemm(rows, n, k, a.get(), la.row, la.col, bt.get(), 1, k, bias.get(), some.get(), n);
      ASSERT_EQ(std::memcmp(some.get(), all.get(), size_t(rows * n) * sizeof(T)), 0) << rows << " turned";
    }
  }
}
TEST(Gemm, ARowIsTheSameInAnyNumberOfRows) {
  check_rows_in_any_number<float>();
  check_rows_in_any_number<double>();
}
template <class T>
void check_gemm_threads() {
  const int64_t sizes[][3] = {{20, 3000, 209}, {209, 20, 3000}, {150, 290, 310}, {1000, 70, 64},
                              {61, 97, 1000},  {64, 520, 400},  {520, 64, 400},  {6, 600, 1500},
                              {135001, 4, 4},  {270001, 1, 8},  {40001, 7, 8}};
  for (const auto& size : sizes) {
    const int64_t m = size[0], n = size[1], k = size[2];
    for (const Lie& la : lies(m, k))
      for (const Lie& lb : lies(k, n)) {
        const Buffer<T> a(la.size), b(lb.size), bias(n), one(m * n), many(m * n);
        for (int64_t i = 0; i < a.size; i++) a[i] = T(std::sin(double(i)));
        for (int64_t i = 0; i < b.size; i++) b[i] = T(std::cos(double(i)));
        for (int64_t j = 0; j < n; j++) bias[j] = T(std::sin(0.5 + double(j)));
        const auto run = [&](int threads, const Buffer<T>& c) {
          const Threads use(threads);
          gemm(m, n, k, a.get(), la.row, la.col, b.get(), lb.row, lb.col, bias.get(), c.get(), n);
        };
        run(1, one);
        for (int threads : {2, 4, 8}) {
          run(threads, many);
          ASSERT_EQ(std::memcmp(one.get(), many.get(), size_t(m * n) * sizeof(T)), 0)
              << m << " " << n << " " << k;
        }
        for (int q = 0; q < 50; q++) {
          const int64_t i = q * 7919 % m, j = q * 104729 % n;
          const Exact exact(a, la, b, lb, i, j, k, bias[j]);
          ASSERT_NEAR(double(one[i * n + j]), exact.value, exact.tolerance);
        }
      }
  }
}
TEST(GemmSlow, BitEqualForAnyNumberOfThreads) {
  check_gemm_threads<float>();
  check_gemm_threads<double>();
}

// ---- the pool

TEST(Parallel, EveryPieceOnceAndTheSamePieces) {
  std::vector<int64_t> first;
  for (int threads : {1, 2, 4, 8}) {
    const Threads use(threads);
    for (int repeat = 0; repeat < 200; repeat++) {
      std::vector<int> visits(1000);
      std::vector<std::atomic<int64_t>> ends(1001);
      parallel_for(1000, 7, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) visits[size_t(i)]++;
        ends[size_t(begin)] = end;
      });
      for (int v : visits) ASSERT_EQ(v, 1);
      std::vector<int64_t> pieces(ends.begin(), ends.end());
      if (first.empty()) first = pieces;
      ASSERT_EQ(pieces, first);
    }
  }
}
TEST(Parallel, UsesSeveralThreads) {
  const Threads use(2);
  // Each piece waits for the other: one thread alone would never finish.
  std::atomic<int> here{0};
  parallel_for(2, 1, [&](int64_t, int64_t) {
    here++;
    while (here < 2) std::this_thread::yield();
  });
  EXPECT_EQ(here, 2);
}
TEST(Parallel, SmallWorkIsNotSplit) {
  const Threads use(4);
  int calls = 0;
  parallel_for(19, 10, [&](int64_t begin, int64_t end) {
    calls++;
    EXPECT_EQ(begin, 0);
    EXPECT_EQ(end, 19);
  });
  parallel_for(0, 10, [&](int64_t, int64_t) { calls++; });
  EXPECT_EQ(calls, 1);
}
TEST(Parallel, NestedCallsStayInline) {
  const Threads use(4);
  std::atomic<int> total{0};
  parallel_for(8, 1, [&](int64_t, int64_t) {
    const auto self = std::this_thread::get_id();
    parallel_for(8, 1, [&](int64_t, int64_t) {
      EXPECT_EQ(std::this_thread::get_id(), self);
      total++;
    });
  });
  EXPECT_EQ(total, 64);
}
TEST(Parallel, ConcurrentCallers) {
  const Threads use(3);
  std::vector<std::thread> callers(4);
  std::atomic<int64_t> total{0};
  for (auto& c : callers)
    c = std::thread([&] {
      for (int repeat = 0; repeat < 300; repeat++)
        parallel_for(50, 3, [&](int64_t begin, int64_t end) { total += end - begin; });
    });
  for (auto& c : callers) c.join();
  EXPECT_EQ(total, 4 * 300 * 50);
}
TEST(Parallel, ExceptionsReachTheCaller) {
  for (int threads : {1, 4}) {
    const Threads use(threads);
    for (int repeat = 0; repeat < 50; repeat++)
      EXPECT_THROW(parallel_for(100, 1,
                                [&](int64_t begin, int64_t) {
                                  if (begin == 37) throw IndexError("37");
                                }),
                   IndexError);
    std::atomic<int> calls{0};
    parallel_for(10, 1, [&](int64_t, int64_t) { calls++; });
    EXPECT_EQ(calls, 10);
  }
}
TEST(Parallel, NumberOfThreads) {
  const int before = num_threads();
  EXPECT_GE(before, 1);
  EXPECT_THROW(set_num_threads(0), Error);
  EXPECT_EQ(num_threads(), before);
}
// ThreadSanitizer does not follow threads into a forked child.
#if defined(__unix__) && !defined(__SANITIZE_THREAD__)
TEST(Parallel, WorksInAForkedChild) {
  const Threads use(4);
  const auto run = [] {
    std::atomic<int64_t> total{0};
    parallel_for(1000, 10, [&](int64_t begin, int64_t end) { total += end - begin; });
    return total == 1000;
  };
  ASSERT_TRUE(run());
  const pid_t child = fork();
  if (child == 0) {
    const bool first = run(), again = run();
    _exit(first && again ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
#endif

TEST(Matmul, BatchesAreBitEqualForAnyNumberOfThreads) {
  for (const int64_t size : {24, 160}) {  // below and above what one product shares among threads
    const Layout ly(Shape{3, 70, size, size}), la(Shape{3, 70, size, size});
    Layout lb(Shape{3, 70, size, size});
    lb.strides[0] = 0;
    std::swap(lb.strides[2], lb.strides[3]);
    const auto a = sample<float>("", la), b = sample<float>("", lb);
    const Buffer<float> one(ly.numel()), many(ly.numel());
    {
      const Threads use(1);
      kernels::Matmul{writes(one, ly), reads(a), reads(b)}.run();
    }
    for (int64_t at : {int64_t{0}, ly.numel() / 2 + 7, ly.numel() - 1}) {
      double sum = 0;
      const int64_t row = at / size * size, col = at % size, matrix = at / (size * size);
      for (int64_t k = 0; k < size; k++)
        sum += double(a[row + k]) * double(b[matrix * size * size + k * size + col]);
      ASSERT_NEAR(one[at], sum, 1e-3);
    }
    for (int threads : {2, 4}) {
      const Threads use(threads);
      kernels::Matmul{writes(many, ly), reads(a), reads(b)}.run();
      ASSERT_EQ(one.values(), many.values());
    }
  }
}

}  // namespace
}  // namespace gradus
