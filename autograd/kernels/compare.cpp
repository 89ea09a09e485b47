#include <gradus/autograd/kernels/compare.h>
#include <gradus/autograd/kernels/rows.h>

#include <algorithm>
#include <cmath>
#include <compare>
#include <limits>
#include <utility>

namespace gradus::kernels {
namespace {

constexpr int64_t kGrain = 1 << 16;

template <class A, class B, class Op>
void compare_as(bool* y, const Shape& shape, const A* a, const Layout& la, const B* b, const Layout& lb,
                Op op) {
  const Layout ly(shape);
  parallel_rows(shape, {&ly, &la, &lb}, kGrain, [=](int64_t n, const int64_t* at, const int64_t* s) {
    bool* const yr = y + at[0];
    const A* const ar = a + at[1];
    const B* const br = b + at[2];
    if (s[0] == 1 && s[1] == 1 && s[2] == 1) {
      for (int64_t i = 0; i < n; i++) yr[i] = op(ar[i], br[i]);
    } else if (s[0] == 1 && s[1] == 1 && s[2] == 0) {
      const B c = *br;
      for (int64_t i = 0; i < n; i++) yr[i] = op(ar[i], c);
    } else if (s[0] == 1 && s[1] == 0 && s[2] == 1) {
      const A c = *ar;
      for (int64_t i = 0; i < n; i++) yr[i] = op(c, br[i]);
    } else {
      for (int64_t i = 0; i < n; i++) yr[i * s[0]] = op(ar[i * s[1]], br[i * s[2]]);
    }
  });
}

// std::is_lt and its like are not in libc++ 13.
using Order = std::partial_ordering;

/// How a and b compare as numbers.
Order order(int64_t a, int64_t b) { return a <=> b; }
Order order(int64_t a, double b) {
  // Where rounding a ends at b, b is an integer: an int64, or 2^63.
  if (const auto rounded = static_cast<double>(a) <=> b; rounded != Order::equivalent) return rounded;
  return b < 0x1p63 ? a <=> static_cast<int64_t>(b) : Order::less;
}
Order order(double a, int64_t b) {
  const auto turned = order(b, a);
  return turned == Order::less ? Order::greater : turned == Order::greater ? Order::less : turned;
}

/// The T that stands for a number: the largest that is not above it, or the smallest T where there is none. A
/// floating number is rounded to a floating T, but never up to infinity.
template <class T>
T nearest_of(int64_t number) {
  using Limits = std::numeric_limits<T>;
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(std::clamp<int64_t>(number, Limits::min(), Limits::max()));
  } else {
    const T rounded = static_cast<T>(number);
    return order(rounded, number) == Order::greater ? std::nextafter(rounded, -Limits::infinity()) : rounded;
  }
}
template <class T>
T nearest_of(double number) {
  if constexpr (std::is_integral_v<T>) {
    return nearest_of<T>(convert<int64_t>(std::floor(number)));
  } else {
    const T rounded = static_cast<T>(number);
    return std::isinf(number) ? rounded : std::min(rounded, std::numeric_limits<T>::max());
  }
}

/// How that T compares with the number.
template <class T, class Number>
Order side_of(T nearest, Number number) {
  if constexpr (std::is_integral_v<T>)
    return order(static_cast<int64_t>(nearest), number);
  else if constexpr (std::is_integral_v<Number>)
    return order(static_cast<double>(nearest), number);
  else if (std::isinf(static_cast<T>(number)))
    return static_cast<double>(nearest) <=> number;
  else
    return Order::equivalent;
}

template <class T, class Number>
Comparison comparable_as(Compare op, Number number) {
  using Limits = std::numeric_limits<T>;
  const T nearest = nearest_of<T>(number);
  const auto side = side_of(nearest, number);
  if (side == Order::equivalent) return {op, nearest};
  // No T is the number, so that x < number is x <= nearest.
  const bool smaller = op == Compare::Less || op == Compare::LessEqual;
  const bool larger = op == Compare::Greater || op == Compare::GreaterEqual;
  if (side == Order::less && smaller) return {Compare::LessEqual, nearest};
  if (side == Order::less && larger) return {Compare::Greater, nearest};
  // Of all x alike, NaN included.
  const bool always = op == Compare::NotEqual || (side == Order::greater && larger);
  if constexpr (std::is_integral_v<T>)
    return {always ? Compare::GreaterEqual : Compare::Less, Limits::min()};
  else
    return {always ? Compare::NotEqual : Compare::Equal, Limits::quiet_NaN()};
}

/// compare(f), where f(a, b) says whether `a op b` holds for numbers of two dtypes.
void compare_numbers(Compare op, auto compare) {
  const auto run = [&](auto holds) { compare([holds](auto p, auto q) { return holds(order(p, q)); }); };
  switch (op) {
    case Compare::Equal: return run([](auto o) { return o == Order::equivalent; });
    case Compare::NotEqual: return run([](auto o) { return o != Order::equivalent; });
    case Compare::Less: return run([](auto o) { return o == Order::less; });
    default: return run([](auto o) { return o == Order::less || o == Order::equivalent; });
  }
}

template <class T>
void where_as(T* y, const Shape& shape, const bool* c, const Layout& lc, const T* a, const Layout& la,
              const T* b, const Layout& lb) {
  const Layout ly(shape);
  parallel_rows(shape, {&ly, &lc, &la, &lb}, kGrain, [=](int64_t n, const int64_t* at, const int64_t* s) {
    T* const yr = y + at[0];
    const bool* const cr = c + at[1];
    const T* const ar = a + at[2];
    const T* const br = b + at[3];
    // Both are read, so that the choice needs no branch.
    const auto choose = [=](int64_t to, int64_t by, auto yes, auto no) {
      for (int64_t i = 0; i < n; i++) {
        const T p = yes(i), q = no(i);
        yr[i * to] = cr[i * by] ? p : q;
      }
    };
    const auto each = [](const T* x) { return [x](int64_t i) { return x[i]; }; };
    const auto same = [](const T* x) { return [x = *x](int64_t) { return x; }; };
    const bool dense = s[0] == 1 && s[1] == 1;
    if (dense && s[2] == 1 && s[3] == 1)
      choose(1, 1, each(ar), each(br));
    else if (dense && s[2] == 1 && s[3] == 0)
      choose(1, 1, each(ar), same(br));
    else if (dense && s[2] == 0 && s[3] == 1)
      choose(1, 1, same(ar), each(br));
    else
      choose(
          s[0], s[1], [=](int64_t i) { return ar[i * s[2]]; }, [=](int64_t i) { return br[i * s[3]]; });
  });
}

}  // namespace

void Compared::run() const {
  if (op == Compare::Greater) return Compared{Compare::Less, y, b, a}.run();
  if (op == Compare::GreaterEqual) return Compared{Compare::LessEqual, y, b, a}.run();
  const auto with = [&]<class A, class B>(A, B, auto f) {
    compare_as(y.first<bool>(), y.layout->shape, a.at<const A>(), *a.layout, b.at<const B>(), *b.layout, f);
  };
  if (a.dtype != b.dtype)
    return dispatch_floating(a.dtype == kInt64 ? b.dtype : a.dtype, [&]<class T>(T) {
      if (a.dtype == kInt64)
        compare_numbers(op, [&](auto f) { with(int64_t(), T(), f); });
      else
        compare_numbers(op, [&](auto f) { with(T(), int64_t(), f); });
    });
  dispatch(a.dtype, [&]<class T>(T zero) {
    switch (op) {
      case Compare::Equal: return with(zero, zero, [](T p, T q) { return p == q; });
      case Compare::NotEqual: return with(zero, zero, [](T p, T q) { return p != q; });
      case Compare::Less: return with(zero, zero, [](T p, T q) { return p < q; });
      case Compare::Same:  // NOLINTNEXTLINE(misc-redundant-expression): for NaN, without a branch
        return with(zero, zero, [](T p, T q) { return (p == q) | ((p != p) & (q != q)); });
      default: return with(zero, zero, [](T p, T q) { return p <= q; });
    }
  });
}

Comparison comparable(Compare op, Scalar number, Dtype dtype) {
  return dispatch(dtype, [&]<class T>(T) {
    return is_floating(number.dtype()) ? comparable_as<T>(op, number.to<double>())
                                       : comparable_as<T>(op, number.to<int64_t>());
  });
}

void Where::run() const {
  dispatch(y.dtype, [&]<class T>(T) {
    where_as(y.first<T>(), y.layout->shape, c.at<const bool>(), *c.layout, a.at<const T>(), *a.layout,
             b.at<const T>(), *b.layout);
  });
}

}  // namespace gradus::kernels
