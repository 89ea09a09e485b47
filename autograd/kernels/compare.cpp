#include <gradus/autograd/kernels/compare.h>
#include <gradus/autograd/kernels/rows.h>

#include <utility>

namespace gradus::kernels {
namespace {

constexpr int64_t kGrain = 1 << 16;

template <class T, class Op>
void compare_as(bool* y, const Shape& shape, const T* a, const Layout& la, const T* b, const Layout& lb,
                Op op) {
  const Layout ly(shape);
  parallel_rows(shape, {&ly, &la, &lb}, kGrain, [=](int64_t n, const int64_t* at, const int64_t* s) {
    bool* const yr = y + at[0];
    const T* const ar = a + at[1];
    const T* const br = b + at[2];
    if (s[0] == 1 && s[1] == 1 && s[2] == 1) {
      for (int64_t i = 0; i < n; i++) yr[i] = op(ar[i], br[i]);
    } else if (s[0] == 1 && s[1] == 1 && s[2] == 0) {
      const T c = *br;
      for (int64_t i = 0; i < n; i++) yr[i] = op(ar[i], c);
    } else if (s[0] == 1 && s[1] == 0 && s[2] == 1) {
      const T c = *ar;
      for (int64_t i = 0; i < n; i++) yr[i] = op(c, br[i]);
    } else {
      for (int64_t i = 0; i < n; i++) yr[i * s[0]] = op(ar[i * s[1]], br[i * s[2]]);
    }
  });
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

void compare(Compare op, Dtype dtype, bool* y, const Shape& shape, const void* a, const Layout& la,
             const void* b, const Layout& lb) {
  if (op == Compare::Greater) return compare(Compare::Less, dtype, y, shape, b, lb, a, la);
  if (op == Compare::GreaterEqual) return compare(Compare::LessEqual, dtype, y, shape, b, lb, a, la);
  dispatch(dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto run = [&](auto f) {
      compare_as(y, shape, static_cast<const T*>(a), la, static_cast<const T*>(b), lb, f);
    };
    switch (op) {
      case Compare::Equal: return run([](T p, T q) { return p == q; });
      case Compare::NotEqual: return run([](T p, T q) { return p != q; });
      case Compare::Less: return run([](T p, T q) { return p < q; });
      case Compare::Same:  // NOLINTNEXTLINE(misc-redundant-expression): for NaN, without a branch
        return run([](T p, T q) { return (p == q) | ((p != p) & (q != q)); });
      default: return run([](T p, T q) { return p <= q; });
    }
  });
}

void where(Dtype dtype, void* y, const Shape& shape, const bool* c, const Layout& lc, const void* a,
           const Layout& la, const void* b, const Layout& lb) {
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    where_as(static_cast<T*>(y), shape, c, lc, static_cast<const T*>(a), la, static_cast<const T*>(b), lb);
  };
  dispatch(dtype, run);
}

}  // namespace gradus::kernels
