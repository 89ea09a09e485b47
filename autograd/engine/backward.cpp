#include <gradus/autograd/core/apply.h>
#include <gradus/autograd/engine/backward.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/reduce.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>

namespace gradus {
namespace {

/// One backward pass. Nodes run from the newest to the oldest: a node's seq is larger than those of all that
/// its edges lead to, so every gradient is complete when its node's turn comes.
class Pass final : public GradientSink {
 public:
  Pass(bool create_graph, bool free_saved)
      : id_(next_id()), create_graph_(create_graph), free_saved_(free_saved) {
    spare.give(heap_, leaves_, arrivals_);
  }
  ~Pass() {
    // After an error, nodes are left as they were before the pass.
    for (Node* n : heap_) release(*n);
    for (Node* n : marked_) release(*n);
    spare.take(heap_, leaves_, arrivals_);
  }

  /// Runs only nodes that lead to `targets`.
  void restrict_to(std::span<const Edge> roots, std::span<const Edge> targets);
  /// The gradient of `e`'s tensor is to be kept in `place`.
  void capture(const Edge& e, Tensor& place) { captures_.push_back({e.node.get(), e.slot, &place}); }
  void start(const Edge& e, Tensor g) { give(e, std::move(g)); }
  void run();
  void commit();

  bool wanted(const Edge& e) const override {
    if (!restricted_) return true;
    return e.node->is_leaf() ? is_target(e.node.get())
                             : e.node->pass().load(std::memory_order_relaxed) == id_;
  }
  void give(const Edge& e, Tensor g) override;

 private:
  struct Capture {
    Node* node;
    uint32_t slot;
    Tensor* place;
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
  };

  /// The memory of the lists of the last pass on this thread, for the next: three calls of malloc cost more
  /// than a small op.
  struct Spare {
    std::vector<Node*> heap;
    std::vector<LeafGradient> leaves;
    std::vector<Arrival> arrivals;

    void give(auto& h, auto& l, auto& a) noexcept { heap.swap(h), leaves.swap(l), arrivals.swap(a); }
    void take(auto& h, auto& l, auto& a) noexcept {
      h.clear(), l.clear(), a.clear();
      if (h.capacity() <= kMost) heap.swap(h);
      if (l.capacity() <= kMost) leaves.swap(l);
      if (a.capacity() <= kMost) arrivals.swap(a);
    }
    static constexpr size_t kMost = 4096;
  };
  static thread_local Spare spare;

  static uint32_t next_id() noexcept {
    static std::atomic<uint32_t> last{0};
    uint32_t id;
    do id = ++last;
    while (id == 0);
    return id;
  }
  static bool older(const Node* a, const Node* b) noexcept { return a->seq() < b->seq(); }
  void release(Node& n) noexcept {
    if (n.pass().load(std::memory_order_relaxed) != id_) return;
    for (uint32_t k = 0; k < n.num_outputs(); k++) n.pending(k) = nullptr;
    n.pass().store(0, std::memory_order_relaxed);
  }
  void push(Node* n) {
    heap_.push_back(n);
    std::push_heap(heap_.begin(), heap_.end(), older);
  }
  bool is_target(const Node* n) const { return std::binary_search(targets_.begin(), targets_.end(), n); }
  /// Adds g to what has arrived before.
  void add(Ref<TensorImpl>& arrived, Tensor g) const;
  Ref<TensorImpl>& gradient_of(Node& leaf);
  void run_node(Node& n);
  void run_leaf(LeafGradient& l);
  void run_hooks(Node& n, std::span<Tensor> g);
  bool capture_from(const Node& n, std::span<const Tensor> g);

  static constexpr size_t kFew = 16;
  const uint32_t id_;
  const bool create_graph_, free_saved_;
  bool restricted_ = false;
  std::vector<Node*> heap_, marked_;
  std::vector<const Node*> targets_;
  // Threads that run graphs of their own may share leaves: these gradients gather here, not in the node.
  std::vector<LeafGradient> leaves_;
  std::unordered_map<const Node*, size_t> leaf_index_;  // once there are many
  std::vector<Capture> captures_;
  std::vector<Arrival> arrivals_;
};

thread_local Pass::Spare Pass::spare;

bool is_dense_alone(const Tensor& g) {
  return g.ref().unique() && g.ref()->storage->alone() && g.is_contiguous() && !g.edge();
}

void Pass::give(const Edge& e, Tensor g) {
  if (!g.defined()) return;
  Node& n = *e.node;
  // Undo a broadcast and a promotion of the forward pass.
  if (!n.has_shape(e.slot, g.shape())) {
    const Shape shape = n.shape(e.slot);
    if (!broadcastable(shape, g.shape()))
      fail<GradError>("backward: a gradient of shape {} was given to a result of '{}' of shape {}", g.shape(),
                      n.name(), shape);
    g = sum_to(g, shape);
  }
  if (g.dtype() != n.dtype(e.slot)) g = g.to(n.dtype(e.slot));
  if (n.is_leaf()) return add(gradient_of(n), std::move(g));
  // Plain loads and stores: between threads only leaves may be shared.
  const uint32_t before = n.pass().load(std::memory_order_relaxed);
  if (before != 0 && before != id_)
    fail<GradError>("backward: '{}' is part of another backward pass that has not ended", n.name());
  n.pass().store(id_, std::memory_order_relaxed);
  bool queued = false;
  for (uint32_t k = 0; k < n.num_outputs(); k++) queued |= static_cast<bool>(n.pending(k));
  if (!queued) push(&n);
  add(n.pending(e.slot), std::move(g));
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

void Pass::restrict_to(std::span<const Edge> roots, std::span<const Edge> targets) {
  restricted_ = true;
  for (const Edge& e : targets)
    if (e) targets_.push_back(e.node.get());
  std::sort(targets_.begin(), targets_.end());
  // All nodes below the roots, oldest first; one is needed if it is a target or an edge of it leads to one
  // that is.
  std::vector<Node*> nodes;
  const auto visit = [&](const Edge& e) {
    if (!e || e.node->is_leaf()) return;
    uint32_t before = 0;
    if (e.node->pass().compare_exchange_strong(before, id_, std::memory_order_relaxed))
      nodes.push_back(e.node.get());
    else if (before != id_)
      fail<GradError>("grad: '{}' is part of another backward pass that has not ended", e.node->name());
  };
  try {
    for (const Edge& e : roots) visit(e);
    for (size_t i = 0; i < nodes.size(); i++)
      for (const Edge& e : nodes[i]->edges()) visit(e);
  } catch (...) {
    for (Node* n : nodes) n->pass().store(0, std::memory_order_relaxed);
    throw;
  }
  std::sort(nodes.begin(), nodes.end(), older);
  for (Node* n : nodes) {
    bool needed = is_target(n);
    for (const Edge& e : n->edges()) needed |= e && wanted(e);
    if (needed)
      marked_.push_back(n);
    else
      n->pass().store(0, std::memory_order_relaxed);
  }
}

void Pass::run_hooks(Node& n, std::span<Tensor> g) {
  // A copy: a hook may add or remove hooks, itself included.
  const std::vector<Node::Hook> hooks = n.extras()->hooks;
  for (const Node::Hook& h : hooks) {
    if (!g[h.slot].defined()) continue;
    Tensor replaced = (*h.f)(g[h.slot]);
    if (!replaced.defined()) continue;
    if (!(replaced.shape() == g[h.slot].shape()) || replaced.dtype() != g[h.slot].dtype())
      fail<GradError>("backward: a hook on a result of '{}' gave {} {} for a gradient of {} {}", n.name(),
                      replaced.dtype(), replaced.shape(), g[h.slot].dtype(), g[h.slot].shape());
    g[h.slot] = std::move(replaced);
  }
}

bool Pass::capture_from(const Node& n, std::span<const Tensor> g) {
  bool captured = false;
  for (Capture& c : captures_)
    if (c.node == &n) {
      *c.place = g[c.slot];
      captured = true;
    }
  return captured;
}

void Pass::run_leaf(LeafGradient& l) {
  Node& n = *l.leaf;
  Tensor g[] = {Tensor(std::move(l.g))};
  if (n.extras()) run_hooks(n, g);
  if (!captures_.empty()) capture_from(n, g);
  const Leaf& leaf = static_cast<const Leaf&>(n);
  TensorImpl* owner = leaf.owner();
  if (!restricted_ && !owner && leaf.is_copy)
    fail<GradError>(
        "backward: a copy of a parameter of shape {} got the gradient, and is gone: `auto w = layer.weight`, "
        "or "
        "a model taken by value, copies; take `Tensor w`, or the model by reference",
        leaf.shape(0));
  if (!restricted_ && owner) arrivals_.push_back({l.leaf, 0, owner, std::move(g[0])});
}

void Pass::run_node(Node& n) {
  Tensor one[1];
  std::vector<Tensor> many;
  if (n.num_outputs() > 1) many.resize(n.num_outputs());
  const std::span<Tensor> g = many.empty() ? std::span<Tensor>(one) : std::span<Tensor>(many);
  for (uint32_t k = 0; k < n.num_outputs(); k++) g[k] = Tensor(std::exchange(n.pending(k), nullptr));
  n.pass().store(0, std::memory_order_relaxed);

  if (n.extras()) {
    run_hooks(n, g);
    if (!restricted_)
      for (const auto& r : n.extras()->retained)
        if (g[r.slot].defined()) arrivals_.push_back({Ref<Node>(&n), r.slot, r.owner, g[r.slot]});
  }
  // A target of grad() that leads to no other target needs nothing saved.
  if (!captures_.empty() && capture_from(n, g) &&
      std::none_of(n.edges().begin(), n.edges().end(), [&](const Edge& e) { return e && wanted(e); }))
    return;
  Back back(n, g, create_graph_, !restricted_, *this);
  n.run(back);
  if (free_saved_) n.free_saved();
}

void Pass::run() {
  const GradMode mode(create_graph_);
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), older);
    Node& n = *heap_.back();
    heap_.pop_back();
    run_node(n);
  }
  for (LeafGradient& l : leaves_) run_leaf(l);
}

void Pass::commit() {
  // Threads that run graphs of their own may share leaves.
  static std::mutex lock;
  std::lock_guard held(lock);
  const GradMode mode(create_graph_);
  for (Arrival& a : arrivals_) {
    const Node& n = *a.node;
    const bool alive =
        n.is_leaf() ? static_cast<const Leaf&>(n).owner() == a.owner
                    : n.extras() && std::any_of(n.extras()->retained.begin(), n.extras()->retained.end(),
                                                [&](const auto& r) { return r.owner == a.owner; });
    if (!alive) continue;
    Tensor& grad = a.owner->grad;
    const TensorImpl* const before = grad.impl();
    // A leaf's gradient is its own: it takes an arrival over only if nobody else holds it.
    if (!grad.defined())
      grad = is_dense_alone(a.g) || (a.g.edge() && a.g.ref().unique() && a.g.is_contiguous()) ? std::move(a.g)
                                                                                              : a.g.clone();
    else if (create_graph_ || grad.edge())
      grad = grad + a.g;
    else
      grad.add_(a.g);
    if (n.is_leaf()) static_cast<Leaf&>(*a.node).count_arrival();
    if (is_recording()) detail::recorder->committed(*a.owner, grad.impl() != before);
  }
  arrivals_.clear();
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

void check_counts(const char* op, size_t outputs, size_t gradients) {
  if (outputs == 0) fail<GradError>("{}: there is no output to start from", op);
  if (gradients != 0 && gradients != outputs)
    fail<GradError>("{}: {} gradients for {} outputs", op, gradients, outputs);
}

void run_backward(std::span<const Tensor> outputs, std::span<const Tensor> gradients, bool retain_graph,
                  bool create_graph) {
  check_counts("backward", outputs.size(), gradients.size());
  Pass pass(create_graph, !retain_graph && !create_graph);
  {
    const GradMode mode(create_graph);
    for (size_t i = 0; i < outputs.size(); i++)
      pass.start(outputs[i].edge(),
                 seed("backward", outputs[i], gradients.empty() ? Tensor() : gradients[i]));
  }
  pass.run();
  pass.commit();
}

}  // namespace

void backward(const Tensors& outputs, const Tensors& gradients, bool retain_graph, bool create_graph) {
  run_backward(outputs, gradients, retain_graph, create_graph);
}

Tensors grad(const Tensors& outputs, const Tensors& inputs, const Tensors& grad_outputs,
             GradOptions options) {
  check_counts("grad", outputs.size(), grad_outputs.size());
  Tensors g;
  for (size_t i = 0; i < outputs.size(); i++)
    g.push_back(seed("grad", outputs[i], grad_outputs.empty() ? Tensor() : grad_outputs[i]));
  if (inputs.empty()) fail<GradError>("grad: there is no input to differentiate with respect to");
  std::vector<Edge> roots, targets;
  for (const Tensor& y : outputs) roots.push_back(y.edge());
  for (size_t i = 0; i < inputs.size(); i++) {
    if (!inputs[i].requires_grad()) fail<GradError>("grad: input {} does not require grad", i);
    targets.push_back(inputs[i].edge());
  }
  Tensors result(inputs.size());
  Pass pass(options.create_graph, !options.retain_graph && !options.create_graph);
  pass.restrict_to(roots, targets);
  for (size_t i = 0; i < inputs.size(); i++) pass.capture(targets[i], result[i]);
  {
    const GradMode mode(options.create_graph);
    for (size_t i = 0; i < outputs.size(); i++)
      if (pass.wanted(roots[i])) pass.start(roots[i], std::move(g[i]));
  }
  pass.run();
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
  // A hook may drop the caller's handle.
  const Tensor y = *this;
  run_backward({&y, 1}, {&gradient, 1}, retain_graph, create_graph);
}

}  // namespace gradus
