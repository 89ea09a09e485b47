#include <gradus/autograd/kernels/copy.h>
#include <gradus/autograd/kernels/element.h>
#include <gradus/autograd/kernels/isa.h>
#include <gradus/autograd/kernels/reduce.h>
#include <gradus/autograd/kernels/reduce_rows.h>
#include <gradus/autograd/kernels/rows.h>

GRADUS_TABLE_OF_LEVELS(kernels::ReduceTable, reduce_table)

namespace gradus::kernels {
namespace {

const ReduceTable& table() {
  static const ReduceTable& in_use = *reduce_table_of(level_in_use());
  return in_use;
}

template <class T>
const ReduceRows<T>& rows_of() {
  if constexpr (std::is_same_v<T, float>)
    return table().f32;
  else if constexpr (std::is_same_v<T, double>)
    return table().f64;
  else if constexpr (std::is_same_v<T, int64_t>)
    return table().i64;
  else
    return table().u8;
}

/// Some 20 us of reading.
constexpr int64_t kGrain = 1 << 16;
/// One long reduction is cut into at most this many pieces, whatever the number of threads.
constexpr int64_t kMaxPieces = 64;

/// The dims of x whose bit is (or is not) set.
Layout part(const Layout& x, uint32_t dims, bool set) {
  Layout l;
  for (int i = 0; i < x.rank(); i++) {
    if ((dims >> i & 1) != set) continue;
    l.strides[l.rank()] = x.strides[i];
    l.shape.push_back(x.shape[i]);
  }
  return l;
}

/// n times the sum; integers wrap.
template <class Acc>
constexpr Acc times(Acc sum, int64_t n) {
  if (n == 1) return sum;
  if constexpr (std::is_floating_point_v<Acc>)
    return sum * static_cast<Acc>(n);
  else
    return static_cast<Acc>(static_cast<uint64_t>(sum) * static_cast<uint64_t>(n));
}

/// One reduction of x into y = out(repeats · accumulator). A tile is a result, or up to kFoldColumns
/// neighbouring ones.
template <class T, class Acc, class Out>
void reduce(const Fold<T, Acc>& fold, const Fold<Acc, Acc>& combine, Acc start, Out* y, const T* x,
            const Layout& lx, uint32_t dims, int64_t repeats) {
  // The everyday cases need no walk: everything, or the rows of a narrow matrix.
  const int64_t cols = lx.rank() == 2 && dims == 1 ? lx.shape[1] : 1;
  const int64_t rows = lx.numel() / std::max<int64_t>(cols, 1);
  if ((cols > 1 || dims == (1u << lx.rank()) - 1) && cols <= kFoldColumns && rows * cols < 2 * kGrain &&
      lx.contiguous()) {
    if (cols <= 1) {
      fold.row(&start, x + lx.offset, rows);
      *y = static_cast<Out>(times(start, repeats));
      return;
    }
    Acc acc[kFoldColumns];
    for (int64_t j = 0; j < cols; j++) acc[j] = start;
    fold.columns(acc, x + lx.offset, rows, cols, cols);
    for (int64_t j = 0; j < cols; j++) y[j] = static_cast<Out>(times(acc[j], repeats));
    return;
  }

  Layout kept = part(lx, dims, false);
  kept.offset = lx.offset;
  const Layout reduced = part(lx, dims, true), ly(kept.shape);
  const Rows<1> inner(reduced.shape, {&reduced});
  const int64_t inner_rows = inner.count(), inner_length = inner.length(),
                inner_size = inner_rows * inner_length;

  const bool cut_row = inner_rows == 1;

  for_each_row(kept.shape, {&ly, &kept}, [&](int64_t n, const int64_t* at, const int64_t* s) {
    Out* const yr = y + at[0];
    const T* const xr = x + at[1];
    const bool columns = n > 1 && s[0] == 1 && s[1] == 1 && inner.stride(0) != 1;
    const int64_t width = columns ? kFoldColumns : 1, tiles = (n + width - 1) / width;
    const auto cols_of = [&](int64_t tile) { return std::min(width, n - tile * width); };

    const auto fold_piece = [&](Acc* acc, int64_t tile, int64_t piece, int64_t pieces) {
      const T* const from = xr + tile * width * s[1];
      const int64_t cols = cols_of(tile);
      const int64_t cut = cut_row ? inner_length : inner_rows;
      const int64_t begin = cut * piece / pieces, end = cut * (piece + 1) / pieces;
      for (int64_t j = 0; j < cols; j++) acc[j] = start;
      inner.run(cut_row ? 0 : begin, cut_row ? 1 : end,
                [&](int64_t length, const int64_t* offset, const int64_t* stride) {
                  const T* const first = from + *offset + (cut_row ? begin * *stride : 0);
                  if (cut_row) length = end - begin;
                  if (!columns && *stride == 1)
                    fold.row(acc, first, length);
                  else
                    fold.columns(acc, first, length, *stride, cols);
                });
    };
    const auto store = [&](const Acc* acc, int64_t tile) {
      for (int64_t j = 0; j < cols_of(tile); j++)
        yr[(tile * width + j) * s[0]] = static_cast<Out>(times(acc[j], repeats));
    };
    const auto whole_tiles = [&](int64_t begin, int64_t end) {
      Acc acc[kFoldColumns];
      for (int64_t tile = begin; tile < end; tile++) {
        fold_piece(acc, tile, 0, 1);
        store(acc, tile);
      }
    };

    const int64_t tile_size = inner_size * std::min(width, n);
    if (n * inner_size < 2 * kGrain) return whole_tiles(0, tiles);
    if (tiles >= 16 || tile_size < 2 * kGrain)
      return parallel_for(tiles, kGrain / (tile_size + 1) + 1, whole_tiles);
    const int64_t pieces = std::min(kMaxPieces, tile_size / kGrain);
    for (int64_t tile = 0; tile < tiles; tile++) {
      Acc partial[kMaxPieces][kFoldColumns];
      parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; p++) fold_piece(partial[p], tile, p, pieces);
      });
      for (int64_t step = 1; step < pieces; step *= 2)
        for (int64_t p = 0; p + step < pieces; p += 2 * step)
          combine.columns(partial[p], partial[p + step], 1, kFoldColumns, cols_of(tile));
      store(partial[0], tile);
    }
  });
}

int64_t size_along(const Layout& l, int dim) { return l.rank() > 0 ? l.shape[dim] : 1; }
int64_t stride_along(const Layout& l, int dim) { return l.rank() > 0 ? l.strides[dim] : 0; }

/// Calls f(offset in y, offset in x) for every line along `dim` that has elements; ly is x's layout or that
/// of the other dims alone.
template <class F>
void for_each_line(const Layout& ly, const Layout& lx, int dim, F f) {
  if (lx.numel() == 0) return;
  const uint32_t bit = lx.rank() > 0 ? 1u << dim : 0;
  Layout from = part(lx, bit, false);
  from.offset = lx.offset;
  const Layout to = ly.rank() == lx.rank() ? part(ly, bit, false) : ly;
  parallel_rows(from.shape, {&to, &from}, kGrain / size_along(lx, dim) + 1,
                [&](int64_t n, const int64_t* at, const int64_t* s) {
                  for (int64_t i = 0; i < n; i++) f(at[0] + i * s[0], at[1] + i * s[1]);
                });
}

/// What a maximum (or minimum) of T starts from.
template <class T>
constexpr T extreme_start(bool max) {
  using Limits = std::numeric_limits<T>;
  if constexpr (Limits::has_infinity)
    return max ? -Limits::infinity() : Limits::infinity();
  else
    return max ? Limits::lowest() : Limits::max();
}

template <class T>
void extreme_index_as(bool max, T* values, int64_t* indices, const T* x, const Layout& lx, int dim) {
  const int64_t stride = stride_along(lx, dim), n = stride == 0 ? 1 : size_along(lx, dim);
  const Layout ly(part(lx, lx.rank() > 0 ? 1u << dim : 0, false).shape);
  const Fold<T, T>& fold = max ? rows_of<T>().max : rows_of<T>().min;
  for_each_line(ly, lx, dim, [&](int64_t to, int64_t from) {
    const T* const line = x + from;
    T best = extreme_start<T>(max);
    if (stride == 1)
      fold.row(&best, line, n);
    else
      fold.columns(&best, line, n, stride, 1);
    // To find it again is faster than to keep an index along with it. NaN equals nothing.
    int64_t i = 0;
    if (is_nan(best))
      while (!is_nan(line[i * stride])) i++;
    else
      while (line[i * stride] != best) i++;
    values[to] = line[i * stride];
    indices[to] = i;
  });
}

}  // namespace

void Sum::run() const {
  // Of equal elements, one is read.
  Layout once;
  const int64_t n = repeats(*x.layout, dims, once);
  const Layout& read = n > 1 ? once : *x.layout;
  const auto run = [&]<class T, class Out>(T, Out) {
    reduce(rows_of<T>().sum, rows_of<SumOf<T>>().sum, SumOf<T>(0), y.first<Out>(), x.at<const T>(), read,
           dims, n);
  };
  if (is_floating(x.dtype)) return dispatch_floating(x.dtype, [&](auto zero) { run(zero, zero); });
  if (x.dtype == kInt64) return run(int64_t(), int64_t());
  run(uint8_t(), int64_t());
}

void Mean::run() const {
  Sum{y, x, dims}.run();
  int64_t n = 1;
  for (int i = 0; i < x.layout->rank(); i++)
    if (dims >> i & 1) n *= x.layout->shape[i];
  dispatch_floating(y.dtype, [&]<class T>(T) {
    T* const p = y.first<T>();
    for (int64_t i = 0, size = y.layout->numel(); i < size; i++) p[i] /= static_cast<T>(n);
  });
}

void Extreme::run() const {
  Layout once;
  const Layout& read = repeats(*x.layout, dims, once) > 1 ? once : *x.layout;
  dispatch(x.dtype == kBool ? kUInt8 : x.dtype, [&]<class T>(T) {
    if constexpr (!std::is_same_v<T, bool>) {
      const Fold<T, T>& fold = max ? rows_of<T>().max : rows_of<T>().min;
      reduce(fold, fold, extreme_start<T>(max), y.first<T>(), x.at<const T>(), read, dims, 1);
    }
  });
}

void ExtremeIndex::run() const {
  dispatch(x.dtype == kBool ? kUInt8 : x.dtype, [&]<class T>(T) {
    if constexpr (!std::is_same_v<T, bool>)
      extreme_index_as(max, values.first<T>(), indices.first<int64_t>(), x.at<const T>(), *x.layout, dim);
  });
}

void Cumsum::run() const {
  const Layout &lx = *x.layout, ly(lx.shape);
  const int64_t n = size_along(lx, dim), sx = stride_along(lx, dim), sy = stride_along(ly, dim);
  dispatch(x.dtype, [&]<class T>(T) {
    for_each_line(ly, lx, dim, [&](int64_t to, int64_t from) {
      T* const line = y.first<T>() + to;
      const T* const xs = x.at<const T>() + from;
      std::conditional_t<std::is_same_v<T, float>, double, T> sum = 0;
      for (int64_t k = 0; k < n; k++) {
        const int64_t i = reverse ? n - 1 - k : k;
        sum = plus<decltype(sum)>(sum, xs[i * sx]);
        line[i * sy] = static_cast<T>(sum);
      }
    });
  });
}

namespace {

/// Lines along one dim of a contiguous tensor, seen as [outer, n, inner].
struct Lines {
  int64_t n, inner, outer;
  Lines(const Shape& shape, int dim) {
    const Layout l(shape);
    n = size_along(l, dim);
    inner = l.rank() > 0 ? l.strides[dim] : 1;
    outer = l.numel() / std::max<int64_t>(1, n * inner);
  }

  /// Calls row(at, line) where lines are contiguous, else columns(at, line, cols) for up to kFoldColumns
  /// neighbouring lines: `at` is where their first element is.
  template <class Row, class Columns>
  void each(Row row, Columns columns) const {
    if (n == 0) return;
    if (inner == 1)
      return parallel_for(outer, kGrain / 16 / n + 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) row(i * n, i);
      });
    const int64_t tiles = (inner + kFoldColumns - 1) / kFoldColumns;
    parallel_for(outer * tiles, kGrain / 1024 / n + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const int64_t col = i % tiles * kFoldColumns, o = i / tiles;
        columns(o * n * inner + col, o * inner + col, std::min(kFoldColumns, inner - col));
      }
    });
  }
};

}  // namespace

void Softmax::run() const {
  const Layout& lx = *x.layout;
  const bool dense = lx.contiguous();
  if (!dense) Copy{y, x}.run();
  const Lines lines(lx.shape, dim);
  dispatch_floating(y.dtype, [&]<class T>(T) {
    const SoftmaxRows<T>& rows = rows_of<T>().softmax;
    T* const to = y.first<T>();
    const T* const from = dense ? x.first<const T>() : to;
    lines.each([&](int64_t at, int64_t) { rows.value(log, to + at, from + at, lines.n); },
               [&](int64_t at, int64_t, int64_t cols) {
                 rows.value_columns(log, to + at, from + at, lines.n, lines.inner, cols);
               });
  });
}

void SoftmaxGradient::run() const {
  const Lines lines(y.layout->shape, dim);
  dispatch_floating(y.dtype, [&]<class T>(T) {
    const SoftmaxRows<T>& rows = rows_of<T>().softmax;
    T* const to = dx.first<T>();
    const T *const ys = y.first<const T>(), *const gs = g.first<const T>();
    lines.each([&](int64_t at, int64_t) { rows.gradient(log, to + at, ys + at, gs + at, lines.n); },
               [&](int64_t at, int64_t, int64_t cols) {
                 rows.gradient_columns(log, to + at, ys + at, gs + at, lines.n, lines.inner, cols);
               });
  });
}

namespace {
/// The logits of a sample lie along this dim of x.
int class_dim(const Shape& x) { return x.rank() == 1 ? 0 : 1; }
}  // namespace

void CrossEntropy::run() const {
  const Lines lines(x.layout->shape, class_dim(x.layout->shape));
  const int64_t samples = losses.layout->numel();
  dispatch_floating(x.dtype, [&]<class T>(T) {
    const SoftmaxRows<T>& rows = rows_of<T>().softmax;
    const T* const xs = x.first<const T>();
    const T* const w = weight ? weight.first<const T>() : nullptr;
    const int64_t* const targets = target.first<const int64_t>();
    T *const loss = losses.first<T>(), *const m = statistics.first<T>(), *const log_sum = m + samples,
             *const used = log_sum + samples;
    const auto finish = [&](int64_t i, const T* line) {
      const int64_t t = targets[i];
      used[i] = t == ignore_index ? T(0) : w ? w[t] : T(1);
      loss[i] = used[i] == 0 ? T(0) : used[i] * (log_sum[i] - (line[t * lines.inner] - m[i]));
    };
    lines.each(
        [&](int64_t at, int64_t i) {
          rows.log_sum_exp(m + i, log_sum + i, xs + at, lines.n);
          finish(i, xs + at);
        },
        [&](int64_t at, int64_t i, int64_t cols) {
          rows.log_sum_exp_columns(m + i, log_sum + i, xs + at, lines.n, lines.inner, cols);
          for (int64_t j = 0; j < cols; j++) finish(i + j, xs + at + j);
        });
    reduce(rows_of<T>().sum, rows_of<SumOf<T>>().sum, SumOf<T>(0), used + samples, const_cast<const T*>(used),
           Layout(Shape{samples}), 1, 1);
  });
}

void CrossEntropyGradient::run() const {
  const Lines lines(x.layout->shape, class_dim(x.layout->shape));
  const int64_t samples = target.layout->numel();
  dispatch_floating(x.dtype, [&]<class T>(T) {
    const SoftmaxRows<T>& rows = rows_of<T>().softmax;
    T* const to = dx.first<T>();
    const int64_t* const targets = target.first<const int64_t>();
    const T *const xs = x.first<const T>(), *const m = statistics.first<const T>(),
                   *const log_sum = m + samples, *const used = log_sum + samples,
                   *const gs = g.first<const T>();
    const T total = mean ? used[samples] : T(1);
    // A sample that does not count has gradient 0, whatever is in its logits.
    const auto scale_of = [&](int64_t i) { return used[i] == 0 ? T(0) : gs[each ? i : 0] * used[i] / total; };
    const auto finish = [&](int64_t i, T* line, T scale) {
      if (used[i] != 0)
        line[targets[i] * lines.inner] -= scale;
      else
        for (int64_t k = 0; k < lines.n; k++) line[k * lines.inner] = 0;
    };
    lines.each(
        [&](int64_t at, int64_t i) {
          const T scale = scale_of(i);
          rows.scaled(to + at, xs + at, lines.n, m[i], log_sum[i], scale);
          finish(i, to + at, scale);
        },
        [&](int64_t at, int64_t i, int64_t cols) {
          T scale[kFoldColumns];
          for (int64_t j = 0; j < cols; j++) scale[j] = scale_of(i + j);
          rows.scaled_columns(to + at, xs + at, lines.n, lines.inner, cols, m + i, log_sum + i, scale);
          for (int64_t j = 0; j < cols; j++) finish(i + j, to + at + j, scale[j]);
        });
  });
}

}  // namespace gradus::kernels
