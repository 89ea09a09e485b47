#include <gradus/autograd/base/pool.h>
#include <gradus/autograd/core/apply.h>
#include <gradus/autograd/kernels/copy.h>

#include <bit>
#include <new>

namespace gradus {
namespace {

constexpr size_t aligned8(size_t n) { return (n + 7) / 8 * 8; }

/// This thread's clock: see Node::seq.
constinit thread_local uint64_t clock = 0;

constinit thread_local Node* dying = nullptr;
constinit thread_local bool draining = false;

template <class F>
void for_each_kept(Needs keep, std::span<const Tensor* const> ins, std::span<const Tensor* const> outs, F f) {
  for (unsigned bits = keep.ins; bits; bits &= bits - 1) {
    const auto i = static_cast<uint32_t>(std::countr_zero(bits));
    if (i < ins.size() && ins[i]->defined()) f(*ins[i], false, i);
  }
  for (unsigned bits = keep.outs; bits; bits &= bits - 1) {
    const auto k = static_cast<uint32_t>(std::countr_zero(bits));
    if (k < outs.size() && outs[k]->defined()) f(*outs[k], true, k);
  }
}

}  // namespace

size_t Node::bytes_of(size_t object, const Plan& plan) noexcept {
  size_t n = aligned8(object) + plan.edges.size() * sizeof(Edge) + plan.outs.size() * sizeof(Ref<TensorImpl>);
  for (const Tensor* y : plan.outs) n += 8 + 8 * static_cast<size_t>(y->layout().rank());
  if (plan.keep == nothing) return n;
  for_each_kept(plan.keep, plan.ins, plan.outs, [&](const Tensor& x, bool, uint32_t) {
    n += sizeof(Saved) + 16 * static_cast<size_t>(x.layout().rank());
  });
  return n;
}

void* Node::allocate(size_t bytes) {
  return bytes <= pool::kLargest ? pool::allocate(bytes) : ::operator new(bytes);
}

void Node::init(size_t object, size_t bytes, const Plan& plan) noexcept {
  object_ = static_cast<uint16_t>(aligned8(object));
  bytes_ = static_cast<uint32_t>(bytes);
  n_in_ = static_cast<uint32_t>(plan.edges.size());
  n_out_ = static_cast<uint16_t>(plan.outs.size());
  n_saved_ = 0;
  extras_ = nullptr;
  seq_ = clock;
  for (uint32_t i = 0; i < n_in_; i++) {
    const Edge* e = new (edges_begin() + i) Edge(*plan.edges[i]);
    if (*e && e->node->seq() > seq_) seq_ = e->node->seq();
  }
  clock = ++seq_;
  for (uint32_t k = 0; k < n_out_; k++) new (pending_begin() + k) Ref<TensorImpl>();
  int64_t* word = outputs_begin();
  for (const Tensor* y : plan.outs) {
    const Shape& s = y->shape();
    *word++ = static_cast<int64_t>(y->dtype()) | s.rank() << 8;
    word = std::copy(s.begin(), s.end(), word);
  }
  saved_offset_ = static_cast<uint32_t>(reinterpret_cast<char*>(word) - self());
  if (plan.keep == nothing) return;
  Saved* saved = saved_begin();
  for_each_kept(plan.keep, plan.ins, plan.outs, [&](const Tensor& x, bool is_output, uint32_t index) {
    const TensorImpl& impl = *x.impl();
    new (saved) Saved{impl.storage,
                      impl.layout.offset,
                      impl.storage->version(),
                      impl.dtype,
                      static_cast<uint8_t>(impl.layout.rank()),
                      is_output,
                      index};
    int64_t* dims = std::copy(impl.layout.shape.begin(), impl.layout.shape.end(), saved->dims());
    std::copy(impl.layout.strides, impl.layout.strides + impl.layout.rank(), dims);
    saved = saved->next();
    n_saved_++;
  });
}

Shape Node::shape(uint32_t slot) const noexcept {
  const int64_t* word = output(slot);
  return Shape(word + 1, static_cast<size_t>(*word >> 8));
}

bool Node::has_shape(uint32_t slot, const Shape& s) const noexcept {
  const int64_t* word = output(slot);
  if (*word++ >> 8 != s.rank()) return false;
  for (int64_t d : s)
    if (d != *word++) return false;
  return true;
}

Dtype Node::dtype(uint32_t slot) const noexcept { return static_cast<Dtype>(*output(slot) & 0xff); }

Tensor Node::read_saved(bool is_output, uint32_t index) const {
  Saved* s = saved_begin();
  for (uint32_t k = 0; k < n_saved_; k++, s = s->next()) {
    if (s->is_output != is_output || s->index != index) continue;
    if (!s->storage)
      fail<GradError>(
          "backward: the values that '{}' saved were freed by an earlier backward(); pass retain_graph to "
          "run twice",
          name());
    if (s->storage->version() != s->version)
      fail<GradError>(
          "backward: '{}' saved a value that was changed in place afterwards (version {}, saved at {}); "
          "clone() it first",
          name(), s->storage->version(), s->version);
    Layout l;
    l.shape = Shape(s->dims(), s->rank);
    std::copy(s->dims() + s->rank, s->dims() + 2 * s->rank, l.strides);
    l.offset = s->offset;
    Tensor x = make_tensor(s->storage, l, s->dtype);
    if (is_floating(s->dtype))
      x.impl()->edge = is_output ? Edge(Ref<Node>(const_cast<Node*>(this)), index) : edges()[index];
    return x;
  }
  fail<GradError>("backward: the rule of '{}' reads {} {}, which its needs do not declare", name(),
                  is_output ? "output" : "input", index);
}

void Node::free_saved() noexcept {
  Saved* s = saved_begin();
  for (uint32_t k = 0; k < n_saved_; k++, s = s->next()) s->storage = nullptr;
  freed_ = n_saved_ > 0;
}

Node::Extras& Node::ensure_extras() {
  if (!extras_) extras_ = new Extras;
  return *extras_;
}

void Node::forget_retained(TensorImpl* owner) noexcept {
  if (extras_) std::erase_if(extras_->retained, [&](const Extras::Retained& r) { return r.owner == owner; });
}

void Node::destroy() noexcept {
  delete extras_;
  for (uint32_t k = 0; k < n_out_; k++) std::destroy_at(pending_begin() + k);
  for (uint32_t i = 0; i < n_in_; i++) std::destroy_at(edges_begin() + i);
  Saved* s = saved_begin();
  for (uint32_t k = 0; k < n_saved_; k++) {
    Saved* next = s->next();
    std::destroy_at(s);
    s = next;
  }
  const size_t bytes = bytes_;
  if (bytes <= pool::kLargest)
    pool::release(this, bytes);
  else
    ::operator delete(this);
}

void Node::dispose() noexcept {
  next_dying_ = dying;
  dying = this;
  if (draining) return;
  draining = true;
  while (Node* n = dying) {
    dying = n->next_dying_;
    n->destroy();
  }
  draining = false;
}

Ref<Node> Leaf::make(TensorImpl* owner) {
  // A leaf's own tensor describes its one output.
  const Tensor x{Ref<TensorImpl>(owner)};
  const Tensor* outs[] = {&x};
  const Plan plan{{}, {}, outs, nothing};
  const size_t bytes = bytes_of(sizeof(Leaf), plan);
  Leaf* leaf = new (allocate(bytes)) Leaf(owner);
  leaf->init(sizeof(Leaf), bytes, plan);
  return Ref<Node>::first(leaf);
}

Tensor Back::zeros_for(uint32_t k) const {
  Tensor z = make_empty(node_.shape(k), node_.dtype(k));
  kernels::fill(z.dtype(), z.raw(), z.layout(), 0);
  return z;
}

}  // namespace gradus
