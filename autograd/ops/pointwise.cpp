#include <gradus/autograd/kernels/copy.h>
#include <gradus/autograd/kernels/rows.h>
#include <gradus/autograd/ops/pointwise.h>

namespace gradus::detail {
namespace {

/// Below this many elements a kernel is not worth splitting over threads.
constexpr int64_t kGrain = 16384;

int category(Dtype d) { return is_floating(d) ? 2 : d == kBool ? 0 : 1; }

template <class T, int K>
void run_strided(kernels::Row<T> row, const void* attributes, const Tensor& y, const Tensor* const* x) {
  // Layout 0 is y's; an operand that is not read gets y's layout and a null pointer.
  Layout wide[K];
  const Layout* layouts[K + 1] = {&y.layout()};
  T* data[K + 1] = {reinterpret_cast<T*>(y.storage().data())};
  for (int k = 0; k < K; k++) {
    layouts[k + 1] = &y.layout();
    data[k + 1] = nullptr;
    if (!x[k]) continue;
    wide[k] = broadcast_to(x[k]->layout(), y.shape());
    layouts[k + 1] = &wide[k];
    data[k + 1] = reinterpret_cast<T*>(x[k]->storage().data());
  }
  kernels::parallel_rows<K + 1>(y.shape(), layouts, kGrain,
                                [&](int64_t n, const int64_t* offsets, const int64_t* strides) {
                                  const T* in[K];
                                  for (int k = 0; k < K; k++)
                                    in[k] = data[k + 1] ? data[k + 1] + offsets[k + 1] : nullptr;
                                  row(attributes, n, data[0] + offsets[0], strides[0], in, strides + 1);
                                });
}

template <class T>
void run_typed(kernels::Row<T> row, const void* attributes, const Tensor& y,
               std::span<const Tensor* const> x) {
  const Layout& ly = y.layout();
  const int64_t n = ly.numel();
  const T* in[kMaxInputs + 2];
  int64_t strides[kMaxInputs + 2];
  bool dense = n <= kGrain && ly.contiguous();
  for (size_t k = 0; k < x.size() && dense; k++) {
    in[k] = nullptr;
    strides[k] = 0;
    if (!x[k]) continue;
    const Layout& l = x[k]->layout();
    in[k] = reinterpret_cast<const T*>(x[k]->raw());
    if (l.numel() == 1 && n > 0) continue;
    strides[k] = 1;
    dense = l.shape == ly.shape && l.contiguous();
  }
  if (dense) {
    if (n > 0) row(attributes, n, reinterpret_cast<T*>(y.raw()), 1, in, strides);
    return;
  }
  switch (x.size()) {
    case 1: return run_strided<T, 1>(row, attributes, y, x.data());
    case 2: return run_strided<T, 2>(row, attributes, y, x.data());
    case 3: return run_strided<T, 3>(row, attributes, y, x.data());
    case 4: return run_strided<T, 4>(row, attributes, y, x.data());
    case 5: return run_strided<T, 5>(row, attributes, y, x.data());
    case 6: return run_strided<T, 6>(row, attributes, y, x.data());
    default: fail("pointwise: {} operands are too many", x.size());
  }
}

void run(const char* op, const void* attributes, const RowSet& rows, const Tensor& y,
         std::span<const Tensor* const> x) {
  switch (y.dtype()) {
    case Dtype::Float32: return run_typed(rows.f32, attributes, y, x);
    case Dtype::Float64: return run_typed(rows.f64, attributes, y, x);
    case Dtype::Int64:
      if (rows.i64) return run_typed(rows.i64, attributes, y, x);
      break;
    case Dtype::Bool:  // only copies: bytes of 0 and 1
    case Dtype::UInt8:
      if (rows.u8) return run_typed(rows.u8, attributes, y, x);
      break;
  }
  fail<DtypeError>("{}: not defined for {}", op, y.dtype());
}

const Tensor& first(std::span<const Tensor* const> x) {
  for (const Tensor* t : x)
    if (t) return *t;
  fail("pointwise: no operand");
}

}  // namespace

Dtype result_dtype(const char* op, bool integers, std::span<const Tensor* const> tensors,
                   std::span<const Scalar> numbers) {
  for (const Tensor* x : tensors)
    if (!x->defined()) fail("{}: an operand is undefined", op);
  // [0]: operands with dims, [1]: 0-d operands.
  Dtype best[2] = {kBool, kBool};
  bool any[2] = {false, false};
  for (const Tensor* x : tensors) {
    const int zero_d = x->layout().rank() == 0;
    best[zero_d] = any[zero_d] ? promote(best[zero_d], x->dtype()) : x->dtype();
    any[zero_d] = true;
  }
  Dtype d = any[0] ? best[0] : best[1];
  if (any[0] && any[1] && category(best[1]) > category(d)) d = best[1];
  if (tensors.empty()) d = numbers[0].dtype();
  for (const Scalar& s : numbers) d = s.promoted(d);
  return is_floating(d) || integers ? d : kFloat32;
}

Tensor run_rows(const char* op, const void* attributes, const RowSet& rows,
                std::span<const Tensor* const> x) {
  const Tensor& x0 = first(x);
  const Shape* shape = &x0.shape();
  Shape wide;
  for (const Tensor* t : x)
    if (t && !(t->shape() == *shape)) {
      wide = broadcast(op, *shape, t->shape());
      shape = &wide;
    }
  Tensor y = make_empty(*shape, x0.dtype());
  run(op, attributes, rows, y, x);
  return y;
}

void run_rows_into(const char* op, const void* attributes, const RowSet& rows, const Tensor& y,
                   std::span<const Tensor* const> x) {
  run(op, attributes, rows, y, x);
}

Tensor constant(Scalar value, Dtype dtype) {
  Tensor x = make_empty({}, dtype);
  if (dtype == kFloat32)
    *reinterpret_cast<float*>(x.raw()) = value.to<float>();
  else if (dtype == kFloat64)
    *reinterpret_cast<double*>(x.raw()) = value.to<double>();
  else
    kernels::fill(dtype, x.storage().data(), x.layout(), value);
  return x;
}

Tensor inplace_operand(const char* op, const Tensor& y, const Tensor& x) {
  if (!broadcastable(x.shape(), y.shape()))
    fail<ShapeError>("{}: in place: an operand of shape {} does not broadcast to {}", op, x.shape(),
                     y.shape());
  return x.ref()->storage == y.ref()->storage ? x.clone() : x;
}

}  // namespace gradus::detail
