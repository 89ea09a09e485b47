#include <gradus/autograd/core/apply.h>
#include <gradus/autograd/kernels/copy.h>
#include <gradus/autograd/ops/join.h>

namespace gradus {
namespace {

/// Results: the tensor, and (hidden) where each input begins along dim.
struct Cat {
  static constexpr auto name = "cat";
  static constexpr auto formula =
      "y = x0, x1, … one after another        dx_i = the slice of g that x_i became";
  static constexpr Needs needs[] = {out(1)};
  int dim;
  void describe(Describe& d) const { d("dim", dim); }
  std::tuple<Tensor, Tensor> value(std::span<const Tensor> x) const {
    Tensor starts = make_empty({static_cast<int64_t>(x.size()) + 1}, kInt64);
    int64_t* start = reinterpret_cast<int64_t*>(starts.raw());
    start[0] = 0;
    for (size_t i = 0; i < x.size(); i++) start[i + 1] = start[i] + x[i].shape()[dim];
    Shape shape = x[0].shape();
    shape[dim] = start[x.size()];
    Tensor y = make_empty(shape, x[0].dtype());
    for (size_t i = 0; i < x.size(); i++) {
      Layout part = y.layout();
      part.offset = start[i] * part.strides[dim];
      part.shape = x[i].shape();
      launch(kernels::Copy{writes(y, part), reads(x[i])});
    }
    return {y, starts};
  }
  Tensor vjp(int i, const Back& b) const {
    const Tensor starts = b.out(1);
    const int64_t* start = reinterpret_cast<const int64_t*>(starts.raw());
    return b.g().slice(dim, start[i], start[i + 1]);
  }
};

}  // namespace

Tensor cat(const Tensors& x, int64_t dim) {
  if (x.empty()) fail("cat: there is nothing to join");
  detail::check_each_defined("cat", "input", x);
  Dtype d = x[0].dtype();
  for (const Tensor& t : x) d = promote(d, t.dtype());
  if (x[0].dim() == 0) fail<ShapeError>("cat: 0-d tensors have no dim to join along; use stack");
  const int i = normalize_dim("cat", dim, x[0].shape().rank());
  Tensors same;
  same.reserve(x.size());
  int64_t size = 0;
  for (size_t k = 0; k < x.size(); k++) {
    Shape a = x[0].shape(), b = x[k].shape();
    if (a.rank() == b.rank()) a[i] = b[i] = 0;
    if (!(a == b))
      fail<ShapeError>("cat: sizes differ outside dim {}: {} and, as number {}, {}", i, x[0].shape(), k,
                       x[k].shape());
    if (__builtin_add_overflow(size, x[k].shape()[i], &size))
      fail<ShapeError>("cat: the sizes in dim {} add up to more than 63 bits: {} tensors, number {} of {}", i,
                       x.size(), k, x[k].shape());
    same.push_back(x[k].to(d));
  }
  return std::get<0>(gradus::apply(Cat{i}, std::span<const Tensor>(same)));
}

Tensor stack(const Tensors& x, int64_t dim) {
  if (x.empty()) fail("stack: there is nothing to join");
  detail::check_each_defined("stack", "input", x);
  Tensors rows;
  rows.reserve(x.size());
  const int i = normalize_dim("stack", dim, x[0].shape().rank() + 1);
  if (x[0].shape().rank() == kMaxRank)
    fail<ShapeError>("stack: {} has {} dims, as many as there can be", x[0].shape(), kMaxRank);
  for (size_t k = 0; k < x.size(); k++) {
    if (!(x[k].shape() == x[0].shape()))
      fail<ShapeError>("stack: shapes differ: {} and, as number {}, {}", x[0].shape(), k, x[k].shape());
    rows.push_back(x[k].unsqueeze(i));
  }
  return cat(rows, i);
}

}  // namespace gradus
