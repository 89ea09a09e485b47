#include <gradus/autograd/base/locks.h>
#include <gradus/autograd/base/pool.h>
#include <gradus/autograd/core/apply.h>
#include <gradus/autograd/kernels/copy.h>

#include <limits>

namespace gradus {
namespace {

constinit thread_local Node* dying = nullptr;
constinit thread_local bool draining = false;

}  // namespace

constinit thread_local uint64_t detail::clock = 0;
constinit thread_local bool detail::grad_enabled = true, detail::keep_values = false;

Tensor Node::read_saved(bool is_output, uint32_t index) const {
  Saved* const s = find_saved(is_output, index);
  if (!s) [[unlikely]]
    fail_not_saved(is_output, index);
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

Node::Saved* Node::find_saved(bool is_output, uint32_t index) const noexcept {
  const auto found = [&](const Saved* s) { return s->is_output == is_output && s->index == index; };
  // Of a list, all inputs are there, in order.
  if (index < n_saved_ && found(saved(index))) return saved(index);
  for (uint32_t k = 0; k < n_saved_; k++)
    if (found(saved(k))) return saved(k);
  return nullptr;
}

void Node::fail_not_saved(bool is_output, uint32_t index) const {
  const char* const what = is_output ? "output" : "input";
  if (const uint32_t count = is_output ? n_out_ : n_in_; index >= count)
    fail<GradError>("backward: the rule of '{}' reads {} {}, it has {}", name(), what, index, count);
  const Declared op = declared();
  if (op.on_list && !is_output && !(op.needs.size() && op.needs[0].ins))
    fail<GradError>(
        "backward: the rule of '{}' reads input {}: an op on a list of tensors saves none of them, unless it "
        "declares needs[] = {{all_inputs}}",
        name(), index);
  std::string elsewhere;
  for (uint32_t i = 0; i < op.needs.size() && i < n_in_; i++) {
    const bool all = op.on_list && !is_output;
    if (!all && !((is_output ? op.needs[i].outs : op.needs[i].ins) >> index & 1)) continue;
    if (all || edges()[i])
      fail<GradError>("backward: the rule of '{}' reads {} {}, which is undefined", name(), what, index);
    elsewhere = fmt::format("needs[{}]", i);
  }
  if (!elsewhere.empty())
    fail<GradError>(
        "backward: the rule of '{}' reads {} {}, which only {} declares: the gradient of another input reads "
        "it, too",
        name(), what, index, elsewhere);
  fail<GradError>("backward: the rule of '{}' reads {} {}, which its needs do not declare", name(), what,
                  index);
}

void Node::free_saved() noexcept {
  for (uint32_t k = 0; k < n_saved_; k++) saved(k)->storage = nullptr;
  freed_ = n_saved_ > 0;
}

void* Node::allocate_large(size_t bytes) {
  if (bytes > std::numeric_limits<uint32_t>::max())
    fail(
        "record: the node of an op would take {} bytes, for its attributes and inputs: at most 4 GiB can be "
        "had",
        bytes);
  return ::operator new(bytes);
}

void Node::save_written() noexcept {
  for (uint32_t k = 0; k < n_saved_; k++)
    if (Saved* const s = saved(k); s->is_output) s->version = s->storage->version();
}

Node::Extras& Node::ensure_extras() {
  if (!has_extras()) extras_.store(new Extras, std::memory_order_release);
  return *extras_;
}

std::vector<Node::Hook> Node::hooks() const {
  if (!has_extras()) return {};
  const std::lock_guard held(detail::locks.hooks);
  return extras_.load()->hooks;
}

std::vector<Node::Retained> Node::retained() const {
  if (!has_extras()) return {};
  const std::lock_guard held(detail::locks.hooks);
  return extras_.load()->retained;
}

void Node::add_hook(Hook hook) {
  const std::lock_guard held(detail::locks.hooks);
  ensure_extras().hooks.push_back(std::move(hook));
}

Ref<HookFunction> Node::remove_hook(int64_t id, uint32_t slot) {
  if (!has_extras()) return {};
  const std::lock_guard held(detail::locks.hooks);
  std::vector<Hook>& hooks = extras_.load()->hooks;
  const auto h =
      std::find_if(hooks.begin(), hooks.end(), [&](const Hook& h) { return h.id == id && h.slot == slot; });
  if (h == hooks.end()) return {};
  Ref<HookFunction> f = std::move(h->f);
  hooks.erase(h);
  return f;
}

void Node::retain(Retained r) {
  const std::lock_guard held(detail::locks.hooks);
  ensure_extras().retained.push_back(r);
}

bool Node::retains(TensorImpl* owner) const noexcept {
  if (!has_extras()) return false;
  const std::lock_guard held(detail::locks.hooks);
  const std::vector<Retained>& list = extras_.load()->retained;
  return std::any_of(list.begin(), list.end(), [&](const Retained& r) { return r.owner == owner; });
}

void Node::forget_retained(TensorImpl* owner) noexcept {
  if (!has_extras()) return;
  const std::lock_guard held(detail::locks.hooks);
  std::erase_if(extras_.load()->retained, [&](const Retained& r) { return r.owner == owner; });
}

void Node::destroy() noexcept {
  if (owns_) destroy_op();
  delete extras_.load(std::memory_order_relaxed);
  for (uint32_t k = 0; k < n_out_; k++) std::destroy_at(pending_begin() + k);
  for (uint32_t i = 0; i < n_in_; i++) std::destroy_at(edges_begin() + i);
  for (uint32_t k = 0; k < n_saved_; k++) std::destroy_at(saved(k));
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

void Back::fail_no_rule(uint32_t i) const {
  fail<GradError>(
      "backward: '{0}' has no rule for input {1}, whose gradient is wanted: write vjp(In<{1}>, const Back&), "
      "which may give Tensor() for none, or detach() the input",
      node_.name(), i);
}

void Back::fail_no_gradient_of(size_t k, uint32_t differentiable) const {
  fail<GradError>(
      "backward: a gradient arrived at result {} of '{}', of which only the first {} have gradients: make it "
      "differentiable, compute it again in the rule that reads it, or detach() it where it is a constant",
      k, node_.name(), differentiable);
}

void Back::fail_not_wanted(uint32_t i) const {
  if (i >= node_.num_inputs())
    fail<GradError>("backward: the rule of '{}' asks about input {}, it has {}", node_.name(), i,
                    node_.num_inputs());
  fail<GradError>(
      "backward: the rule of '{}' asks for the shape or dtype of input {}, whose gradient is not wanted; "
      "in({}) has them",
      node_.name(), i, i);
}

void Back::fail_no_output(uint32_t k) const {
  fail<GradError>("backward: the rule of '{}' asks about output {}, it has {}", node_.name(), k, g_.size());
}

void detail::refuse_changed(const char* op, const Tensor& x) {
  if (x.defined() && x.requires_grad())
    fail<GradError>(
        "{}: an input of shape {} that requires grad was changed in place, which its history does not know: "
        "clone() it first",
        op, x.shape());
}

void detail::unshare(const char* op, Tensor& y) {
  if (!y.defined()) fail("{}: value() gave an undefined tensor", op);
  const NoGrad no_grad;
  y = y.clone();
}

bool detail::in_memory(const Layout& view, const Tensor& x) {
  int64_t first = view.offset, last = view.offset;
  for (int i = 0; i < view.rank(); i++) {
    if (view.shape[i] == 0) return true;
    int64_t& end = view.strides[i] < 0 ? first : last;
    int64_t reach;
    if (__builtin_mul_overflow(view.shape[i] - 1, view.strides[i], &reach) ||
        __builtin_add_overflow(end, reach, &end))
      return false;
  }
  return first >= 0 && last < x.storage().bytes() / item_size(x.dtype());
}

Tensor Back::zeros_for(uint32_t k) const {
  Tensor z = make_empty(node_.shape(k), node_.dtype(k));
  launch(kernels::Fill{writes(z), 0});
  return z;
}

}  // namespace gradus
