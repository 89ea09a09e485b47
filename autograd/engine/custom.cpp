#include <gradus/autograd/engine/custom.h>

#include <algorithm>

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

Context CustomOp::context(const Back& b) const {
  Context ctx;
  for (uint8_t i = 0; i < num_saved; i++)
    ctx.saved_.push_back(saved[i] == num_inputs ? b.out() : b.in(saved[i]));
  return ctx;
}

Tensor detail::record_custom(CustomOp op, const Tensors& inputs, const Tensor& y, const Tensors& saved) {
  if (!y.defined()) fail("{}: the forward function gave an undefined tensor", op.name);
  if (inputs.size() > 31) fail("{}: at most 31 inputs, not {}", op.name, inputs.size());
  op.num_inputs = static_cast<uint8_t>(inputs.size());
  Needs keep;
  for (const Tensor& s : saved) {
    uint8_t at = 0;
    while (at < inputs.size() && inputs[at].impl() != s.impl()) at++;
    if (at == inputs.size() && s.impl() != y.impl())
      fail<GradError>(
          "{}: only inputs and the output can be saved; return an intermediate as an output, or compute it "
          "again",
          op.name);
    op.saved[op.num_saved++] = at;
    keep = keep | (at == inputs.size() ? out(0) : in(at));
  }
  if (detail::keep_values) keep = everything;
  std::vector<const Edge*> edges;
  for (const Tensor& x : inputs) edges.push_back(&edge_of(x));
  // A result that is an input, shares its elements, or belongs to somebody else becomes a tensor of its own.
  const auto holders =
      1 + std::count_if(saved.begin(), saved.end(), [&](const Tensor& s) { return s.impl() == y.impl(); });
  bool shared = y.edge() || y.impl()->ref_count() > holders;
  for (const Tensor& x : inputs) shared |= x.defined() && x.ref()->storage == y.ref()->storage;
  Tensor result = y;
  if (shared) {
    NoGrad no_grad;
    result = y.clone();
  }
  detail::own(result);
  if (!is_grad_enabled() || !detail::any_edge(edges) || !is_floating(result.dtype())) return result;
  std::vector<const Tensor*> ins;
  for (const Tensor& x : inputs) ins.push_back(&x);
  const Tensor* outs[] = {&result};
  result.impl()->edge = Edge(CustomNode::make(op, {edges, ins, outs, keep}), 0);
  return result;
}

}  // namespace gradus
