#include <gradus/autograd/base/locks.h>
#include <gradus/autograd/base/pool.h>
#include <gradus/autograd/core/apply.h>
#include <gradus/autograd/core/convert.h>
#include <gradus/autograd/kernels/copy.h>

#include <algorithm>
#include <cstdio>
#include <new>

namespace gradus {
namespace {

/// Why the last grad() of this thread found no gradient: an undefined tensor that is used next may be what it
/// gave.
struct NoGradient {
  enum { Unknown, OfResult, OfLeaf, NotRequired } why;
  char op[40];  // whose result it was: its node may be gone
};
constinit thread_local NoGradient no_gradient{};

void note_missing_gradient(const TensorImpl& x) noexcept {
  no_gradient.why = !x.edge                                    ? NoGradient::NotRequired
                    : x.edge.node->is_leaf() || x.retains_grad ? NoGradient::OfLeaf
                                                               : NoGradient::OfResult;
  if (x.edge) std::snprintf(no_gradient.op, sizeof no_gradient.op, "%s", x.edge.node->name());
}

std::string why_no_gradient() {
  switch (no_gradient.why) {
    case NoGradient::OfResult:
      return fmt::format(
          "the result of '{}', such as w = w - lr * g makes of a parameter: backward() leaves gradients in "
          "leaves; write w -= lr * g under NoGrad, or w = w.detach().requires_grad_() afterwards",
          no_gradient.op);
    case NoGradient::OfLeaf:
      return "a leaf that no backward() has reached, or none since its gradient was dropped";
    case NoGradient::NotRequired:
      return "a tensor that does not require grad: call requires_grad_() before it is computed with";
    case NoGradient::Unknown: break;
  }
  return {};
}

}  // namespace

void TensorImpl::forget_edge() noexcept {
  if (edge.node->is_leaf()) {
    Leaf& leaf = static_cast<Leaf&>(*edge.node);
    if (leaf.owner() != this) return;
    // Another thread's pass may be about to leave a gradient here.
    const std::lock_guard held(detail::locks.gradients);
    leaf.orphan();
  } else if (retains_grad) {
    const std::lock_guard held(detail::locks.gradients);
    edge.node->forget_retained(this);
  }
}

void TensorImpl::drop_grad() noexcept {
  // A gradient may have a gradient, and so on: they are freed in a loop, not by recursion.
  while (grad.ref().unique()) {
    Tensor next = std::move(grad.impl()->grad);
    grad = std::move(next);
  }
  grad = Tensor();
}

void TensorImpl::dispose() noexcept {
  if (edge) forget_edge();  // before all else: from then on no pass leaves a gradient here
  if (grad.defined()) drop_grad();
  // A handle that lies in its storage's block goes when the storage goes, which may be here.
  const Ref<Storage> last = std::move(storage);
  const bool inside = last->front() == this;
  this->~TensorImpl();
  if (!inside) pool::release(this, sizeof(TensorImpl));
}

Tensor make_tensor(Ref<Storage> storage, const Layout& layout, Dtype dtype) {
  return Tensor(Ref<TensorImpl>::first(new (pool::allocate(sizeof(TensorImpl)))
                                           TensorImpl(std::move(storage), dtype, layout)));
}

Tensor make_empty(const Shape& shape, Dtype dtype, const char* op) {
  int64_t bytes;
  if (__builtin_mul_overflow(shape.numel(op), item_size(dtype), &bytes))
    fail<ShapeError>("{}: the size in bytes does not fit into 63 bits: {} of {}", op, shape, dtype);
  return make_row_major(shape, bytes, dtype);
}

Tensor detail::clone_apart(const Tensor& x) {
  // Filled up so that the elements begin at a multiple of 64.
  constexpr size_t kFront = 64 - sizeof(Storage);
  const int64_t bytes = x.numel() * item_size(x.dtype());
  Ref<Storage> storage = is_recording()                        ? recorder->allocate(bytes)
                         : Storage::lies_beside(bytes, kFront) ? Storage::allocate_beside(bytes, kFront)
                                                               : Storage::allocate_apart(bytes);
  Tensor y = make_tensor(std::move(storage), Layout(x.shape()), x.dtype());
  launch(kernels::Copy{writes(y), reads(x)});
  return y;
}

detail::Converted detail::converted(const Tensor& x, Dtype dtype) {
  const NoGrad no_grad;
  const Tensor g = x.grad();
  return {x.detach().to(dtype), g.defined() ? g.detach().to(dtype) : g};
}

void detail::convert_in_place(Tensor& x, const Converted& c) noexcept {
  TensorImpl& own = *x.impl();
  const TensorImpl& made = *c.elements.impl();
  own.storage = made.storage;
  own.layout = made.layout;
  own.dtype = made.dtype;
  own.grad = c.gradient;
  // A graph of before keeps the old elements, and gives gradients that are converted on arrival.
  if (own.edge) static_cast<Leaf&>(*own.edge.node).set_dtype(own.dtype);
}

void Tensor::check_held_elsewhere() const {
  const TensorImpl& x = defined_impl("in place");
  const TensorImpl& root = x.base ? *x.base : x;
  // What was recorded is held by its graph, too, which shows nobody the write.
  const uint32_t own_handles = x.base && root.ref_count() == 1 ? 2 : 1;
  const bool shared = x.storage->ref_count() > own_handles + x.storage->recorded();
  if (x.ref_count() == 1 && (!x.base || root.ref_count() == 1) && (root.edge || !shared))
    fail<GradError>(
        "in place: what is written into this temporary of shape {} would be lost: nobody else holds its "
        "elements; write into a view of a tensor, or name it first",
        x.layout.shape);
}

void detail::fail_undefined(const char* op, const char* what) {
  const std::string of = why_no_gradient();
  no_gradient.why = NoGradient::Unknown;
  fail("{}: {} is undefined: it was default-constructed or moved from{}{}", op, what,
       of.empty() ? "" : ", or is the gradient that grad() did not find of ", of);
}

void detail::fail_undefined(const char* op, size_t i, size_t count) {
  fail_undefined(op, count == 1 ? "the input" : fmt::format("input {}", i).c_str());
}

void detail::check_each_defined(const char* op, const char* what, std::span<const Tensor> x) {
  for (size_t i = 0; i < x.size(); i++)
    if (!x[i].defined()) fail_undefined(op, fmt::format("{} {}", what, i).c_str());
}

int64_t Tensor::size(int64_t dim) const {
  defined_impl();
  if (shape().rank() == 0) fail<IndexError>("size: a 0-d tensor has no dim {}", dim);
  return shape()[normalize_dim("size", dim, shape().rank())];
}

Scalar Tensor::scalar_at(const Shape& index, bool single) const {
  const char* const op = single ? "item" : "at";
  check_not_recording(op);
  const Layout& l = defined_impl(op).layout;
  int64_t at = l.offset;
  if (single) {
    if (numel() != 1)
      fail<ShapeError>("item: the tensor must have one element, this has {}: {}", numel(), l.shape);
  } else {
    if (index.rank() != l.rank())
      fail<IndexError>("at: {} indices for a tensor of {} dims: {} into {}", index.rank(), l.rank(), index,
                       l.shape);
    for (int i = 0; i < l.rank(); i++) {
      const int64_t k = index[i] < 0 ? index[i] + l.shape[i] : index[i];
      if (k < 0 || k >= l.shape[i]) fail<IndexError>("at: index {} is out of range for {}", index, l.shape);
      at += k * l.strides[i];
    }
  }
  return dispatch(dtype(), [&](auto zero) -> Scalar {
    using T = decltype(zero);
    return reinterpret_cast<const T*>(storage().data())[at];
  });
}

void Tensor::copy_to(void* values, Dtype to) const {
  check_not_recording("to_vector");
  const Layout dense(shape());
  kernels::Copy{{{nullptr, values, &dense, to}}, reads(*this)}.run();
}

const void* Tensor::data_as(Dtype wanted) const {
  check_not_recording("data");
  defined_impl("data");
  if (dtype() != wanted) fail<DtypeError>("data: the tensor is {}, not {}", dtype(), wanted);
  return raw();
}

void* Tensor::mutable_data_as(Dtype wanted) {
  check_not_recording("mutable_data");
  defined_impl("mutable_data");
  if (dtype() != wanted) fail<DtypeError>("mutable_data: the tensor is {}, not {}", dtype(), wanted);
  storage().bump();
  return raw();
}

bool Tensor::requires_grad() const { return defined_impl(), static_cast<bool>(edge()); }

bool Tensor::is_leaf() const {
  defined_impl();
  const Edge& e = edge();
  return !e || e.node->is_leaf();
}

Tensor& Tensor::requires_grad_(bool on) {
  defined_impl();
  const Edge e = edge();
  if (e && !e.node->is_leaf()) {
    if (on) return *this;
    fail<GradError>(
        "requires_grad_: this is the result of '{}'; only leaves can be switched off; use detach()",
        e.node->name());
  }
  if (on == static_cast<bool>(e)) return *this;
  if (on && !is_floating(dtype()))
    fail<DtypeError>("requires_grad_: only floating tensors have gradients, this is {}", dtype());
  if (on) {
    Edge own(Leaf::make(impl_.get()), 0);
    // From now on it is a leaf of its own; a base it had will not follow it.
    if (impl_->base) impl_->made_under_no_grad = true;
    impl_->base = nullptr;
    impl_->edge = std::move(own);
  } else {
    static_cast<Leaf&>(*e.node).orphan();
    impl_->edge = Edge();
  }
  return *this;
}

Tensor Tensor::grad() const {
  const TensorImpl& x = defined_impl();
  if (x.grad.defined())
    no_gradient.why = NoGradient::Unknown;
  else
    note_missing_gradient(x);
  return x.grad;
}

void Tensor::set_grad(const Tensor& g) {
  const TensorImpl& x = defined_impl();
  if (!g.defined()) return static_cast<void>(impl_->grad = Tensor());
  if (g.shape() != x.layout.shape || g.dtype() != x.dtype)
    fail<ShapeError>("set_grad: a gradient of {} {} does not fit a tensor of {} {}", g.dtype(), g.shape(),
                     dtype(), shape());
  // backward() adds to it in place: neither an expanded tensor nor x's own elements would do.
  const Layout &lx = x.layout, &lg = g.layout();
  const bool inside_x = x.storage == g.ref()->storage && lg.offset < lx.end() && lx.offset < lg.end();
  // A new handle, which leads to no other tensor: so no tensor is its own gradient's gradient.
  const EnableGrad recording;
  impl_->grad = g.requires_grad() || lg.overlaps() || inside_x ? g.clone() : g.detach();
  if (x.edge && x.edge.node->is_leaf()) static_cast<Leaf&>(*x.edge.node).count_arrival();
}

Tensor& Tensor::retain_grad() {
  defined_impl();
  const Edge e = edge();
  if (!e) fail<GradError>("retain_grad: this tensor does not require grad");
  if (e.node->is_leaf() || impl_->retains_grad) return *this;
  e.node->retain({e.slot, impl_.get()});
  impl_->retains_grad = true;
  return *this;
}

Tensor Tensor::detach() const {
  const TensorImpl& x = defined_impl();
  Tensor y = make_tensor(x.storage, x.layout, x.dtype);
  if (detail::tracer) [[unlikely]] {
    constexpr struct { const char* name = "detach"; } op;
    const Tensor *inputs[] = {this}, *results[] = {&y};
    detail::tell(op, inputs, results);
  }
  return y;
}

int64_t Tensor::add_hook(Ref<HookFunction> f) const {
  static std::atomic<int64_t> next_id{1};
  defined_impl("register_hook");
  const Edge e = edge();
  if (!e) fail<GradError>("register_hook: this tensor does not require grad");
  const int64_t id = next_id++;
  e.node->add_hook({id, e.slot, std::move(f)});
  return id;
}

void Tensor::remove_hook(int64_t id) const {
  defined_impl();
  const Edge e = edge();
  if (!e) fail<GradError>("remove_hook: this tensor does not require grad");
  if (!e.node->remove_hook(id, e.slot))
    fail<GradError>(
        "remove_hook: this tensor has no hook {}: it was removed before, belongs to another tensor, or to "
        "what this one was before a write in place",
        id);
}

std::string Tensor::op_name() const {
  defined_impl();
  const Edge& e = edge();
  return e && !e.node->is_leaf() ? e.node->name() : "";
}

Tensor Tensor::operator[](int64_t index) const { return select(0, index); }

}  // namespace gradus
