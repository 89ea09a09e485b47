#include <gradus/autograd/base/locks.h>
#include <gradus/autograd/base/stack.h>
#include <gradus/autograd/core/regions.h>
#include <gradus/autograd/engine/backward.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/index.h>
#include <gradus/autograd/ops/reduce.h>

#include <algorithm>
#include <memory>
#include <unordered_map>

namespace gradus {
namespace {

constinit thread_local int running = 0;  // passes, each in a hook or a rule of the one before

}  // namespace

detail::Running::Running() {
  // What a pass that is refused, and the hooks and kernels of the last that is not, may take.
  constexpr size_t kLeast = 64 << 10;
  if (running > 0 && stack_left() < kLeast)
    fail<GradError>(
        "backward: nested {} levels deep: hooks or rules run a pass in which hooks or rules run a pass, and "
        "so "
        "on, until less than {} KiB of the stack are left",
        running, kLeast >> 10);
  running++;
}
detail::Running::~Running() { running--; }

bool detail::run_hooks(const Node& n, std::span<Tensor> g) {
  bool replaced = false;
  // A copy: a hook may add or remove hooks, itself included.
  for (const std::vector<Node::Hook> hooks = n.hooks(); const Node::Hook& h : hooks) {
    Tensor& given = g[h.slot];
    if (!given.defined()) continue;
    const uint64_t before = versions({&given, 1});
    Tensor other = (*h.f)(given);
    if (versions({&given, 1}) != before)
      fail<GradError>(
          "backward: a hook on a result of '{}' wrote into its gradient, which may be that of other tensors, "
          "too; return the new one instead",
          n.name());
    if (!other.defined()) continue;
    if (!(other.shape() == given.shape()) || other.dtype() != given.dtype())
      fail<GradError>("backward: a hook on a result of '{}' gave {} {} for a gradient of {} {}", n.name(),
                      other.dtype(), other.shape(), given.dtype(), given.shape());
    given = std::move(other);
    replaced = true;
  }
  return replaced;
}

void detail::fit(Tensor& g, const Shape& shape, Dtype dtype, const Node& to) {
  if (!(g.shape() == shape)) {
    if (!broadcastable(shape, g.shape()))
      fail<GradError>("backward: a gradient of shape {} was given to a result of '{}' of shape {}", g.shape(),
                      to.name(), shape);
    g = sum_to(g, shape);
  }
  g = g.to(dtype);
}

void detail::fit(Part& p, const Shape& shape, Dtype dtype, const Node& to) {
  if (!p.index.defined()) return fit(p.g, p.region.shape, dtype, to);
  Shape rows = shape;
  rows[p.dim] = p.index.numel();
  fit(p.g, rows, dtype, to);
}

Tensor detail::whole(const Part& p, const Shape& shape) {
  if (!p.index.defined()) return embed(p.g, p.region, shape);
  Tensor g = zeros(shape, p.g.dtype());
  return index_add_(g, p.dim, p.index, p.g);
}

void detail::fail_wrote(const Node& n) {
  fail<GradError>(
      "backward: the rule of '{}' wrote into the gradient that it was given, which may be that of other "
      "tensors, too; compute a new one instead",
      n.name());
}

namespace {

/// One backward pass. Nodes run from the newest to the oldest: a node's seq is larger than those of all that
/// its edges lead to, so every gradient is complete when its node's turn comes.
class Pass final : public GradientSink {
 public:
  Pass(bool create_graph, bool free_saved)
      : id_(next_id()), create_graph_(create_graph), free_saved_(free_saved) {
    innermost = this;
    spare.give(heap_, leaves_, arrivals_);
  }
  ~Pass() {
    // After an error, nodes are left as they were before the pass.
    if (now_) release(*now_);
    for (Node* n : heap_) release(*n);
    for (Node* n : marked_) release(*n);
    innermost = outer_;
    spare.take(heap_, leaves_, arrivals_);
  }

  // Passes may be nested: they take as little of the stack as they can.
  static void* operator new(size_t bytes) { return pool::allocate(bytes); }
  static void operator delete(void* p, size_t bytes) noexcept { pool::release(p, bytes); }

  /// Runs only nodes that lead to `targets`; the gradient of targets[i] is kept in places[i].
  void restrict_to(std::span<const Edge> roots, std::span<const Edge> targets, std::span<Tensor> places);
  void run();
  [[gnu::noinline]] void commit();

  bool wanted(const Edge& e) const override {
    if (!restricted_) return true;
    return e.node->is_leaf() ? is_target(e.node.get())
                             : e.node->pass().load(std::memory_order_relaxed) == id_;
  }
  void give(const Edge& e, Tensor g) override;
  void give_part(const Edge& e, Part p) override;

 private:
  struct Capture {
    const Node* node;
    uint32_t slot;
    Tensor* place;
    bool operator<(const Capture& c) const { return std::less<>()(node, c.node); }
  };
  struct LeafGradient {
    Ref<Node> leaf;
    Ref<TensorImpl> g;
  };
  struct Arrival {
    Ref<Node> node;  // keeps the owner's registration alive
    uint32_t slot;
    TensorImpl* owner;
    Tensor g;
    Tensor before = {};  // what commit() has put another in place of
  };

  /// The memory of the lists of the last pass on this thread, for the next: three calls of malloc cost more
  /// than a small op.
  struct Spare {
    std::vector<Node*> heap;
    std::vector<LeafGradient> leaves;
    std::vector<Arrival> arrivals;

    ~Spare() { spare_ended = true; }
    void give(auto& h, auto& l, auto& a) noexcept {
      if (!spare_ended) heap.swap(h), leaves.swap(l), arrivals.swap(a);
    }
    void take(auto& h, auto& l, auto& a) noexcept {
      if (spare_ended) return;
      h.clear(), l.clear(), a.clear();
      if (h.capacity() <= kMost) heap.swap(h);
      if (l.capacity() <= kMost) leaves.swap(l);
      if (a.capacity() <= kMost) arrivals.swap(a);
    }
    static constexpr size_t kMost = 4096;
  };
  static thread_local Spare spare;
  static constinit thread_local bool spare_ended;  // the thread is ending: a static destructor runs a pass
  static constinit thread_local Pass* innermost;

  static uint32_t next_id() noexcept {
    static std::atomic<uint32_t> last{0};
    uint32_t id;
    do id = ++last;
    while (id == 0);
    return id;
  }
  /// Makes n this pass's. Throws where another holds it; but what one around this is running it may run, too.
  void claim(const char* op, Node& n);
  static bool older(const Node* a, const Node* b) noexcept { return a->seq() < b->seq(); }
  void release(Node& n) noexcept {
    if (n.pass().load(std::memory_order_relaxed) != id_) return;
    for (uint32_t k = 0; k < n.num_outputs(); k++) n.pending(k) = nullptr;
    uint32_t before = 0;
    if (!lent_.empty())
      if (const auto l = lent_.find(&n); l != lent_.end()) before = l->second;
    n.queued() = false;
    n.pass().store(before, std::memory_order_release);
  }
  void push(Node* n) {
    heap_.push_back(n);
    std::push_heap(heap_.begin(), heap_.end(), older);
    n->queued() = true;
  }
  /// The first of n's captures, if it has any.
  auto first_capture(const Node* n) const {
    return std::lower_bound(captures_.begin(), captures_.end(), Capture{n, 0, nullptr});
  }
  bool is_target(const Node* n) const {
    const auto c = first_capture(n);
    return c != captures_.end() && c->node == n;
  }
  /// Where what flows along e gathers; its node's turn will come.
  Ref<TensorImpl>& place_of(const Edge& e);
  /// Adds g to what has arrived before.
  void add(Ref<TensorImpl>& arrived, Tensor g) const;
  Ref<TensorImpl>& gradient_of(Node& leaf);
  void run_node(Node& n);
  /// Whether a leaf may take its gradient over: nobody else holds it.
  static bool is_its_own(const Arrival& a);
  [[gnu::noinline]] void run_leaf(LeafGradient& l);
  bool capture_from(const Node& n, std::span<const Tensor> g);

  static constexpr size_t kFew = 16;
  const detail::Running running_;
  const uint32_t id_;
  const bool create_graph_, free_saved_;
  bool restricted_ = false;
  Pass* const outer_ = innermost;                   // in a hook or a rule of which this runs
  Node* now_ = nullptr;                             // the node that runs
  std::unordered_map<const Node*, uint32_t> lent_;  // by the passes around this, with their numbers
  std::vector<Node*> heap_, marked_;
  // Threads that run graphs of their own may share leaves: these gradients gather here, not in the node.
  std::vector<LeafGradient> leaves_;
  std::unordered_map<const Node*, size_t> leaf_index_;  // once there are many
  std::vector<Capture> captures_;                       // by node
  std::vector<Arrival> arrivals_;
};

thread_local Pass::Spare Pass::spare;
constinit thread_local bool Pass::spare_ended = false;
constinit thread_local Pass* Pass::innermost = nullptr;

void Pass::claim(const char* op, Node& n) {
  std::atomic<uint32_t>& pass = n.pass();
  uint32_t before = pass.load(std::memory_order_relaxed);
  if (before == id_) return;
  if (before == 0) {
    // Two threads may run passes over one graph; one has all of it, or is refused.
    if (detail::single_threaded()) return pass.store(id_, std::memory_order_relaxed);
    if (pass.compare_exchange_strong(before, id_, std::memory_order_acquire)) return;
  }
  for (const Pass* p = outer_; p; p = p->outer_)
    if (p->now_ == &n && before == p->id_) {
      lent_.emplace(&n, before);
      return pass.store(id_, std::memory_order_relaxed);
    }
  fail<GradError>("{}: '{}' is part of another backward pass that has not ended", op, n.name());
}

bool is_dense_alone(const Tensor& g) {
  return g.ref().unique() && g.ref()->storage->alone() && g.is_contiguous() && !g.edge();
}

bool Pass::is_its_own(const Arrival& a) {
  if (is_dense_alone(a.g)) return true;
  // What rules save may hold a recorded one's memory; but a view of the leaf would make it hold itself.
  const TensorImpl& g = *a.g.impl();
  return g.edge && !g.base && g.storage != a.owner->storage && a.g.ref().unique() && a.g.is_contiguous();
}

void Pass::give(const Edge& e, Tensor g) {
  if (!g.defined()) return;
  Node& n = *e.node;
  if (!n.has_shape(e.slot, g.shape()) || g.dtype() != n.dtype(e.slot))
    detail::fit(g, n.shape(e.slot), n.dtype(e.slot), n);
  add(place_of(e), std::move(g));
}

void Pass::give_part(const Edge& e, Part p) {
  Node& n = *e.node;
  const Shape shape = n.shape(e.slot);
  detail::fit(p, shape, n.dtype(e.slot), n);
  Ref<TensorImpl>& arrived = place_of(e);
  Tensor sum;
  if (!arrived) {
    sum = detail::whole(p, shape);
  } else {
    sum = Tensor(std::move(arrived));
    // Hooks and whoever asked for it may hold what arrived whole, and rules what was recorded.
    const bool alone = sum.ref().unique() && sum.ref()->storage->alone() && sum.is_contiguous();
    if (!alone || sum.impl()->made_under_no_grad || (sum.edge() && !create_graph_)) sum = sum.clone();
    if (p.index.defined())
      index_add_(sum, p.dim, p.index, p.g);
    else
      embed_(sum, p.region, p.g);
  }
  arrived = std::move(sum).release();
}

Ref<TensorImpl>& Pass::place_of(const Edge& e) {
  Node& n = *e.node;
  if (n.is_leaf()) return gradient_of(n);
  claim("backward", n);
  if (!n.queued()) push(&n);
  return n.pending(e.slot);
}

void Pass::add(Ref<TensorImpl>& arrived, Tensor g) const {
  if (arrived) {
    Tensor sum(std::move(arrived));
    if (!create_graph_ && is_dense_alone(sum))
      sum.add_(g);
    else
      sum = sum + g;
    g = std::move(sum);
  }
  arrived = std::move(g).release();
}

Ref<TensorImpl>& Pass::gradient_of(Node& leaf) {
  if (leaves_.size() <= kFew) {
    for (LeafGradient& l : leaves_)
      if (l.leaf.get() == &leaf) return l.g;
  } else if (const auto known = leaf_index_.find(&leaf); known != leaf_index_.end()) {
    return leaves_[known->second].g;
  }
  leaves_.push_back({Ref<Node>(&leaf), nullptr});
  if (leaves_.size() > kFew)
    for (size_t i = leaf_index_.size(); i < leaves_.size(); i++)
      leaf_index_.emplace(leaves_[i].leaf.get(), i);
  return leaves_.back().g;
}

void Pass::restrict_to(std::span<const Edge> roots, std::span<const Edge> targets, std::span<Tensor> places) {
  restricted_ = true;
  captures_.reserve(targets.size());
  for (size_t i = 0; i < targets.size(); i++)
    captures_.push_back({targets[i].node.get(), targets[i].slot, &places[i]});
  std::sort(captures_.begin(), captures_.end());
  // All nodes below the roots, oldest first; one is needed if it is a target or an edge of it leads to one
  // that is.
  const auto visit = [&](const Edge& e) {
    if (!e || e.node->is_leaf()) return;
    if (e.node->pass().load(std::memory_order_relaxed) == id_) return;
    marked_.push_back(e.node.get());  // before it is claimed: what fails is released
    claim("grad", *e.node);
  };
  for (const Edge& e : roots) visit(e);
  for (size_t i = 0; i < marked_.size(); i++)
    for (const Edge& e : marked_[i]->edges()) visit(e);
  std::sort(marked_.begin(), marked_.end(), older);
  size_t needed = 0;
  for (Node* n : marked_) {
    bool leads = is_target(n);
    for (const Edge& e : n->edges()) leads = leads || (e && wanted(e));
    if (leads)
      marked_[needed++] = n;
    else
      release(*n);
  }
  marked_.resize(needed);
}

bool Pass::capture_from(const Node& n, std::span<const Tensor> g) {
  const auto first = first_capture(&n);
  auto c = first;
  for (; c != captures_.end() && c->node == &n; ++c) *c->place = g[c->slot];
  return c != first;
}

void Pass::run_leaf(LeafGradient& l) {
  Node& n = *l.leaf;
  Tensor g[] = {Tensor(std::move(l.g))};
  if (n.has_extras()) detail::run_hooks(n, g);
  if (!captures_.empty()) capture_from(n, g);
  const Leaf& leaf = static_cast<const Leaf&>(n);
  TensorImpl* owner = leaf.owner();
  if (!restricted_ && !owner && leaf.is_copy)
    fail<GradError>(
        "backward: a copy of a parameter of shape {} got the gradient, and is gone: `auto w = layer.weight`, "
        "or a model taken by value, copies; take `Tensor w`, or the model by reference",
        leaf.shape(0));
  if (!restricted_ && owner) arrivals_.push_back({l.leaf, 0, owner, std::move(g[0])});
}

void Pass::run_node(Node& n) {
  Tensor one[1];
  std::vector<Tensor> many;
  if (n.num_outputs() > 1) many.resize(n.num_outputs());
  heap_.pop_back();  // not before what may throw: then the node would be left as it is
  n.queued() = false;
  now_ = &n;
  const std::span<Tensor> g = many.empty() ? std::span<Tensor>(one) : std::span<Tensor>(many);
  for (uint32_t k = 0; k < n.num_outputs(); k++) g[k] = Tensor(std::exchange(n.pending(k), nullptr));

  if (n.has_extras()) {
    detail::run_hooks(n, g);
    if (!restricted_)
      for (const Node::Retained& r : n.retained())
        if (g[r.slot].defined()) arrivals_.push_back({Ref<Node>(&n), r.slot, r.owner, g[r.slot]});
  }
  // A target of grad() that leads to no other target needs nothing saved.
  if (captures_.empty() || !capture_from(n, g) ||
      std::any_of(n.edges().begin(), n.edges().end(), [&](const Edge& e) { return e && wanted(e); })) {
    Back back(n, g, create_graph_, !restricted_, *this);
    detail::run_rule(n, back, g);
    if (free_saved_) n.free_saved();
  }
  now_ = nullptr;
  release(n);
}

void Pass::run() {
  const GradMode mode(create_graph_);
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), older);
    run_node(*heap_.back());
  }
  for (LeafGradient& l : leaves_) run_leaf(l);
}

void Pass::commit() {
  const std::lock_guard held(detail::locks.gradients);
  const GradMode mode(create_graph_);
  const auto alive = [](const Arrival& a) {
    const Node& n = *a.node;
    return n.is_leaf() ? static_cast<const Leaf&>(n).owner() == a.owner : n.retains(a.owner);
  };
  // What is replaced ends when nothing is locked any more: a tensor's end may lock, and run anything.
  const auto replace = [](Arrival& a, Tensor g) { a.before = std::exchange(a.g, std::move(g)); };
  const auto adds_in_place = [&](const Tensor& grad) {
    return grad.defined() && !create_graph_ && !grad.edge();
  };
  // What needs memory comes first, so that a failure leaves every gradient as it was.
  for (Arrival& a : arrivals_) {
    if (!alive(a)) continue;
    const Tensor& grad = a.owner->grad;
    if (adds_in_place(grad)) {
      if (detail::share_memory(a.g, grad)) replace(a, a.g.clone());
    } else if (grad.defined()) {
      replace(a, grad + a.g);
    } else if (!is_its_own(a)) {
      replace(a, a.g.clone());
    }
  }
  for (Arrival& a : arrivals_) {
    if (!alive(a)) continue;
    Tensor& grad = a.owner->grad;
    const bool fresh = !adds_in_place(grad);
    if (fresh)
      std::swap(grad, a.g);
    else
      grad.add_(a.g);
    if (a.node->is_leaf()) static_cast<Leaf&>(*a.node).count_arrival();
    if (is_recording()) detail::recorder->committed(*a.owner, fresh);
  }
}

/// The gradient to start from at the output y, checked.
Tensor seed(const char* op, const Tensor& y, const Tensor& given) {
  if (!y.requires_grad())
    fail<GradError>(
        "{}: the output does not require grad: nothing that it was computed from does, or it was made under "
        "NoGrad",
        op);
  if (!given.defined()) {
    if (y.numel() != 1)
      fail<GradError>("{}: the output has {} elements: {}; give its gradient, or reduce it to one element",
                      op, y.numel(), y.shape());
    return ones_like(y);
  }
  if (!(given.shape() == y.shape()))
    fail<ShapeError>("{}: a gradient of shape {} for an output of shape {}", op, given.shape(), y.shape());
  if (!is_floating(given.dtype()))
    fail<DtypeError>("{}: the gradient of an output must be floating, not {}", op, given.dtype());
  return given;
}

void check_outputs(const char* op, std::span<const Tensor> outputs, size_t gradients) {
  if (outputs.empty()) fail<GradError>("{}: there is no output to start from", op);
  if (gradients != 0 && gradients != outputs.size())
    fail<GradError>("{}: {} gradients for {} outputs", op, gradients, outputs.size());
  detail::check_each_defined(op, "output", outputs);
}

[[gnu::noinline]] void start(Pass& pass, std::span<const Tensor> outputs, std::span<const Tensor> gradients,
                             bool create_graph) {
  const GradMode mode(create_graph);
  for (size_t i = 0; i < outputs.size(); i++)
    pass.give(outputs[i].edge(), seed("backward", outputs[i], gradients.empty() ? Tensor() : gradients[i]));
}

void run_backward(std::span<const Tensor> outputs, std::span<const Tensor> gradients, bool retain_graph,
                  bool create_graph) {
  check_outputs("backward", outputs, gradients.size());
  const auto pass = std::make_unique<Pass>(create_graph, !retain_graph && !create_graph);
  start(*pass, outputs, gradients, create_graph);
  pass->run();
  pass->commit();
}

}  // namespace

void backward(const Tensors& outputs, const Tensors& gradients, bool retain_graph, bool create_graph) {
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): a hook may drop the caller's list
  const Tensors y = outputs;
  run_backward(y, gradients, retain_graph, create_graph);
}

Tensors grad(const Tensors& outputs, const Tensors& inputs, const Tensors& grad_outputs,
             GradOptions options) {
  check_outputs("grad", outputs, grad_outputs.size());
  Tensors g;
  for (size_t i = 0; i < outputs.size(); i++)
    g.push_back(seed("grad", outputs[i], grad_outputs.empty() ? Tensor() : grad_outputs[i]));
  if (inputs.empty()) fail<GradError>("grad: there is no input to differentiate with respect to");
  detail::check_each_defined("grad", "input", inputs);
  std::vector<Edge> roots, targets;
  for (const Tensor& y : outputs) roots.push_back(y.edge());
  for (size_t i = 0; i < inputs.size(); i++) {
    if (!inputs[i].requires_grad()) fail<GradError>("grad: input {} does not require grad", i);
    targets.push_back(inputs[i].edge());
  }
  Tensors result(inputs.size());
  const auto pass =
      std::make_unique<Pass>(options.create_graph, !options.retain_graph && !options.create_graph);
  pass->restrict_to(roots, targets, result);
  {
    const GradMode mode(options.create_graph);
    for (size_t i = 0; i < outputs.size(); i++)
      if (pass->wanted(roots[i])) pass->give(roots[i], std::move(g[i]));
  }
  pass->run();
  for (size_t i = 0; i < inputs.size(); i++) {
    if (!result[i].defined() && !options.allow_unused)
      fail<GradError>("grad: no output depends on input {}; allow_unused gives an undefined gradient instead",
                      i);
    // Two inputs may have got one and the same gradient (of a + b, say); the caller owns what it gets.
    if (result[i].defined() && !options.create_graph && !result[i].ref().unique())
      result[i] = result[i].clone();
  }
  return result;
}

void Tensor::backward(const Tensor& gradient, bool retain_graph, bool create_graph) const {
  defined_impl();
  // A hook may drop the caller's handle.
  const Tensor y = *this;
  run_backward({&y, 1}, {&gradient, 1}, retain_graph, create_graph);
}

}  // namespace gradus
