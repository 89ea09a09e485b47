#include <gradus/autograd/base/pool.h>
#include <gradus/autograd/core/apply.h>
#include <gradus/autograd/kernels/copy.h>

namespace gradus {
namespace {

constinit thread_local Node* dying = nullptr;
constinit thread_local bool draining = false;

}  // namespace

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
    const int64_t* const dims = s->dims();
    Tensor x(Ref<TensorImpl>::first(new (pool::allocate(sizeof(TensorImpl))) TensorImpl(
        s->storage, s->dtype, int{s->rank}, dims, dims + s->rank, s->offset)));
    // Its history matters to rules that are recorded only.
    if (is_grad_enabled() && is_floating(s->dtype))
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

constinit std::atomic<uint64_t> Leaf::arrivals_{0};

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
  launch({&z.storage()}, kernels::fill, z.dtype(), z.raw(), z.layout(), Scalar(0));
  return z;
}

}  // namespace gradus
