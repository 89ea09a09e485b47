#include <gradus/autograd/engine/custom.h>

namespace gradus {
namespace {

/// CustomOp with its rule: every gradient of a call comes from one call of the backward function.
class CustomNode final : public Node {
 public:
  static Ref<Node> make(const CustomOp& op, const Plan& plan) {
    const size_t bytes = bytes_of(sizeof(CustomNode), plan);
    CustomNode* node = new (allocate(bytes)) CustomNode(op);
    node->init(sizeof(CustomNode), bytes, plan);
    return Ref<Node>::first(node);
  }
  using Node::Plan;
  const char* name() const override { return op_.name; }
  void run(Back& b) const override {
    const Tensors g = op_.backward(op_.context(b), b.g());
    if (g.size() != num_inputs())
      fail<GradError>("{}: the backward function gave {} gradients for {} inputs", op_.name, g.size(),
                      num_inputs());
    for (uint32_t i = 0; i < num_inputs(); i++)
      if (b.wanted(i)) b.give(i, g[i]);
  }

 private:
  explicit CustomNode(const CustomOp& op) noexcept : op_(op) {}
  CustomOp op_;
};

}  // namespace

CustomOp::CustomOp(const char* name_, Tensors (*backward_)(const Context&, const Tensor&),
                   const Tensors& inputs)
    : name(name_), backward(backward_) {
  if (!name) fail("custom: the name is null");
  if (!backward) fail("{}: the backward function is null", name);
  if (inputs.size() > kMaxInputs) fail("{}: at most {} inputs, not {}", name, kMaxInputs, inputs.size());
}

Needs CustomOp::keep(const Context& ctx, const Tensors& inputs, const Tensor& y) {
  Needs kept;
  for (size_t k = 0; k < ctx.saved_.size(); k++) {
    const Tensor& s = ctx.saved_[k];
    uint8_t& from = saved[num_saved++];
    if (!s.defined()) {
      from = kUndefined;
      continue;
    }
    from = 0;
    while (from < inputs.size() && inputs[from].impl() != s.impl()) from++;
    if (from < inputs.size()) {
      if (s.storage().version() != ctx.versions_[k])
        fail<GradError>("{}: an input that was saved was then changed in place: save a clone()", name);
      kept = kept | in(from);
    } else if (s.impl() == y.impl()) {
      from = kOutput;
      kept = kept | out(0);
    } else {
      fail<GradError>(
          "{}: only inputs and the output can be saved; return an intermediate as an output, or compute it "
          "again",
          name);
    }
  }
  return kept;
}

Context CustomOp::context(const Back& b) const {
  Context ctx;
  for (uint8_t i = 0; i < num_saved; i++)
    ctx.saved_.push_back(saved[i] == kUndefined ? Tensor() : saved[i] == kOutput ? b.out() : b.in(saved[i]));
  return ctx;
}

std::vector<uint32_t> detail::versions_of(const Tensors& x) {
  std::vector<uint32_t> versions;
  for (const Tensor& t : x) versions.push_back(version_of(t));
  return versions;
}

Tensor detail::record_custom(CustomOp op, Context ctx, const Tensors& inputs,
                             std::span<const uint32_t> versions, Tensor y) {
  if (!y.defined()) fail("{}: the forward function gave an undefined tensor", op.name);
  Needs keep = op.keep(ctx, inputs, y);
  if (detail::keep_values) keep = everything;
  if (is_grad_enabled())
    for (size_t i = 0; i < inputs.size(); i++) detail::check_unchanged(op.name, inputs[i], versions[i]);
  ctx = {};  // it may hold y, which must have one owner
  detail::own(op.name, y);
  std::vector<const Edge*> edges;
  for (const Tensor& x : inputs) edges.push_back(&edge_of(x));
  if (!is_grad_enabled() || !detail::any_edge(edges) || !is_floating(y.dtype())) return y;
  std::vector<const Tensor*> ins;
  for (const Tensor& x : inputs) ins.push_back(&x);
  const Tensor* outs[] = {&y};
  y.impl()->edge = Edge(CustomNode::make(op, {edges, ins, outs, keep}), 0);
  return y;
}

}  // namespace gradus
