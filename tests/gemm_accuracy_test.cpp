// Long sums keep their digits: products and sums are about as exact as blocks of 256 terms that start at 0
// and whose totals are added without rounding.
#include <gradus/autograd/kernels/reduce.h>
#include <gradus/gradus.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "gemm_support.h"

namespace {

using namespace gradus;

enum class Numbers { positive, both_signs, tenths };
const char* name_of(Numbers numbers) {
  return numbers == Numbers::positive ? "positive" : numbers == Numbers::both_signs ? "both signs" : "tenths";
}
template <class T>
std::vector<T> make_numbers(Numbers numbers, int64_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<T> u(numbers == Numbers::positive ? 0 : -1, 1);
  std::vector<T> x(static_cast<size_t>(n), T(0.1));
  if (numbers != Numbers::tenths)
    for (T& v : x) v = u(random);
  return x;
}

/// A sum with the rounding errors of its additions.
struct ExactSum {
  long double sum = 0, error = 0;
  void add(long double x) {
    const long double total = sum + x, added = total - sum;
    error += (sum - (total - added)) + (x - added);
    sum = total;
  }
  long double value() const { return sum + error; }
};
/// Σ a[i] b[i] + bias.
template <class T>
long double exact_sum(int64_t k, const T* a, int64_t a_step, const T* b, int64_t b_step, T bias) {
  ExactSum sum;
  for (int64_t p = 0; p < k; p++) sum.add(static_cast<long double>(a[p * a_step]) * b[p * b_step]);
  sum.add(bias);
  return sum.value();
}
/// The same from blocks of 256.
template <class T>
T sum_of_blocks(int64_t k, const T* a, int64_t a_step, const T* b, int64_t b_step, T bias) {
  ExactSum sum;
  for (int64_t q = 0; q < k; q += 256) {
    T block = 0;
    for (int64_t p = q; p < std::min(k, q + 256); p++) block += a[p * a_step] * b[p * b_step];
    sum.add(block);
  }
  sum.add(bias);
  return static_cast<T>(sum.value());
}

/// The largest errors of elements of one product.
template <class T>
struct Errors {
  long double ours = 0, of_blocks = 0, largest = 0;
  void compare(T y, long double exact, T blocks) {
    ours = std::max(ours, std::abs(y - exact));
    of_blocks = std::max(of_blocks, std::abs(blocks - exact));
    largest = std::max(largest, std::abs(exact));
  }
  /// That of blocks may happen to be next to nothing.
  bool small() const { return ours <= 4 * of_blocks + largest * std::numeric_limits<T>::epsilon(); }
  std::string text() const {
    const long double unit = largest * std::numeric_limits<T>::epsilon();
    return "wrong by " + std::to_string(double(ours / unit)) + " units, blocks of 256 by " +
           std::to_string(double(of_blocks / unit));
  }
};

enum class Lies { along_k, across };
struct Case {
  int64_t m, n, k;
  Lies a, b;
};
/// `bias` is how large it is; without one, the rows are summed too.
template <class T>
void check_product(const Case& c, Numbers numbers, T bias) {
  const auto& [m, n, k, lie_a, lie_b] = c;
  const auto a = make_numbers<T>(numbers, m * k, 1), b = make_numbers<T>(numbers, k * n, 2);
  auto biases = make_numbers<T>(Numbers::positive, n, 3);
  for (T& x : biases) x *= bias;
  std::vector<T> y(static_cast<size_t>(m * n)), sums(static_cast<size_t>(m));
  const std::vector<T> one = {T(1)};
  const int64_t a_row = lie_a == Lies::along_k ? k : 1, a_col = lie_a == Lies::along_k ? 1 : m,
                b_row = lie_b == Lies::along_k ? 1 : n, b_col = lie_b == Lies::along_k ? k : 1;
  if (bias == 0)
    gemm_and_sums(m, n, k, a.data(), a_row, a_col, b.data(), b_row, b_col, y.data(), sums.data());
  else
    gemm(m, n, k, a.data(), a_row, a_col, b.data(), b_row, b_col, biases.data(), y.data(), n);
  const std::string what = std::to_string(m) + " x " + std::to_string(n) + " x " + std::to_string(k) + " " +
                           name_of(numbers) + ", a " + std::to_string(a_row) + ", b " + std::to_string(b_row);
  Errors<T> errors, errors_of_sums;
  const int64_t some = std::min(m * n, std::max<int64_t>(8, 300'000 / k));
  for (int64_t s = 0; s < some; s++) {
    const int64_t at = some == m * n ? s : s * 7919 % (m * n), i = at / n, j = at % n;
    const T *const row = &a[size_t(i * a_row)], *const column = &b[size_t(j * b_col)];
    errors.compare(y[size_t(at)], exact_sum(k, row, a_col, column, b_row, biases[size_t(j)]),
                   sum_of_blocks(k, row, a_col, column, b_row, biases[size_t(j)]));
    if (bias == 0)
      errors_of_sums.compare(sums[size_t(i)], exact_sum(k, row, a_col, one.data(), 0, T(0)),
                             sum_of_blocks(k, row, a_col, one.data(), 0, T(0)));
  }
  EXPECT_TRUE(errors.small()) << what << ", bias " << bias << ": " << errors.text();
  EXPECT_TRUE(errors_of_sums.small()) << what << ", sums: " << errors_of_sums.text();
}

constexpr Lies k_ = Lies::along_k, x_ = Lies::across;
/// Every way to compute a product, at every level: outer, dot, panels of few, some and many rows, copied and
/// not, turned, wide.
const Case kCases[] = {{4, 4, 1, x_, x_},     {2, 4, 1, x_, x_},    {4, 2, 1, x_, x_},    {30, 20, 1, k_, k_},
                       {7, 40, 1, k_, k_},    {5, 8, 1, x_, x_},    {8, 9, 1, k_, x_},    {60, 40, 1, k_, x_},
                       {60, 40, 1, x_, x_},   {150, 33, 1, k_, x_}, {150, 33, 1, x_, k_}, {33, 60, 1, k_, k_},
                       {150, 160, 1, k_, k_}, {20, 40, 1, k_, x_},  {7, 70, 1, k_, x_},   {7, 70, 1, x_, x_}};

template <class T>
void check_products(std::initializer_list<int64_t> lengths) {
  for (Case c : kCases)
    for (const int64_t k : lengths)
      for (const Numbers numbers : {Numbers::positive, Numbers::both_signs, Numbers::tenths}) {
        c.k = k;
        for (const T bias : {T(0), T(1), T(100 * k)}) check_product<T>(c, numbers, bias);
      }
}
TEST(GemmAccuracy, Float) { check_products<float>({5, 40, 257, 1000, 4097, 12288}); }
TEST(GemmAccuracy, Double) { check_products<double>({5, 40, 257, 1000, 4097, 12288}); }
TEST(GemmAccuracy, VeryLongSums) {
  for (const Case& c : {Case{4, 8, 1'000'000, x_, x_},
                        {4, 4, 1'000'000, x_, x_},
                        {3, 5, 300'000, k_, x_},
                        {9, 5, 300'000, k_, k_},
                        {20, 33, 100'000, k_, x_}})
    for (const Numbers numbers : {Numbers::positive, Numbers::both_signs, Numbers::tenths}) {
      check_product<float>(c, numbers, 0);
      check_product<double>(c, numbers, 0);
    }
}
TEST(GemmAccuracy, TallProducts) {
  for (int64_t n = 1; n <= 8; n++)
    for (int64_t k = 1; k <= 8; k++)
      for (const Lies lie : {k_, x_}) {
        check_product<float>({50, n, k, k_, lie}, Numbers::both_signs, 1000);
        check_product<double>({50, n, k, k_, lie}, Numbers::both_signs, 1000);
      }
}

TEST(GemmAccuracy, GradientOfAThinLayerOfManySamples) {
  const Tensor w = zeros({4, 8}).requires_grad_(), b = zeros({4}).requires_grad_();
  linear(full({1'000'000, 8}, 0.1), w, b).sum().backward();
  for (int64_t i = 0; i < 4; i++) {
    EXPECT_NEAR(b.grad().at({i}), 1e6, 0);
    for (int64_t j = 0; j < 8; j++) EXPECT_NEAR(w.grad().at({i, j}), 1e5, 0.5);
  }
}

TEST(GemmAccuracy, LongSumsAreBitEqualForAnyNumberOfThreadsAndRows) {
  const int threads = num_threads();
  for (const Case& c : {Case{300, 70, 9000, k_, x_},
                        {300, 70, 9000, x_, k_},
                        {70, 300, 9000, k_, k_},
                        {20, 900, 9000, k_, x_},
                        {600, 500, 4100, x_, x_}}) {
    const int64_t m = c.m, n = c.n, k = c.k;
    const auto a = make_numbers<float>(Numbers::both_signs, m * k, 1),
               b = make_numbers<float>(Numbers::both_signs, k * n, 2);
    const auto run = [&](int64_t rows, int use) {
      std::vector<float> y(static_cast<size_t>(rows * n));
      set_num_threads(use);
      gemm(rows, n, k, a.data(), c.a == k_ ? k : 1, c.a == k_ ? 1 : m, b.data(), c.b == k_ ? 1 : n,
           c.b == k_ ? k : 1, b.data(), y.data(), n);
      return y;
    };
    const std::vector<float> all = run(m, 1);
    EXPECT_EQ(run(m, 2), all) << m << " x " << n;
    EXPECT_EQ(run(m, 5), all) << m << " x " << n;
    for (const int64_t rows : {m / 2 + 1, std::min<int64_t>(m, 33), int64_t{13}}) {
      const std::vector<float> some = run(rows, 1);
      EXPECT_EQ(std::memcmp(some.data(), all.data(), some.size() * sizeof(float)), 0) << rows << " of " << m;
    }
  }
  set_num_threads(threads);
}

TEST(GemmAccuracy, InfinitiesOfLongSumsStay) {
  const int64_t k = 9000;
  for (const Lies lie : {k_, x_}) {
    std::vector<float> a(static_cast<size_t>(5 * k), 1), b(static_cast<size_t>(k * 40), 1), y(200);
    a[size_t(lie == k_ ? 2 * k + 5000 : 2 + 5 * 5000)] = std::numeric_limits<float>::infinity();
    gemm(5, 40, k, a.data(), lie == k_ ? k : 1, lie == k_ ? 1 : 5, b.data(), 40, 1, nullptr, y.data(), 40);
    for (int64_t at = 0; at < 200; at++)
      EXPECT_EQ(y[size_t(at)], at / 40 == 2 ? std::numeric_limits<float>::infinity() : float(k)) << at;
  }
}

/// Sums of doubles, over rows (all of x), over columns, and of one column of many.
TEST(SumAccuracy, LongSumsOfDoubles) {
  for (const Numbers numbers : {Numbers::positive, Numbers::both_signs, Numbers::tenths})
    for (const int64_t cols : {1, 3, 4, 40, 100})
      for (const int64_t rows : {300, 5000, 60'000, 400'000}) {
        // Few numbers near 0 would tell what luck they had.
        if (rows * cols > 3'000'000 || (numbers == Numbers::both_signs && cols < 40)) continue;
        const auto x = make_numbers<double>(numbers, rows * cols, 4);
        const std::vector<double> one = {1};
        const std::string what = std::to_string(rows) + " x " + std::to_string(cols) + " " + name_of(numbers);
        std::vector<double> y(static_cast<size_t>(cols));
        Errors<double> errors, errors_of_all;
        kernels::Sum{writes(y.data(), Layout(Shape{cols})), reads(x.data(), Layout(Shape{rows, cols})), 1}
            .run();
        for (int64_t j = 0; j < cols; j++)
          errors.compare(y[size_t(j)], exact_sum(rows, &x[size_t(j)], cols, one.data(), 0, 0.0),
                         sum_of_blocks(rows, &x[size_t(j)], cols, one.data(), 0, 0.0));
        EXPECT_TRUE(errors.small()) << what << ": " << errors.text();
        if (numbers == Numbers::both_signs) continue;
        kernels::Sum{writes(y.data(), Layout(Shape{})), reads(x.data(), Layout(Shape{rows, cols})), 3}.run();
        errors_of_all.compare(y[0], exact_sum(rows * cols, x.data(), 1, one.data(), 0, 0.0),
                              sum_of_blocks(rows * cols, x.data(), 1, one.data(), 0, 0.0));
        EXPECT_TRUE(errors_of_all.small()) << what << ", all: " << errors_of_all.text();
      }
}

}  // namespace
