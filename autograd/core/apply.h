#pragma once
#include <gradus/autograd/core/tracer.h>

#include <array>
#include <concepts>
#include <tuple>
#include <type_traits>

#pragma GCC visibility push(default)

/// How an op is recorded. An op is a struct whose data members are its attributes:
///
///   name                    as it is printed and looked up
///   value(inputs…)          the result, a tuple or Tensors; nothing in it is recorded, so that it must not
///                           write into an input that requires grad
///   vjp(In<i>, b)           the gradient of input i, written in ops; called only when it is wanted. A Part
///                           or Parts where it is 0 but for parts of the input
///   vjp(int i, b)           the same for an op on a list of inputs, always a Tensor
///   together(b)             optional: gives all gradients that are wanted and returns true, or gives none
///                           and returns false; not called where they must be differentiable
///   needs[i]                what the gradient of input i reads (in(k), out(k)); reading anything else
///                           throws. In an op on a list needs[0] is for all: all_inputs, or none of them
///   differentiable          how many of the results have a gradient (default 1), or all_results; 0: none, it
///                           is not recorded
///   of(layout)              instead of value(): a view's layout
///   describe(d)             tells the attributes (core/describe.h); explain, DOT and tracers show them
///
/// An op may also own things: it is copied into its node, which ends it. Copying must not throw, so a larger
/// member is held by a pointer that counts. A tensor among them is not freed by backward() nor checked for
/// writes, and one that is the op's own result would hold itself: tensors are inputs, or results.
///
/// A rule gives a Tensor, an undefined one for no gradient. A vjp that can't be called as above does not
/// compile. The backward pass throws where a gradient is wanted and has no rule, and where one arrives at a
/// floating result that has none: one beyond `differentiable` that a loss uses, or that a rule reads under
/// create_graph. It must be made differentiable, or be detach()ed where it does not depend on the inputs.
namespace gradus {

/// `differentiable` of an op whose results all have a gradient.
constexpr uint32_t all_results = ~0u;

/// A gradient that is 0 outside of a part of an input, and g there, at the cost of g alone. The part is
/// `region` (see regions.h) or, where `index` is defined, index_select(x, dim, index), whose rows may repeat.
struct Part {
  Tensor g /** there */;
  Layout region /** of a row-major input */;
  Tensor index /** or undefined */ = {};
  int dim /** of index_select */ = 0;
};
/// Several, which are added.
using Parts = std::vector<Part>;

/// Where the engine takes the gradients that a rule gives.
class GradientSink {
 public:
  /// Whether anything is to be given to e; not asked where all edges are wanted.
  virtual bool wanted(const Edge& e) const = 0;
  virtual void give(const Edge& e, Tensor g) = 0;
  virtual void give_part(const Edge& e, Part p) = 0;

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
  Tensor g(uint32_t k = 0) const {
    check_output(k);
    return g_[k].defined() ? g_[k] : zeros_for(k);
  }
  /// Whether anything did.
  bool arrived(uint32_t k) const {
    check_output(k);
    return g_[k].defined();
  }
  /// Input i as it was; only what `needs` declares.
  Tensor in(uint32_t i) const { return node_.read_saved(false, i); }
  /// Output k as it was; only what `needs` declares.
  Tensor out(uint32_t k = 0) const { return node_.read_saved(true, k); }
  /// The shape of an input whose gradient is wanted.
  Shape shape(uint32_t i) const {
    const Edge& e = edge(i);
    return e.node->shape(e.slot);
  }
  /// The shape of output k.
  Shape out_shape(uint32_t k = 0) const {
    check_output(k);
    return node_.shape(k);
  }
  /// The dtype of an input whose gradient is wanted.
  Dtype dtype(uint32_t i) const {
    const Edge& e = edge(i);
    return e.node->dtype(e.slot);
  }
  /// True when gradients must be differentiable themselves: rules then run on tensors instead of fused
  /// kernels.
  bool create_graph() const noexcept { return create_graph_; }
  /// Whether the gradient of input i is wanted.
  [[gnu::always_inline]] bool wanted(uint32_t i) const {
    return has_edge(i) && (all_wanted_ || sink_.wanted(node_.edges()[i]));
  }
  /// Passes the gradient of input i on; one that nobody wants is dropped.
  void give(uint32_t i, Tensor g) {
    if (has_edge(i)) sink_.give(node_.edges()[i], std::move(g));
  }
  void give(uint32_t i, Part p) {
    if (has_edge(i) && p.g.defined()) sink_.give_part(node_.edges()[i], std::move(p));
  }
  void give(uint32_t i, Parts parts) {
    for (Part& p : parts) give(i, std::move(p));
  }
  /// The node that runs.
  const Node& node() const noexcept { return node_; }

  /// For the node: throws where a gradient has arrived at a result from number `differentiable` on.
  void check_arrivals(uint32_t differentiable) const {
    for (size_t k = differentiable; k < g_.size(); k++)
      if (g_[k].defined()) [[unlikely]]
        fail_no_gradient_of(k, differentiable);
  }
  /// For the node: the gradient of input i is wanted and has no rule.
  [[noreturn]] void fail_no_rule(uint32_t i) const;

 private:
  bool has_edge(uint32_t i) const noexcept { return i < node_.num_inputs() && node_.edges()[i]; }
  const Edge& edge(uint32_t i) const {
    if (!has_edge(i)) [[unlikely]]
      fail_not_wanted(i);
    return node_.edges()[i];
  }
  void check_output(uint32_t k) const {
    if (k >= g_.size()) [[unlikely]]
      fail_no_output(k);
  }
  [[noreturn]] void fail_no_gradient_of(size_t k, uint32_t differentiable) const;
  [[noreturn]] void fail_not_wanted(uint32_t i) const;
  [[noreturn]] void fail_no_output(uint32_t k) const;
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
  { op.vjp(0, b) } -> std::convertible_to<Tensor>;
};
template <class G>
concept IsGradient = std::convertible_to<G, Tensor> || std::same_as<G, Part> || std::same_as<G, Parts>;
template <class Op, int I>
concept HasRule = requires(const Op& op, const Back& b) {
  { op.vjp(In<I>{}, b) } -> IsGradient;
};
/// It would be a rule but for a const, its parameters or what it returns.
template <class Op, int I>
concept AlmostHasRule = requires(Op& op, In<I>& i, Back& b) {
  op.vjp(i, b);
}
|| requires(Op& op, In<I>& i, Tensor& g) { op.vjp(i, g); }
|| requires(Op& op, In<I>& i) { op.vjp(i); };
template <class Op, int I>
concept HasNoBrokenRule = HasRule<Op, I> || !AlmostHasRule<Op, I>;

struct HasMemberVjp {
  int vjp;
};
template <class Op>
struct WithMemberVjp : Op, HasMemberVjp {};
/// Whether anything in Op is called vjp, be it private: then the name is ambiguous here.
template <class Op>
concept NamesVjp = std::is_class_v<Op> && !std::is_final_v<Op> && !requires {
  &WithMemberVjp<Op>::vjp;
};

inline constexpr int kMaxInputs = 8;

/// Bit i: whether there is a rule for input i.
template <class Op>
constexpr unsigned rules_of() {
  return []<int... I>(std::integer_sequence<int, I...>) { return ((unsigned{HasRule<Op, I>} << I) | ...); }
  (std::make_integer_sequence<int, kMaxInputs>{});
}
template <class Op>
constexpr bool has_broken_rule() {
  return []<int... I>(std::integer_sequence<int, I...>) { return !(HasNoBrokenRule<Op, I> && ...); }
  (std::make_integer_sequence<int, kMaxInputs>{});
}
template <class Op>
constexpr uint32_t differentiable_of() {
  if constexpr (requires { Op::differentiable; })
    return Op::differentiable;
  else
    return 1;
}

/// The node of one kind of op; on_list: its inputs are a list.
template <class Op, bool on_list>
class Rule final : public Node {
  static constexpr unsigned kRules = rules_of<Op>();
  static_assert(
      !has_broken_rule<Op>() && (kRules || HasListRule<Op> || !NamesVjp<Op>),
      "a rule is public and const, takes (In<i>, const Back&), or (int, const Back&) in an op on a "
      "list, and returns a Tensor (the former also a Part or Parts): this op's vjp can't be called so");
  static_assert(!kRules || !HasListRule<Op>, "an op has rules for In<i> or one for int, not both");
  static_assert(
      !requires { Op::needs.ins; }, "needs is an array: needs[i] is what the gradient of input i reads");
  static_assert(!on_list || needs_of<Op>(0).ins == 0 || needs_of<Op>(0).ins == all_inputs.ins,
                "an op on a list reads all of its inputs, needs[] = {all_inputs}, or none");
  static constexpr bool kOwns = !std::is_trivially_destructible_v<Op>;
  static constexpr bool kDescribes = requires(const Op& op, Describe& d) { op.describe(d); };

 public:
  [[gnu::always_inline]] static Ref<Node> make(const Op& op, const Plan& plan) {
    static_assert(std::is_nothrow_copy_constructible_v<Op>,
                  "copying an op must not throw: hold what does, a vector or a function, by a shared_ptr");
    static_assert(alignof(Rule) <= 16, "what an op holds may be aligned to at most 16 bytes");
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
  void describe(Describe& d) const override {
    if constexpr (kDescribes) op_.describe(d);
  }
  Declared declared() const override {
    constexpr bool described = std::is_empty_v<Op> || kDescribes;
    if constexpr (requires { Op::needs[0]; })
      return {Op::needs, on_list, described};
    else
      return {{}, on_list, described};
  }
  void run(Back& b) const override {
    b.check_arrivals(differentiable_of<Op>());
    if constexpr (requires { op_.together(b); })
      if (!b.create_graph() && op_.together(b)) return;
    if constexpr (HasListRule<Op>) {
      for (uint32_t i = 0; i < num_inputs(); i++)
        if (b.wanted(i)) b.give(i, op_.vjp(static_cast<int>(i), b));
    } else {
      [&]<int... I>(std::integer_sequence<int, I...>) { (run_one<I>(b), ...); }
      (std::make_integer_sequence<int, kMaxInputs>{});
      for (uint32_t i = std::countr_one(kRules); i < num_inputs(); i++)
        if (!(i < kMaxInputs && kRules >> i & 1) && b.wanted(i)) b.fail_no_rule(i);
    }
  }

 private:
  explicit Rule(const Op& op) noexcept : op_(op) { owns_ = kOwns; }
  void destroy_op() noexcept override {
    if constexpr (kOwns) std::destroy_at(&op_);
  }
  template <int I>
  void run_one(Back& b) const {
    if constexpr (HasRule<Op, I>)
      if (I < num_inputs() && b.wanted(I)) b.give(I, op_.vjp(In<I>{}, b));
  }
  [[no_unique_address]] Op op_;
};

/// Makes a result a tensor of its own, without history; throws where it is undefined.
void unshare(const char* op, Tensor& y);
inline bool share_memory(const Tensor& x, const Tensor& other) {
  return other.defined() && &other.storage() == &x.storage();
}
/// Whether all elements of a view lie in x's memory.
bool in_memory(const Layout& view, const Tensor& x);

inline bool any_edge(std::span<const Edge* const> edges) noexcept {
  for (const Edge* e : edges)
    if (*e) return true;
  return false;
}

/// As record(), where KeepValues asks for all values; apart, since what is kept is known when it is compiled.
template <bool on_list, class Op>
[[gnu::noinline, gnu::cold]] Ref<Node> record_everything(const Op& op, std::span<const Edge* const> edges,
                                                         std::span<const Tensor* const> ins,
                                                         std::span<const Tensor* const> outs) {
  return Rule<Op, on_list>::make(op, {edges, ins, outs, everything, on_list});
}

template <bool on_list = false, class Op>
[[gnu::always_inline]] inline Ref<Node> record(const Op& op, std::span<const Edge* const> edges,
                                               std::span<const Tensor* const> ins,
                                               std::span<const Tensor* const> outs) {
  Needs keep;
  if constexpr (on_list) {
    keep = needs_of<Op>(0);
  } else {
    for (size_t i = 0; i < edges.size(); i++)
      if (*edges[i]) keep = keep | needs_of<Op>(i);
  }
  if (keep_values) [[unlikely]]
    return record_everything<on_list>(op, edges, ins, outs);
  return Rule<Op, on_list>::make(op, {edges, ins, outs, keep, on_list});
}

/// Gives the results of a recorded op their edges.
[[gnu::always_inline]] inline void connect(Ref<Node> node, std::span<const Tensor* const> outs,
                                           uint32_t differentiable) noexcept {
  for (uint32_t k = 1; k < differentiable && k < outs.size(); k++)
    if (outs[k]->defined() && is_floating(outs[k]->dtype())) outs[k]->impl()->edge = Edge(node, k);
  if (is_floating(outs[0]->dtype())) outs[0]->impl()->edge = Edge(std::move(node), 0);
}

/// Results are tensors of their own, even where value() made them with views; one that is an input, shares
/// elements or belongs to somebody else becomes so.
[[gnu::always_inline]] inline void own(const char* op, Tensor& y) {
  const TensorImpl* const r = y.impl();
  if (!r || r->ref_count() != 1 || !r->storage->alone() || r->edge) [[unlikely]]
    unshare(op, y);
  y.impl()->made_under_no_grad = false;
}
inline void own(const char* op, Tensors& y) {
  for (Tensor& each : y) own(op, each);
}
template <class Y>
void own(const char* op, Y& y) {
  std::apply([op](auto&... each) { (own(op, each), ...); }, y);
}

/// How many results have an edge. Where the op does not say how many have a gradient, all: what arrives at
/// one that has none is refused, not lost.
template <class Op>
constexpr uint32_t connected_of() {
  if constexpr (requires { Op::differentiable; })
    return Op::differentiable;
  else
    return all_results;
}

inline std::vector<const Tensor*> each_of(std::span<const Tensor> x) {
  std::vector<const Tensor*> list;
  list.reserve(x.size());
  for (const Tensor& t : x) list.push_back(&t);
  return list;
}

template <bool on_list = false, class Op, class Y>
void record_outputs(const Op& op, std::span<const Edge* const> edges, std::span<const Tensor* const> ins,
                    const Y& y) {
  if constexpr (std::is_same_v<Y, Tensor>) {
    const Tensor* outs[] = {&y};
    connect(record<on_list>(op, edges, ins, outs), outs, 1);
  } else if constexpr (std::is_same_v<Y, Tensors>) {
    if (y.empty()) return;
    const std::vector<const Tensor*> outs = each_of(y);
    connect(record<on_list>(op, edges, ins, outs), outs, connected_of<Op>());
  } else {
    std::apply(
        [&](const auto&... o) {
          const Tensor* outs[] = {&o...};
          connect(record<on_list>(op, edges, ins, outs), outs, connected_of<Op>());
        },
        y);
  }
}

inline uint32_t version_of(const Tensor& x) noexcept { return x.defined() ? x.storage().version() : 0; }
/// Throws where x, which an op has changed in place, has a gradient: its history does not know of the change.
void refuse_changed(const char* op, const Tensor& x);
inline void check_unchanged(const char* op, const Tensor& x, uint32_t version) {
  if (version_of(x) != version) [[unlikely]]
    refuse_changed(op, x);
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

/// Runs an op untold and then tells of it.
template <class Op, class F>
[[gnu::cold, gnu::noinline]] auto told(const Op& op, F run, std::vector<const Tensor*> inputs) {
  const Untold now;
  auto y = run();
  if constexpr (std::is_same_v<decltype(y), Tensor>) {
    const Tensor* results[] = {&y};
    now.tell(op, inputs, results);
  } else if constexpr (std::is_same_v<decltype(y), Tensors>) {
    now.tell(op, inputs, each_of(y));
  } else {
    std::apply(
        [&](const auto&... each) {
          const Tensor* results[] = {&each...};
          now.tell(op, inputs, results);
        },
        y);
  }
  return y;
}

template <class Op, class... X>
auto apply_untold(const Op& op, const X&... x) {
  const uint32_t versions[] = {version_of(x)...};
  auto y = [&] {
    NoGrad no_grad;
    return op.value(x...);
  }();
  own(op.name, y);
  if constexpr (differentiable_of<Op>() > 0)
    if (is_grad_enabled()) {
      const uint32_t* version = versions;
      (check_unchanged(op.name, x, *version++), ...);
      record_if_wanted(op, y, x...);
    }
  return y;
}

template <class Op>
auto apply_list_untold(const Op& op, std::span<const Tensor> x) {
  uint32_t versions = 0;
  for (const Tensor& t : x) versions += version_of(t);
  auto y = [&] {
    NoGrad no_grad;
    return op.value(x);
  }();
  own(op.name, y);
  if (differentiable_of<Op>() > 0 && is_grad_enabled()) {
    std::vector<const Edge*> edges;
    edges.reserve(x.size());
    for (const Tensor& t : x) {
      edges.push_back(&edge_of(t));
      versions -= version_of(t);
    }
    if (versions != 0)
      for (const Tensor& t : x) refuse_changed(op.name, t);
    std::vector<const Tensor*> ins;
    if (needs_of<Op>(0).ins || keep_values) ins = each_of(x);
    if (any_edge(edges)) record_outputs<true>(op, edges, ins, y);
  }
  return y;
}

}  // namespace detail

/// Computes op(x…) and records it if gradients are wanted. An undefined tensor stands for a missing input.
template <class Op, class... X>
requires(std::is_same_v<X, Tensor>&&...) auto apply(const Op& op, const X&... x) {
  static_assert(sizeof...(X) <= detail::kMaxInputs, "an op on more than 8 inputs takes a list of them");
  const auto run = [&] { return detail::apply_untold(op, x...); };
  if (detail::tracer) [[unlikely]]
    return detail::told(op, run, {{&x...}});
  return run();
}

/// As apply(), for an op on a list of inputs.
template <class Op>
auto apply(const Op& op, std::span<const Tensor> x) {
  const auto run = [&] { return detail::apply_list_untold(op, x); };
  if (detail::tracer) [[unlikely]]
    return detail::told(op, run, detail::each_of(x));
  return run();
}

namespace detail {
/// A view of x that has no edge yet; e is x's.
[[gnu::always_inline]] inline Tensor view_without_edge(const Tensor& x, const Edge& e, const Layout& layout) {
  Tensor y = make_tensor(Ref<Storage>(&x.storage()), layout, x.dtype());
  TensorImpl& v = *y.impl();
  if ((x.impl()->made_under_no_grad && !e) || !is_grad_enabled()) {
    v.made_under_no_grad = true;
  } else {
    v.base = x.impl()->base ? x.impl()->base : x.ref();
    v.epoch = v.base->writes;
  }
  return y;
}
/// As apply_view(), for a layout that is known to stay within x's memory.
template <class Op>
Tensor view(const Op& op, const Tensor& x) {
  if (tracer) [[unlikely]]
    return told(op, [&] { return view(op, x); }, {&x});
  const Edge& e = x.edge();
  Tensor y = view_without_edge(x, e, op.of(x.layout()));
  if (e && is_grad_enabled()) {
    const Edge* edges[] = {&e};
    const Tensor *ins[] = {&x}, *outs[] = {&y};
    y.impl()->edge = Edge(record(op, edges, ins, outs), 0);
  }
  return y;
}
/// n views of x, the results of one node: view k has the layout next(k), asked for in order.
template <class Op, class F>
Tensors views(const Op& op, const Tensor& x, int64_t n, F next) {
  if (tracer) [[unlikely]]
    return told(op, [&] { return views(op, x, n, next); }, {&x});
  const Edge& e = x.edge();
  Tensors y = make_vector<Tensor>(op.name, n);
  for (int64_t k = 0; k < n; k++) y[static_cast<size_t>(k)] = view_without_edge(x, e, next(k));
  if (e && is_grad_enabled() && !y.empty()) {
    const Edge* edges[] = {&e};
    const Tensor* ins[] = {&x};
    const std::vector<const Tensor*> outs = each_of(y);
    connect(record(op, edges, ins, outs), outs, all_results);
  }
  return y;
}
}  // namespace detail

/// A view of x with the layout op.of(x.layout()). Throws where that leaves x's memory.
template <class Op>
Tensor apply_view(const Op& op, const Tensor& x) {
  Tensor y = detail::view(op, x);
  if (!detail::in_memory(y.layout(), x))
    fail("{}: a view of shape {} leaves the memory of the tensor of shape {}", op.name, y.shape(), x.shape());
  return y;
}

/// Refuses what an in-place write into x cannot do rightly; `records`: the write will be recorded.
void check_inplace(const char* op, const Tensor& x, bool records);
/// The edges of x, and of the base that x is a view of, after a write in place.
struct History {
  Edge own /** of x itself */, root /** of its base */;
};
/// The history of x when `node` will have overwritten it. Made before the write: what may fail comes first.
History history_after(const Tensor& x, Ref<Node> node);
/// x has been overwritten: its base, or its views, will follow.
void set_history(const Tensor& x, History after) noexcept;

namespace detail {
/// Raises x's version whatever happens: a write that throws may have begun.
template <class Op, class... X>
void write(const Op& op, Tensor& x, const X&... rest) {
  const struct Bump {
    Storage& storage;
    ~Bump() { storage.bump(); }
  } bump{x.storage()};
  const NoGrad no_grad;
  op.write(x, rest...);
}
}  // namespace detail

/// y = op(x, rest…), written into x; the same struct as out of place. `op.write(x, old, rest…)` does it,
/// where `old` is x, or a copy of it if the rule reads the overwritten value. What shares x's memory is
/// copied first.
template <class Op, class... X>
requires(std::is_same_v<X, Tensor>&&...) void apply_inplace(const Op& op, Tensor& x, const X&... rest) {
  static_assert(1 + sizeof...(X) <= detail::kMaxInputs, "an op has at most 8 inputs");
  if (detail::tracer) [[unlikely]] {
    const detail::Untold now;
    apply_inplace(op, x, rest...);
    const Tensor *inputs[] = {&x, &rest...}, *results[] = {&x};
    return now.tell(op, inputs, results);
  }
  if ((detail::share_memory(x, rest) || ...)) [[unlikely]]
    return apply_inplace(op, x, (detail::share_memory(x, rest) ? rest.clone() : rest)...);
  const Edge* edges[] = {&detail::edge_of(x), &detail::edge_of(rest)...};
  const bool records = is_floating(x.dtype()) && is_grad_enabled() && detail::any_edge(edges);
  check_inplace(op.name, x, records);
  Tensor old = x;
  if (records) {
    Needs keep;
    for (size_t i = 0; i < std::size(edges); i++)
      if (*edges[i]) keep = keep | detail::needs_of<Op>(i);
    if (keep.ins & 1 || detail::keep_values) {
      NoGrad no_grad;
      old = x.clone();
    }
  }
  History after;
  if (records) {
    const Tensor* ins[] = {&old, &rest...};
    const Tensor* outs[] = {&x};
    after = history_after(x, detail::record(op, edges, ins, outs));
  }
  detail::write(op, x, old, rest...);
  if (records) set_history(x, std::move(after));
}

}  // namespace gradus

#pragma GCC visibility pop
