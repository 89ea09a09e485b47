#pragma once
#include <gradus/autograd/core/node.h>

#include <array>
#include <tuple>
#include <type_traits>

/// How an op is recorded. An op is a trivially copyable struct whose data members are its attributes:
///
///   name                    as it is printed and looked up
///   value(inputs…)          the result, or a tuple of results; nothing in it is recorded
///   vjp(In<i>, b)           the gradient of input i, written in ops; called only when it is wanted
///   vjp(int i, b)           the same for an op on a list of inputs
///   together(b)             optional: gives all gradients that are wanted and returns true, or gives none
///                           and returns false; not called where they must be differentiable
///   needs[i]                what the gradient of input i reads (in(k), out(k)); reading anything else throws
///   differentiable          how many of the results have a gradient (default 1)
///   of(layout)              instead of value(): a view's layout
namespace gradus {

/// Where the engine takes the gradients that a rule gives.
class GradientSink {
 public:
  /// Whether anything is to be given to e; not asked where all edges are wanted.
  virtual bool wanted(const Edge& e) const = 0;
  virtual void give(const Edge& e, Tensor g) = 0;

 protected:
  ~GradientSink() = default;
};

/// What a rule sees while the backward pass runs its node.
class Back {
 public:
  /// The engine's: the node's run, with what has arrived at its outputs.
  Back(const Node& node, std::span<const Tensor> g, bool create_graph, bool all_wanted,
       GradientSink& sink) noexcept
      : node_(node), g_(g), create_graph_(create_graph), all_wanted_(all_wanted), sink_(sink) {}

  /// dL/d(output k). Zeros where nothing arrived at that output.
  Tensor g(uint32_t k = 0) const { return g_[k].defined() ? g_[k] : zeros_for(k); }
  /// Input i as it was; only what `needs` declares.
  Tensor in(uint32_t i) const { return node_.read_saved(false, i); }
  /// Output k as it was; only what `needs` declares.
  Tensor out(uint32_t k = 0) const { return node_.read_saved(true, k); }
  /// The shape of an input whose gradient is wanted.
  Shape shape(uint32_t i) const {
    const Edge& e = node_.edges()[i];
    return e.node->shape(e.slot);
  }
  /// The shape of output k.
  Shape out_shape(uint32_t k = 0) const { return node_.shape(k); }
  /// The dtype of an input whose gradient is wanted.
  Dtype dtype(uint32_t i) const {
    const Edge& e = node_.edges()[i];
    return e.node->dtype(e.slot);
  }
  /// True when gradients must be differentiable themselves: rules then run on tensors instead of fused
  /// kernels.
  bool create_graph() const noexcept { return create_graph_; }
  /// Whether the gradient of input i is wanted.
  bool wanted(uint32_t i) const {
    return node_.edges()[i] && (all_wanted_ || sink_.wanted(node_.edges()[i]));
  }
  /// Passes the gradient of input i on.
  void give(uint32_t i, Tensor g) { sink_.give(node_.edges()[i], std::move(g)); }
  /// The node that runs.
  const Node& node() const noexcept { return node_; }

 private:
  Tensor zeros_for(uint32_t k) const;

  const Node& node_;
  std::span<const Tensor> g_;
  bool create_graph_, all_wanted_;
  GradientSink& sink_;
};

namespace detail {

template <class Op>
constexpr Needs needs_of(size_t i) {
  if constexpr (requires { Op::needs[0]; })
    return i < std::size(Op::needs) ? Op::needs[i] : nothing;
  else
    return nothing;
}
template <class Op>
concept HasListRule = requires(const Op& op, const Back& b) {
  op.vjp(0, b);
};
template <class Op, int I>
concept HasRule = requires(const Op& op, const Back& b) {
  op.vjp(In<I>{}, b);
};
template <class Op>
concept Differentiable =
    HasListRule<Op> || HasRule<Op, 0> || HasRule<Op, 1> || HasRule<Op, 2> || HasRule<Op, 3>;

inline constexpr int kMaxInputs = 8;

/// The node of one kind of op.
template <class Op>
class Rule final : public Node {
 public:
  [[gnu::always_inline]] static Ref<Node> make(const Op& op, const Plan& plan) {
    static_assert(std::is_trivially_copyable_v<Op>, "an op holds plain attributes; tensors are its inputs");
    const size_t bytes = bytes_of(sizeof(Rule), plan);
    Rule* rule = new (allocate(bytes)) Rule(op);
    rule->init(sizeof(Rule), bytes, plan);
    return Ref<Node>::first(rule);
  }
  using Node::Plan;

  const char* name() const override { return op_.name; }
  std::string formula() const override {
    if constexpr (requires { op_.formula(); })
      return op_.formula();
    else if constexpr (requires { Op::formula; })
      return Op::formula;
    else
      return {};
  }
  const Op& op() const noexcept { return op_; }
  void run(Back& b) const override {
    if constexpr (requires { op_.together(b); })
      if (!b.create_graph() && op_.together(b)) return;
    if constexpr (HasListRule<Op>) {
      for (uint32_t i = 0; i < num_inputs(); i++)
        if (b.wanted(i)) b.give(i, op_.vjp(static_cast<int>(i), b));
    } else {
      [&]<int... I>(std::integer_sequence<int, I...>) { (run_one<I>(b), ...); }
      (std::make_integer_sequence<int, kMaxInputs>{});
    }
  }

 private:
  explicit Rule(const Op& op) noexcept : op_(op) {}
  template <int I>
  void run_one(Back& b) const {
    if constexpr (HasRule<Op, I>)
      if (I < num_inputs() && b.wanted(I)) b.give(I, op_.vjp(In<I>{}, b));
  }
  [[no_unique_address]] Op op_;
};

inline bool any_edge(std::span<const Edge* const> edges) noexcept {
  for (const Edge* e : edges)
    if (*e) return true;
  return false;
}

/// As record(), where KeepValues asks for all values; apart, since what is kept is known when it is compiled.
template <class Op>
[[gnu::noinline, gnu::cold]] Ref<Node> record_everything(const Op& op, std::span<const Edge* const> edges,
                                                         std::span<const Tensor* const> ins,
                                                         std::span<const Tensor* const> outs) {
  return Rule<Op>::make(op, {edges, ins, outs, everything});
}

template <class Op>
[[gnu::always_inline]] inline Ref<Node> record(const Op& op, std::span<const Edge* const> edges,
                                               std::span<const Tensor* const> ins,
                                               std::span<const Tensor* const> outs) {
  Needs keep;
  if constexpr (HasListRule<Op>) {
    keep = needs_of<Op>(0);
  } else {
    for (size_t i = 0; i < edges.size(); i++)
      if (*edges[i]) keep = keep | needs_of<Op>(i);
  }
  if (keep_values) [[unlikely]]
    return record_everything(op, edges, ins, outs);
  return Rule<Op>::make(op, {edges, ins, outs, keep});
}

template <class Op>
constexpr uint32_t differentiable_of() {
  if constexpr (requires { Op::differentiable; })
    return Op::differentiable;
  else
    return 1;
}

/// Gives the results of a recorded op their edges.
[[gnu::always_inline]] inline void connect(Ref<Node> node, std::span<const Tensor* const> outs,
                                           uint32_t differentiable) noexcept {
  for (uint32_t k = 1; k < differentiable && k < outs.size(); k++)
    if (outs[k]->defined() && is_floating(outs[k]->dtype())) outs[k]->impl()->edge = Edge(node, k);
  if (is_floating(outs[0]->dtype())) outs[0]->impl()->edge = Edge(std::move(node), 0);
}

/// Results are tensors of their own, even where value() made them with views.
template <class Y>
void own(const Y& y) noexcept {
  if constexpr (std::is_same_v<Y, Tensor>)
    y.impl()->made_under_no_grad = false;
  else
    std::apply([](const auto&... o) { ((o.defined() ? own(o) : void()), ...); }, y);
}

template <class Op, class Y>
void record_outputs(const Op& op, std::span<const Edge* const> edges, std::span<const Tensor* const> ins,
                    const Y& y) {
  if constexpr (std::is_same_v<Y, Tensor>) {
    const Tensor* outs[] = {&y};
    connect(record(op, edges, ins, outs), outs, 1);
  } else {
    std::apply(
        [&](const auto&... o) {
          const Tensor* outs[] = {&o...};
          connect(record(op, edges, ins, outs), outs, differentiable_of<Op>());
        },
        y);
  }
}

inline const Edge kNoEdge;
inline const Edge& edge_of(const Tensor& x) { return x.defined() ? x.edge() : kNoEdge; }

/// Records y = op(x…) if the gradient of some x is wanted.
template <class Op, class Y, class... X>
void record_if_wanted(const Op& op, const Y& y, const X&... x) {
  const Edge* edges[] = {&edge_of(x)...};
  if (!any_edge(edges)) return;
  const Tensor* ins[] = {&x...};
  record_outputs(op, edges, ins, y);
}

}  // namespace detail

/// Computes op(x…) and records it if gradients are wanted. An undefined tensor stands for a missing input.
template <class Op, class... X>
requires(std::is_same_v<X, Tensor>&&...) auto apply(const Op& op, const X&... x) {
  static_assert(sizeof...(X) <= detail::kMaxInputs);
  auto y = [&] {
    NoGrad no_grad;
    return op.value(x...);
  }();
  detail::own(y);
  if constexpr (detail::Differentiable<Op>)
    if (is_grad_enabled()) detail::record_if_wanted(op, y, x...);
  return y;
}

/// As apply(), for an op on a list of inputs.
template <class Op>
auto apply(const Op& op, std::span<const Tensor> x) {
  auto y = [&] {
    NoGrad no_grad;
    return op.value(x);
  }();
  detail::own(y);
  if (is_grad_enabled()) {
    std::vector<const Edge*> edges;
    edges.reserve(x.size());
    for (const Tensor& t : x) edges.push_back(&detail::edge_of(t));
    if (detail::any_edge(edges)) detail::record_outputs(op, edges, {}, y);
  }
  return y;
}

/// A view of x with the layout op.of(x.layout()).
template <class Op>
Tensor apply_view(const Op& op, const Tensor& x) {
  Tensor y = make_tensor(x.ref()->storage, op.of(x.layout()), x.dtype());
  TensorImpl& v = *y.impl();
  const Edge& e = x.edge();
  if ((x.impl()->made_under_no_grad && !e) || !is_grad_enabled()) {
    v.made_under_no_grad = true;
    return y;
  }
  v.base = x.impl()->base ? x.impl()->base : x.ref();
  v.epoch = v.base->writes;
  if (e) {
    const Edge* edges[] = {&e};
    const Tensor* outs[] = {&y};
    v.edge = Edge(detail::record(op, edges, {}, outs), 0);
  }
  return y;
}

/// Refuses what an in-place write into x cannot do rightly; `records`: the write will be recorded.
void check_inplace(const char* op, const Tensor& x, bool records);
/// Makes `node` the history of x, which it has just overwritten: x's base, or its views, will follow.
void rebase_history(const Tensor& x, Ref<Node> node);

/// y = op(x, rest…), written into x; the same struct as out of place. `op.write(x, old, rest…)` does it,
/// where `old` is x, or a copy of it if the rule reads the overwritten value.
template <class Op, class... X>
requires(std::is_same_v<X, Tensor>&&...) void apply_inplace(const Op& op, Tensor& x, const X&... rest) {
  const Edge* edges[] = {&detail::edge_of(x), &detail::edge_of(rest)...};
  const bool records = is_grad_enabled() && detail::any_edge(edges);
  check_inplace(op.name, x, records);
  Tensor old = x;
  if (records) {
    Needs keep;
    for (size_t i = 0; i < std::size(edges); i++)
      if (*edges[i]) keep = keep | detail::needs_of<Op>(i);
    if (keep.ins & 1) {
      NoGrad no_grad;
      old = x.clone();
    }
  }
  {
    NoGrad no_grad;
    op.write(x, old, rest...);
  }
  x.storage().bump();
  if (!records) return;
  const Tensor* ins[] = {&old, &rest...};
  const Tensor* outs[] = {&x};
  rebase_history(x, detail::record(op, edges, ins, outs));
}

}  // namespace gradus
