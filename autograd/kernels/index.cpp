#include <gradus/autograd/kernels/element.h>
#include <gradus/autograd/kernels/index.h>
#include <gradus/autograd/kernels/rows.h>

namespace gradus::kernels {
namespace {

constexpr int64_t kGrain = 1 << 14;

/// `l` seen with the shape of the index, where `dim` is not walked but chosen.
Layout chosen(Layout l, const Shape& shape, int dim) {
  l.shape = shape;
  if (shape.rank() > 0) l.strides[dim] = 0;
  return l;
}
int64_t stride_of(const Layout& l, int dim) { return l.rank() > 0 ? l.strides[dim] : 0; }

}  // namespace

int64_t first_out_of_range(const int64_t* index, const Layout& li, int64_t size,
                           std::optional<int64_t> ignored) {
  // The first of equal elements is enough.
  const Layout position(li.shape);
  Layout once;
  const Layout& read = repeats(li, ~0u, once) > 1 ? once : li;
  int64_t first = -1;
  for_each_row(read.shape, {&read, &position}, [&](int64_t n, const int64_t* at, const int64_t* s) {
    for (int64_t i = 0; i < n; i++) {
      const int64_t v = index[at[0] + i * s[0]], here = at[1] + i * s[1];
      if ((v < 0 || v >= size) && v != ignored && (first < 0 || here < first)) first = here;
    }
  });
  return first;
}

void Gather::run() const {
  const Layout &li = *index.layout, ly(li.shape), from = chosen(*x.layout, li.shape, dim);
  const int64_t step = stride_of(*x.layout, dim);
  dispatch(x.dtype, [&]<class T>(T) {
    T* const to = y.first<T>();
    const T* const xs = x.at<const T>();
    const int64_t* const is = index.at<const int64_t>();
    parallel_rows(li.shape, {&ly, &li, &from}, kGrain, [=](int64_t n, const int64_t* at, const int64_t* s) {
      T* const yr = to + at[0];
      const int64_t* const ir = is + at[1];
      const T* const xr = xs + at[2];
      for (int64_t i = 0; i < n; i++) yr[i * s[0]] = xr[i * s[2] + ir[i * s[1]] * step];
    });
  });
}

void ScatterAdd::run() const {
  const Layout& li = *index.layout;
  const Layout to = chosen(*y.layout, li.shape, dim);
  const int64_t step = stride_of(*y.layout, dim);
  dispatch(y.dtype, [&]<class T>(T) {
    // Only indices along `dim` can meet in one element, and every loop goes upwards: the order is fixed.
    for_each_row(li.shape, {&to, &li, x.layout}, [&](int64_t n, const int64_t* at, const int64_t* s) {
      T* const yr = y.at<T>() + at[0];
      const int64_t* const ir = index.at<const int64_t>() + at[1];
      const T* const xr = x.at<const T>() + at[2];
      for (int64_t i = 0; i < n; i++) {
        T& sum = yr[i * s[0] + ir[i * s[1]] * step];
        sum = plus(sum, xr[i * s[2]]);
      }
    });
  });
}

void AddTo::run() const {
  dispatch(y.dtype, [&]<class T>(T) {
    for_each_row(y.layout->shape, {y.layout, g.layout}, [&](int64_t n, const int64_t* at, const int64_t* s) {
      T* const yr = y.at<T>() + at[0];
      const T* const gr = g.at<const T>() + at[1];
      if (s[0] == 1 && s[1] == 1) {
        for (int64_t i = 0; i < n; i++) yr[i] = plus(yr[i], gr[i]);
      } else {
        for (int64_t i = 0; i < n; i++) yr[i * s[0]] = plus(yr[i * s[0]], gr[i * s[1]]);
      }
    });
  });
}

}  // namespace gradus::kernels
