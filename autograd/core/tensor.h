#pragma once
#include <gradus/autograd/base/launch.h>
#include <gradus/autograd/base/ref.h>
#include <gradus/autograd/base/scalar.h>
#include <gradus/autograd/base/shape.h>
#include <gradus/autograd/base/storage.h>
#include <gradus/autograd/core/modes.h>

#include <concepts>
#include <initializer_list>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <vector>

#pragma GCC visibility push(default)

namespace gradus {

class Node;
class Tensor;
struct HookFunction;
struct TensorImpl;
/// Inputs or results of an op, parameters: tensors in order.
using Tensors = std::vector<Tensor>;
/// Tensors by name, in order.
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// Where a gradient flows to: output `slot` of `node`.
struct Edge {
  Ref<Node> node;     // null where no gradient is wanted
  uint32_t slot = 0;  // which of its outputs

  Edge() noexcept;
  /// An edge to output `s` of `n`.
  Edge(Ref<Node> n, uint32_t s) noexcept;
  Edge(const Edge&) noexcept;
  Edge(Edge&&) noexcept;
  Edge& operator=(Edge) noexcept;
  ~Edge();
  explicit operator bool() const noexcept { return static_cast<bool>(node); }
};

/// An n-dimensional array that remembers how it was computed. A Tensor is a handle: copies share the
/// elements and the history; clone() copies the elements.
///
/// Semantics are PyTorch's: names, broadcasting, promotion, views, in-place rules. Members are what is
/// written every day; everything else is a free function.
class Tensor {
 public:
  /// Undefined: holds nothing; only defined() and assignment are allowed.
  Tensor() noexcept = default;
  /// A handle to what is there already.
  explicit Tensor(Ref<TensorImpl> impl) noexcept;
  /// The number, 0-d, exact in float64 or int64: what T(0) and T(0.5) are in a formula on tensors.
  template <class N>
  requires std::is_arithmetic_v<N> explicit Tensor(N number) : Tensor(of_number(number)) {}
  Tensor(const Tensor&) noexcept;
  Tensor(Tensor&&) noexcept;
  Tensor& operator=(const Tensor&) & noexcept;
  Tensor& operator=(Tensor&&) & noexcept;
  /// x[0] = y, x.slice(0, 0, 2) = y: what is assigned to a temporary is written into it, as copy_() and
  /// fill_() do. Throws where nobody else holds the elements, as in exp(x) = y: the write would be lost.
  Tensor& operator=(const Tensor& value) && { return check_held_elsewhere(), copy_(value); }
  Tensor& operator=(Scalar value) && { return check_held_elsewhere(), fill_(value); }
  ~Tensor();

  /// Whether it holds a tensor: false after Tensor() and for a gradient that does not exist.
  bool defined() const noexcept { return static_cast<bool>(impl_); }
  /// The sizes of all dims: x.shape() is [2, 3].
  const Shape& shape() const;
  /// Size of one dim, counted from the end where negative.
  int64_t size(int64_t dim) const;
  /// The number of dims.
  int64_t dim() const;
  /// The number of elements, the product of the sizes.
  int64_t numel() const;
  /// The type of the elements.
  Dtype dtype() const;
  /// Whether the elements lie in row-major order without gaps.
  bool is_contiguous() const;
  /// Shape, strides and offset: where each element lies.
  const Layout& layout() const;

  // ---- elements
  /// The single element as a T, converted as to() does. Throws unless numel() == 1.
  template <class T = double>
  T item() const {
    return scalar_at(Shape(), true).template to<T>();
  }
  /// The element at an index, negative indices counted from the end: x.at({1, -1}).
  template <class T = double>
  T at(const Shape& index) const {
    return scalar_at(index, false).template to<T>();
  }
  /// The elements in row-major order, converted to T (not bool: std::vector<bool> is no array; take uint8_t).
  /// An Error where there is no memory for them.
  template <class T = double>
  requires(!std::same_as<T, bool>) std::vector<T> to_vector()
  const {
    defined_impl("to_vector");
    std::vector<T> v = make_vector<T>("to_vector", numel());
    copy_to(v.data(), dtype_of<T>);
    return v;
  }
  /// The first element; the dtype must be T's. Strides are layout().strides.
  template <class T>
  const T* data() const {
    return static_cast<const T*>(data_as(dtype_of<T>));
  }
  /// As data(), for writing: raises the version, so that gradients that saved these elements refuse to run.
  template <class T>
  T* mutable_data() {
    return static_cast<T*>(mutable_data_as(dtype_of<T>));
  }
  /// Row-major elements without gaps: this tensor if it is so already, else a copy (recorded).
  Tensor contiguous() const;
  /// A copy of the elements (recorded).
  Tensor clone() const;
  /// This tensor converted (recorded); itself if it has the dtype already. Floating to integer cuts towards
  /// zero, and is the nearest end of the range outside of it, 0 for NaN; int64 to uint8 wraps; to bool is x ≠
  /// 0.
  Tensor to(Dtype) const;

  // ---- history
  /// Whether gradients are computed for it: a leaf that asked for them, or what was recorded from one.
  bool requires_grad() const;
  /// Makes a leaf record (or forget) its history. Throws for integer dtypes and for results of recorded ops.
  Tensor& requires_grad_(bool requires_grad = true);
  /// True for what no recorded op made: backward() leaves gradients in leaves that require grad.
  bool is_leaf() const;
  /// The gradient that backward() left: undefined if there is none.
  Tensor grad() const;
  /// Replaces the gradient; an undefined tensor drops it. Shape and dtype must be this tensor's. grad() is
  /// then a handle of its own to g's elements, and a copy (recorded) if g requires grad, is expanded, or is
  /// this tensor or a view of it: backward() adds to grad() in place.
  void set_grad(const Tensor& g);
  /// Asks backward() to leave the gradient of a result, too.
  Tensor& retain_grad();
  /// The same elements without history; shares memory and version.
  Tensor detach() const;
  /// Computes the gradients of this tensor for every leaf and adds them to the leaves' grad().
  /// gradient: dL/d(this); may be left out for one element (it is 1 then).
  void backward(const Tensor& gradient = {}, bool retain_graph = false, bool create_graph = false) const;
  /// Calls `hook(g)` when the gradient g of this tensor is complete; a defined result, of the same shape and
  /// dtype, replaces it. g may be another tensor's gradient, too: a hook that writes into it makes backward()
  /// throw. The returned id goes to remove_hook.
  ///
  /// The graph holds the hook. One that captures its own tensor, or a result of it, by value holds the graph
  /// in turn, and neither is freed before remove_hook(): capture x.detach() for the values, or a pointer.
  template <class F>
  int64_t register_hook(F hook) const;
  /// Takes back the hook that register_hook() gave this id; GradError where this tensor has none of it.
  void remove_hook(int64_t id) const;
  /// "tanh", the op that made this tensor; empty for a leaf.
  std::string op_name() const;

  // ---- arithmetic (all broadcast); in place where the name ends in _
  /// y = -x
  Tensor operator-() const;
  /// x = x + other
  Tensor& add_(const Tensor& other);
  Tensor& add_(Scalar other);
  /// x = x - other
  Tensor& sub_(const Tensor& other);
  Tensor& sub_(Scalar other);
  /// x = x · other, element by element
  Tensor& mul_(const Tensor& other);
  Tensor& mul_(Scalar other);
  /// x = x / other; not for integer tensors.
  Tensor& div_(const Tensor& other);
  Tensor& div_(Scalar other);
  /// Overwrites the elements with other's, which broadcasts and is converted (recorded).
  Tensor& copy_(const Tensor& other);
  /// Overwrites every element with `value`, converted as to() does.
  Tensor& fill_(Scalar value);
  /// fill_(0)
  Tensor& zero_();
  /// As add_, sub_, mul_, div_. On a temporary they throw where nobody else holds its elements, as = does.
  Tensor& operator+=(const Tensor& other) & { return add_(other); }
  Tensor& operator+=(Scalar other) & { return add_(other); }
  Tensor& operator-=(const Tensor& other) & { return sub_(other); }
  Tensor& operator-=(Scalar other) & { return sub_(other); }
  Tensor& operator*=(const Tensor& other) & { return mul_(other); }
  Tensor& operator*=(Scalar other) & { return mul_(other); }
  Tensor& operator/=(const Tensor& other) & { return div_(other); }
  Tensor& operator/=(Scalar other) & { return div_(other); }
  Tensor& operator+=(const Tensor& other) && { return check_held_elsewhere(), add_(other); }
  Tensor& operator+=(Scalar other) && { return check_held_elsewhere(), add_(other); }
  Tensor& operator-=(const Tensor& other) && { return check_held_elsewhere(), sub_(other); }
  Tensor& operator-=(Scalar other) && { return check_held_elsewhere(), sub_(other); }
  Tensor& operator*=(const Tensor& other) && { return check_held_elsewhere(), mul_(other); }
  Tensor& operator*=(Scalar other) && { return check_held_elsewhere(), mul_(other); }
  Tensor& operator/=(const Tensor& other) && { return check_held_elsewhere(), div_(other); }
  Tensor& operator/=(Scalar other) && { return check_held_elsewhere(), div_(other); }
  /// The matrix product, as the function matmul.
  Tensor matmul(const Tensor& other) const;

  // ---- reductions
  /// As the function sum.
  Tensor sum() const;
  Tensor sum(const Shape& dims, bool keepdim = false) const;
  /// As the function mean.
  Tensor mean() const;
  Tensor mean(const Shape& dims, bool keepdim = false) const;

  // ---- views: they share this tensor's elements
  /// x[i]: drops the first dim.
  Tensor operator[](int64_t index) const;
  /// A view where the strides allow one, else a copy; one size may be -1.
  Tensor reshape(const Shape& shape) const;
  /// Dims dim0 and dim1 swapped.
  Tensor transpose(int64_t dim0, int64_t dim1) const;
  /// The dims in another order: dim i of the view is dim dims[i] of this.
  Tensor permute(const Shape& dims) const;
  /// The transpose of a matrix (of a 0-d or 1-d tensor: itself).
  Tensor t() const;
  /// The last two dims swapped: the matrix transpose of each matrix of a batch.
  Tensor mT() const;
  /// Dims of size 1 repeated, without copying, to the sizes of `shape` (-1: as it is); new dims may come in
  /// front.
  Tensor expand(const Shape& shape) const;
  /// Without dims of size 1, or without `dim` if its size is 1.
  Tensor squeeze() const;
  Tensor squeeze(int64_t dim) const;
  /// With a new dim of size 1 at `dim`.
  Tensor unsqueeze(int64_t dim) const;
  /// The elements at one index of `dim`, which disappears.
  Tensor select(int64_t dim, int64_t index) const;
  /// Elements start, start + step … before end along dim; negative bounds count from the end, bounds
  /// beyond it are cut, as in Python.
  Tensor slice(int64_t dim, int64_t start = 0, std::optional<int64_t> end = {}, int64_t step = 1) const;
  /// `length` elements along dim, from `start` on, which counts from the end where negative.
  Tensor narrow(int64_t dim, int64_t start, int64_t length) const;
  /// Parts of `size` along dim, one after the other; the last one may be smaller.
  Tensors split(int64_t size, int64_t dim = 0) const;
  /// Parts of these sizes, which add up to the dim's.
  Tensors split(const std::vector<int64_t>& sizes, int64_t dim = 0) const;
  /// At most `chunks` parts of one size along dim; the last one may be smaller.
  Tensors chunk(int64_t chunks, int64_t dim = 0) const;
  /// All of select(dim, 0), select(dim, 1) …
  Tensors unbind(int64_t dim = 0) const;
  /// Dims start_dim … end_dim as one; a copy where the strides do not allow a view.
  Tensor flatten(int64_t start_dim = 0, int64_t end_dim = -1) const;

  // ---- for ops and the engine
  /// What the handle points to.
  TensorImpl* impl() const noexcept { return impl_.get(); }
  /// The same, counted.
  const Ref<TensorImpl>& ref() const noexcept { return impl_; }
  /// Takes it out of the handle, which is undefined then.
  Ref<TensorImpl> release() && noexcept { return std::move(impl_); }
  /// The node that computes this tensor's gradient; a view whose base was written to gets a fresh one.
  const Edge& edge() const;
  /// The memory, which views share.
  Storage& storage() const;
  /// The first element, untyped.
  std::byte* raw() const;

 private:
  /// Throws in the name of the member that asks.
  const TensorImpl& defined_impl(const char* op = __builtin_FUNCTION()) const;
  const Edge& refresh_edge() const;
  void check_held_elsewhere() const;
  Scalar scalar_at(const Shape& index, bool single) const;
  void copy_to(void* values, Dtype) const;
  static Tensor of_number(Scalar number);
  const void* data_as(Dtype) const;
  void* mutable_data_as(Dtype);
  int64_t add_hook(Ref<HookFunction> f) const;

  Ref<TensorImpl> impl_;
};

/// Arithmetic, element by element; operands broadcast and promote as in PyTorch. The quotient of integers is
/// float32.
Tensor operator+(const Tensor& a, const Tensor& b);
Tensor operator+(const Tensor& a, Scalar b);
Tensor operator+(Scalar a, const Tensor& b);
Tensor operator-(const Tensor& a, const Tensor& b);
Tensor operator-(const Tensor& a, Scalar b);
Tensor operator-(Scalar a, const Tensor& b);
Tensor operator*(const Tensor& a, const Tensor& b);
Tensor operator*(const Tensor& a, Scalar b);
Tensor operator*(Scalar a, const Tensor& b);
Tensor operator/(const Tensor& a, const Tensor& b);
Tensor operator/(const Tensor& a, Scalar b);
Tensor operator/(Scalar a, const Tensor& b);

/// Comparisons are elementwise, broadcast, and give bool tensors without history. The numbers themselves are
/// compared, whatever the dtypes: no integer is wrapped or rounded. Only between floating operands what has
/// no dims is first rounded to the dtype of what has, so that x == 0.1 holds for a float32 x of 0.1f.
Tensor operator==(const Tensor& a, const Tensor& b);
Tensor operator==(const Tensor& a, Scalar b);
Tensor operator!=(const Tensor& a, const Tensor& b);
Tensor operator!=(const Tensor& a, Scalar b);
Tensor operator<(const Tensor& a, const Tensor& b);
Tensor operator<(const Tensor& a, Scalar b);
Tensor operator<=(const Tensor& a, const Tensor& b);
Tensor operator<=(const Tensor& a, Scalar b);
Tensor operator>(const Tensor& a, const Tensor& b);
Tensor operator>(const Tensor& a, Scalar b);
Tensor operator>=(const Tensor& a, const Tensor& b);
Tensor operator>=(const Tensor& a, Scalar b);

/// The values as nested lists with dtype and shape, large tensors shortened, as PyTorch prints them.
std::string str(const Tensor& x);
/// Writes str(x).
std::ostream& operator<<(std::ostream& os, const Tensor& x);

/// What a Tensor points to.
struct TensorImpl : Counted {
  /// l: the arguments of layout's constructor.
  template <class... L>
  TensorImpl(Ref<Storage> s, Dtype d, const L&... l) noexcept
      : dtype(d), storage(std::move(s)), layout(l...) {}
  void dispose() noexcept;
  /// The node of `edge` shall not know this tensor any more.
  void forget_edge() noexcept;
  [[gnu::noinline]] void drop_grad() noexcept;

  Dtype dtype;
  bool made_under_no_grad = false;  // a view whose history was cut
  bool retains_grad = false;
  bool in_model = false;            // a nn::Param holds it: an optimizer asks
  uint32_t writes = 0;              // recorded in-place writes to this root
  std::atomic<uint32_t> epoch = 0;  // a view: the root's `writes` for which `edge` holds
  Ref<Storage> storage;
  Layout layout;
  Edge edge;
  Ref<TensorImpl> base;  // a view: its root
  Tensor grad;
};

/// A new tensor over a storage.
Tensor make_tensor(Ref<Storage> storage, const Layout& layout, Dtype dtype);
/// Uninitialised, row-major. Throws, in the name of `op`, where the shape is none or there is no memory for
/// it.
Tensor make_empty(const Shape& shape, Dtype dtype, const char* op = "shape");
/// The same of a shape that is known to be right and to take `bytes`.
inline Tensor make_row_major(const Shape& shape, int64_t bytes, Dtype dtype) {
  // The handle comes first in the block, filled up so that the elements begin at a multiple of 64.
  constexpr size_t kHandle = (sizeof(TensorImpl) + sizeof(Storage) + 63) / 64 * 64 - sizeof(Storage);
  if (is_recording()) [[unlikely]]
    return make_tensor(detail::recorder->allocate(bytes), Layout(shape), dtype);
  if (!Storage::lies_beside(bytes, kHandle))
    return make_tensor(Storage::allocate_apart(bytes), Layout(shape), dtype);
  Ref<Storage> storage = Storage::allocate_beside(bytes, kHandle);
  void* const front = storage->front();
  return Tensor(Ref<TensorImpl>::first(new (front) TensorImpl(std::move(storage), dtype, shape)));
}

/// What register_hook() was given.
struct HookFunction : Counted {
  virtual Tensor operator()(const Tensor& g) = 0;
  virtual ~HookFunction() = default;
  void dispose() noexcept { delete this; }
};

template <class F>
int64_t Tensor::register_hook(F hook) const {
  check_function("register_hook", hook);
  struct Hook final : HookFunction {
    explicit Hook(F&& f) : f(std::move(f)) {}
    Tensor operator()(const Tensor& g) override {
      if constexpr (std::is_void_v<decltype(f(g))>)
        return f(g), Tensor();
      else
        return f(g);
    }
    F f;
  };
  return add_hook(Ref<HookFunction>(new Hook(std::move(hook))));
}

namespace detail {
/// Throws `op: what is undefined`, and why it may be: default-constructed, or a gradient that grad() did not
/// find.
[[noreturn, gnu::cold]] void fail_undefined(const char* op, const char* what);
/// The same of input i of so many.
[[noreturn, gnu::cold]] void fail_undefined(const char* op, size_t i, size_t count);

inline bool is_undefined(const Tensor& x) noexcept { return !x.defined(); }
inline bool is_undefined(const Scalar&) noexcept { return false; }
/// Throws where an operand of `op` is undefined, and says which. An op calls it before it looks at them; what
/// follows needs no check then.
template <class... X>
[[gnu::always_inline]] inline void check_defined(const char* op, const X&... x) {
  if ((is_undefined(x) || ...)) [[unlikely]] {
    size_t i = 0;
    static_cast<void>(((is_undefined(x) || (i++, false)) || ...));
    fail_undefined(op, i, sizeof...(X));
  }
}
/// The same of a list; `what` is what its members are called.
void check_each_defined(const char* op, const char* what, std::span<const Tensor> x);
}  // namespace detail

// ---- inline: the handle
[[gnu::always_inline]] inline const TensorImpl& Tensor::defined_impl(const char* op) const {
  if (!impl_) [[unlikely]]
    detail::fail_undefined(op, "the tensor");
  return *impl_;
}
[[gnu::always_inline]] inline const Layout& Tensor::layout() const { return defined_impl().layout; }
[[gnu::always_inline]] inline Dtype Tensor::dtype() const { return defined_impl().dtype; }
[[gnu::always_inline]] inline Storage& Tensor::storage() const { return *defined_impl().storage; }
inline std::byte* Tensor::raw() const {
  const TensorImpl& x = defined_impl();
  return x.storage->data() + x.layout.offset * item_size(x.dtype);
}
[[gnu::always_inline]] inline const Edge& Tensor::edge() const {
  const TensorImpl& x = defined_impl();
  // A view follows its base: a write since has made what `edge` says stale.
  if (x.base && x.epoch.load(std::memory_order_acquire) != x.base->writes) [[unlikely]]
    return refresh_edge();
  return x.edge;
}
[[gnu::always_inline]] inline const Shape& Tensor::shape() const { return defined_impl().layout.shape; }
inline int64_t Tensor::dim() const { return defined_impl().layout.rank(); }
inline int64_t Tensor::numel() const { return defined_impl().layout.numel(); }
inline bool Tensor::is_contiguous() const { return defined_impl().layout.contiguous(); }

/// x as an operand of a kernel (base/launch.h), seen with a layout: a temporary lives as long as the call
/// that it is made in.
[[gnu::always_inline]] inline Read reads(const Tensor& x, const Layout& layout) {
  Storage& s = x.storage();
  return {{&s, s.data(), &layout, x.dtype()}};
}
/// In its own layout.
[[gnu::always_inline]] inline Read reads(const Tensor& x) { return reads(x, x.layout()); }
/// y likewise, which the kernel writes.
[[gnu::always_inline]] inline Write writes(const Tensor& y, const Layout& layout) {
  Storage& s = y.storage();
  return {{&s, s.data(), &layout, y.dtype()}};
}
/// In its own layout.
[[gnu::always_inline]] inline Write writes(const Tensor& y) { return writes(y, y.layout()); }

}  // namespace gradus

// Node completes the inline members above; the two headers are one unit.
#include <gradus/autograd/core/node.h>

template <>
struct fmt::formatter<gradus::Tensor> : gradus::detail::TextFormatter {
  template <class C>
  auto format(const gradus::Tensor& x, C& c) const {
    return fmt::format_to(c.out(), "{}", gradus::str(x));
  }
};

#pragma GCC visibility pop
