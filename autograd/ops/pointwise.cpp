#include <gradus/autograd/base/launch.h>
#include <gradus/autograd/kernels/copy.h>
#include <gradus/autograd/kernels/rows.h>
#include <gradus/autograd/ops/pointwise.h>

#include <array>
#include <cstring>

namespace gradus::detail {
namespace {

/// Below this many elements a kernel is not worth splitting over threads.
constexpr int64_t kGrain = 16384;

int category(Dtype d) { return is_floating(d) ? 2 : d == kBool ? 0 : 1; }

/// A formula's value, or one of its gradients, of every element: call(attributes) computes it.
template <int K, class Call>
struct PointwiseKernel {
  std::string name;
  Write y;
  Read x[K];
  Call call;
  alignas(8) std::array<std::byte, kAttributeBytes> attributes;
  void operands(auto f) {
    f(y);
    for (Read& each : x)
      if (each) f(each);
  }
  void run() const { call(attributes.data()); }
};

template <int K, class Call>
[[gnu::cold, gnu::noinline]] void launch_kept(const RowKernel& kernel, const void* op, const Tensor& y,
                                              const Tensor* const* x, const Call& call) {
  PointwiseKernel<K, Call> k{kernel.op, writes(y), {}, call, {}};
  if (kernel.gradient) k.name += std::string(": d") + kernel.gradient;
  for (int i = 0; i < K; i++)
    if (x[i]) k.x[i] = reads(*x[i]);
  std::memcpy(k.attributes.data(), op, kernel.attribute_bytes);
  launch(k);
}
template <int K, class Call>
void launch_row(const RowKernel& kernel, const void* op, const Tensor& y, const Tensor* const* x,
                const Call& call) {
  if (is_recording()) [[unlikely]]
    return launch_kept<K>(kernel, op, y, x, call);
  call(op);
}

template <class T, int K>
[[gnu::noinline]] void run_strided(const RowKernel& kernel, const void* op, kernels::Row<T> row,
                                   const Tensor& y, const Tensor* const* x) {
  // Layout 0 is y's; an operand that is not read gets y's layout and a null pointer.
  struct Call {
    kernels::Row<T> row;
    Layout layouts[K + 1];
    T* data[K + 1];
    void operator()(const void* attributes) const {
      const Layout* each[K + 1];
      for (int k = 0; k <= K; k++) each[k] = &layouts[k];
      kernels::parallel_rows<K + 1>(layouts[0].shape, each, kGrain,
                                    [&](int64_t n, const int64_t* offsets, const int64_t* strides) {
                                      const T* in[K];
                                      for (int k = 0; k < K; k++)
                                        in[k] = data[k + 1] ? data[k + 1] + offsets[k + 1] : nullptr;
                                      row(attributes, n, data[0] + offsets[0], strides[0], in, strides + 1);
                                    });
    }
  } call{row, {y.layout()}, {reinterpret_cast<T*>(y.storage().data())}};
  for (int k = 0; k < K; k++) {
    call.layouts[k + 1] = x[k] ? broadcast_to(x[k]->layout(), y.shape()) : y.layout();
    call.data[k + 1] = x[k] ? reinterpret_cast<T*>(x[k]->storage().data()) : nullptr;
  }
  launch_row<K>(kernel, op, y, x, call);
}

/// One row, of operands as dense as y or of one element each.
template <class T, int K>
struct DenseCall {
  kernels::Row<T> row;
  int64_t n;
  T* out;
  const T* in[K];
  int64_t strides[K];
  void operator()(const void* attributes) const { row(attributes, n, out, 1, in, strides); }
};

template <class T>
[[gnu::always_inline]] inline T* first_of(const Tensor& x) {
  return reinterpret_cast<T*>(x.storage().data()) + x.layout().offset;
}

/// Whether all of x is one element, if need be repeated.
[[gnu::always_inline]] inline bool one_element(const Layout& x) {
  for (int i = 0; i < x.rank(); i++)
    if (x.shape[i] == 0 || (x.shape[i] > 1 && x.strides[i] != 0)) return false;
  return true;
}

template <class T, int K>
void run_typed(const RowKernel& kernel, const void* op, kernels::Row<T> row, const Tensor& y,
               const Tensor* const* x) {
  const Layout& ly = y.layout();
  DenseCall<T, K> call{row, ly.numel(), first_of<T>(y), {}, {}};
  bool dense = call.n <= kGrain && ly.contiguous();
  for (int k = 0; k < K; k++) {
    if (!x[k]) continue;
    const Layout& l = x[k]->layout();
    call.in[k] = first_of<T>(*x[k]);
    if (one_element(l)) continue;
    call.strides[k] = 1;
    dense = dense && l.shape == ly.shape && l.contiguous();
  }
  if (!dense) return run_strided<T, K>(kernel, op, row, y, x);
  if (call.n > 0) launch_row<K>(kernel, op, y, x, call);
}

/// The number of elements of a row-major layout; -1 for others.
inline int64_t dense_numel(const Layout& l) {
  int64_t n = 1;
  for (int i = l.rank(); i-- > 0;) {
    if (l.strides[i] != n && l.shape[i] != 1) return -1;
    n *= l.shape[i];
  }
  return n;
}

/// The everyday case, and no more: row-major floating operands of one shape. Undefined for all others.
template <class T, int K>
Tensor run_alike(const RowKernel& kernel, const void* op, kernels::Row<T> row, const Tensor* const* x) {
  const Layout* layout = nullptr;
  DenseCall<T, K> call;
  call.n = 0;
#pragma GCC unroll 8
  for (int k = 0; k < K; k++) {
    call.in[k] = nullptr;
    call.strides[k] = 1;
    if (!x[k]) continue;
    const Layout& l = x[k]->layout();
    if (!layout) {
      layout = &l;
      call.n = dense_numel(l);
    } else if (!(l.shape == layout->shape) || dense_numel(l) != call.n) {
      return Tensor();
    }
    call.in[k] = first_of<T>(*x[k]);
  }
  if (!layout || call.n <= 0 || call.n > kGrain) return Tensor();
  Tensor y = make_row_major(layout->shape, call.n * static_cast<int64_t>(sizeof(T)), dtype_of<T>);
  call.row = row;
  call.out = reinterpret_cast<T*>(y.storage().data());
  launch_row<K>(kernel, op, y, x, call);
  return y;
}

/// Any operands.
template <int K>
[[gnu::noinline]] Tensor run_broadcast(const RowKernel& kernel, const void* op, Dtype dtype,
                                       const Tensor* const* x) {
  const Shape none;  // of a 0-d tensor, which broadcasts to all
  const Shape* shape = &none;
  Shape made;
  for (int k = 0; k < K; k++) {
    if (!x[k] || x[k]->dim() == 0 || x[k]->shape() == *shape) continue;
    if (shape->rank() == 0) {
      shape = &x[k]->shape();
    } else {
      made = broadcast(kernel.op, *shape, x[k]->shape());
      shape = &made;
    }
  }
  Tensor y = make_empty(*shape, dtype);
  run_rows_into<K>(kernel, op, y, x);
  return y;
}

}  // namespace

// What the header says of visibility, g++ 12 forgets for templates that are instantiated here.
#pragma GCC visibility push(default)

template <int K>
void run_rows_into(const RowKernel& kernel, const void* op, const Tensor& y, const Tensor* const* x) {
  switch (y.dtype()) {
    case Dtype::Float32: return run_typed<float, K>(kernel, op, kernel.f32, y, x);
    case Dtype::Float64: return run_typed<double, K>(kernel, op, kernel.f64, y, x);
    case Dtype::Int64:
      if (kernel.i64) return run_typed<int64_t, K>(kernel, op, kernel.i64, y, x);
      break;
    case Dtype::Bool:  // only copies: bytes of 0 and 1
    case Dtype::UInt8:
      if (kernel.u8) return run_typed<uint8_t, K>(kernel, op, kernel.u8, y, x);
      break;
  }
  fail<DtypeError>("{}: not defined for {}", kernel.op, y.dtype());
}

template <int K>
Tensor run_rows(const RowKernel& kernel, const void* op, Dtype dtype, const Tensor* const* x) {
  if (dtype == kFloat32) {
    if (Tensor y = run_alike<float, K>(kernel, op, kernel.f32, x); y.defined()) return y;
  } else if (dtype == kFloat64) {
    if (Tensor y = run_alike<double, K>(kernel, op, kernel.f64, x); y.defined()) return y;
  }
  return run_broadcast<K>(kernel, op, dtype, x);
}

#define GRADUS_OPERANDS(K)                                                                            \
  template void run_rows_into<K>(const RowKernel&, const void*, const Tensor&, const Tensor* const*); \
  template Tensor run_rows<K>(const RowKernel&, const void*, Dtype, const Tensor* const*);
GRADUS_OPERANDS(1)
GRADUS_OPERANDS(2)
GRADUS_OPERANDS(3)
GRADUS_OPERANDS(4)
GRADUS_OPERANDS(5)
GRADUS_OPERANDS(6)
#undef GRADUS_OPERANDS

#pragma GCC visibility pop

Dtype result_dtype(const char* op, Integers integers, std::span<const Tensor* const> tensors,
                   std::span<const Scalar> numbers) {
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
  if (is_floating(d)) return d;
  if (integers == Integers::None) return kFloat32;
  if (integers == Integers::Exact) {
    for (const Tensor* x : tensors) d = promote(d, x->dtype());
    for (const Scalar& s : numbers)
      if (const int64_t number = s.to<int64_t>(); d == kUInt8 && (number < 0 || number > 255))
        fail<DtypeError>("{}: {} does not fit into uint8; convert the tensor to int64 first", op, number);
  }
  return d;
}

Tensor constant(Scalar value, Dtype dtype) {
  Tensor x = make_empty({}, dtype);
  launch(kernels::Fill{writes(x), value});
  return x;
}

Tensor inplace_operand(const char* op, const Tensor& y, const Tensor& x) {
  if (!broadcastable(x.shape(), y.shape()))
    fail<ShapeError>("{}: in place: an operand of shape {} does not broadcast to {}", op, x.shape(),
                     y.shape());
  return x.ref()->storage == y.ref()->storage ? x.clone() : x;
}

}  // namespace gradus::detail
