#include <gradus/autograd/kernels/copy.h>
#include <gradus/autograd/kernels/element.h>
#include <gradus/autograd/kernels/rows.h>

#include <cstring>

namespace gradus::kernels {
namespace {

constexpr int64_t kGrain = 1 << 16;

template <class To, class From>
void copy_row(int64_t n, To* y, int64_t sy, const From* x, int64_t sx) {
  if (sy == 1 && sx == 1) {
    if constexpr (std::is_same_v<To, From>) {
      std::memmove(y, x, static_cast<size_t>(n) * sizeof(To));
    } else {
      for (int64_t i = 0; i < n; i++) y[i] = convert<To>(x[i]);
    }
  } else if (sy == 1 && sx == 0) {
    std::fill(y, y + n, convert<To>(*x));
  } else {
    for (int64_t i = 0; i < n; i++) y[i * sy] = convert<To>(x[i * sx]);
  }
}

/// y[i, j] = x[i, j]: y has rows of stride `sy`, x columns of stride `sx`. Tiles of 8 x 8 stay in the
/// first-level cache even where all their rows fall into one set of it; blocks of tiles touch few pages.
template <class To, class From>
void transpose(int64_t rows, int64_t cols, To* y, int64_t sy, const From* x, int64_t sx) {
  constexpr int64_t kTile = 8, kBlock = 64;
  const auto tile = [=](int64_t i0, int64_t j0, int64_t height, int64_t width) {
    for (int64_t j = j0; j < j0 + width; j++)
      for (int64_t i = i0; i < i0 + height; i++) y[i * sy + j] = convert<To>(x[i + j * sx]);
  };
  for (int64_t i0 = 0; i0 < rows; i0 += kBlock)
    for (int64_t j0 = 0; j0 < cols; j0 += kBlock)
      for (int64_t i = i0; i < std::min(rows, i0 + kBlock); i += kTile)
        for (int64_t j = j0; j < std::min(cols, j0 + kBlock); j += kTile) {
          if (i + kTile <= rows && j + kTile <= cols)
            tile(i, j, kTile, kTile);
          else
            tile(i, j, std::min(kTile, rows - i), std::min(kTile, cols - j));
        }
}

/// The dim of at least 8 elements that `l` steps through one by one, or -1.
int unit_dim(const Layout& l) {
  for (int i = l.rank(); i-- > 0;)
    if (l.strides[i] == 1 && l.shape[i] >= 8) return i;
  return -1;
}

template <class To, class From>
void copy_as(To* y, const Layout& ly, const From* x, const Layout& lx) {
  if (ly.rank() >= 2) {
    const int row = unit_dim(lx), col = unit_dim(ly);
    if (row >= 0 && col >= 0 && row != col && ly.strides[row] != 1 && lx.strides[col] != 1) {
      const int64_t rows = ly.shape[row], cols = ly.shape[col], sy = ly.strides[row], sx = lx.strides[col];
      Shape outer = ly.shape;
      outer[row] = outer[col] = 1;
      for_each_row(outer, {&ly, &lx}, [&](int64_t n, const int64_t* at, const int64_t* s) {
        for (int64_t i = 0; i < n; i++) {
          To* const yi = y + at[0] + i * s[0];
          const From* const xi = x + at[1] + i * s[1];
          parallel_for(rows, kGrain / cols + 1, [&](int64_t begin, int64_t end) {
            transpose(end - begin, cols, yi + begin * sy, sy, xi + begin, sx);
          });
        }
      });
      return;
    }
  }
  parallel_rows(ly.shape, {&ly, &lx}, kGrain, [&](int64_t n, const int64_t* at, const int64_t* s) {
    copy_row(n, y + at[0], s[0], x + at[1], s[1]);
  });
}

}  // namespace

void Copy::run() const {
  dispatch(y.dtype, [&]<class To>(To) {
    dispatch(x.dtype,
             [&]<class From>(From) { copy_as(y.at<To>(), *y.layout, x.at<const From>(), *x.layout); });
  });
}

void Fill::run() const {
  dispatch(y.dtype, [&]<class T>(T) {
    const T v = value.to<T>();
    if (y.layout->rank() == 0) return static_cast<void>(*y.first<T>() = v);
    parallel_rows(y.layout->shape, {y.layout}, kGrain, [&](int64_t n, const int64_t* at, const int64_t* s) {
      copy_row<T, T>(n, y.at<T>() + at[0], s[0], &v, 0);
    });
  });
}

}  // namespace gradus::kernels
