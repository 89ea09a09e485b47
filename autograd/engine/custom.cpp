#include <gradus/autograd/engine/custom.h>

namespace gradus {

/// The node of custom(): every gradient of a call comes from one call of the backward function.
class CustomNode final : public Node {
 public:
  static constexpr size_t kMost = 31;  // inputs, and results

  /// Which inputs and outputs were saved, in the order of Context::save().
  struct Saved {
    enum class From : uint8_t { nothing, input, output };
    From from = From::nothing;
    uint8_t index = 0;
  };
  using SavedList = std::array<Saved, Context::kMaxSaved>;

  static Ref<Node> make(const char* name, detail::CustomBackward backward, const SavedList& saved,
                        size_t count, const Plan& plan) {
    const size_t bytes = bytes_of(sizeof(CustomNode), plan);
    CustomNode* node = new (allocate(bytes)) CustomNode(name, std::move(backward), saved, count);
    node->init(sizeof(CustomNode), bytes, plan);
    return Ref<Node>::first(node);
  }
  using Node::Plan;
  /// What ctx saved, and what of it is to be kept.
  static std::pair<SavedList, Needs> find(const char* name, const Context& ctx, const Tensors& inputs,
                                          const Tensors& y);

  const char* name() const override { return name_; }
  void run(Back& b) const override {
    Context ctx;
    for (size_t k = 0; k < count_; k++)
      ctx.saved_.push_back(saved_[k].from == Saved::From::nothing ? Tensor()
                           : saved_[k].from == Saved::From::input ? b.in(saved_[k].index)
                                                                  : b.out(saved_[k].index));
    Tensors arrived;
    for (uint32_t k = 0; k < num_outputs(); k++) arrived.push_back(b.g(k));
    const Tensors g = backward_(ctx, arrived);
    if (g.size() != num_inputs())
      fail<GradError>("{}: the backward function gave {} gradients for {} inputs", name_, g.size(),
                      num_inputs());
    for (uint32_t i = 0; i < num_inputs(); i++)
      if (b.wanted(i)) b.give(i, g[i]);
  }

 private:
  CustomNode(const char* name, detail::CustomBackward backward, const SavedList& saved, size_t count) noexcept
      : name_(name), backward_(std::move(backward)), saved_(saved), count_(count) {
    owns_ = true;
  }
  void destroy_op() noexcept override { backward_ = nullptr; }

  const char* name_;
  detail::CustomBackward backward_;
  SavedList saved_;
  size_t count_;
};

auto CustomNode::find(const char* name, const Context& ctx, const Tensors& inputs, const Tensors& y)
    -> std::pair<SavedList, Needs> {
  SavedList saved;
  Needs kept;
  const auto place = [](const Tensors& list, const Tensor& x) {
    const auto is_x = [&](const Tensor& t) { return t.impl() == x.impl(); };
    return static_cast<size_t>(std::find_if(list.begin(), list.end(), is_x) - list.begin());
  };
  for (size_t k = 0; k < ctx.saved_.size(); k++) {
    const Tensor& s = ctx.saved_[k];
    if (!s.defined()) continue;
    if (const size_t i = place(inputs, s); i < inputs.size()) {
      if (s.storage().version() != ctx.versions_[k])
        fail<GradError>("{}: an input that was saved was then changed in place: save a clone()", name);
      saved[k] = {Saved::From::input, static_cast<uint8_t>(i)};
      kept = kept | in(static_cast<int>(i));
    } else if (const size_t o = place(y, s); o < y.size()) {
      saved[k] = {Saved::From::output, static_cast<uint8_t>(o)};
      kept = kept | out(static_cast<int>(o));
    } else {
      fail<GradError>(
          "{}: only inputs and outputs can be saved; return an intermediate as an output, or compute it "
          "again",
          name);
    }
  }
  return {saved, kept};
}

std::vector<uint32_t> detail::check_custom(const char* name, const Tensors& inputs,
                                           const CustomBackward& backward) {
  if (!name) fail("custom: the name is null");
  if (!backward) fail("{}: the backward function is null", name);
  if (inputs.size() > CustomNode::kMost)
    fail("{}: at most {} inputs, not {}", name, CustomNode::kMost, inputs.size());
  std::vector<uint32_t> versions;
  for (const Tensor& x : inputs) versions.push_back(version_of(x));
  return versions;
}

Tensors detail::record_custom(const char* name, CustomBackward backward, Context ctx, const Tensors& inputs,
                              std::span<const uint32_t> versions, Tensors y) {
  if (y.empty()) fail("{}: the forward function gave no result", name);
  if (y.size() > CustomNode::kMost) fail("{}: at most {} results, not {}", name, CustomNode::kMost, y.size());
  for (const Tensor& t : y)
    if (!t.defined()) fail("{}: the forward function gave an undefined tensor", name);
  auto [saved, keep] = CustomNode::find(name, ctx, inputs, y);
  if (keep_values) keep = everything;
  if (is_grad_enabled())
    for (size_t i = 0; i < inputs.size(); i++) check_unchanged(name, inputs[i], versions[i]);
  const size_t count = ctx.size();
  ctx = {};  // it may hold results, which must have one owner
  {
    const Untold copies;
    own(name, y);
  }
  std::vector<const Edge*> edges;
  for (const Tensor& x : inputs) edges.push_back(&edge_of(x));
  const std::vector<const Tensor*> ins = each_of(inputs), outs = each_of(y);
  if (is_grad_enabled() && any_edge(edges))
    connect(CustomNode::make(name, std::move(backward), saved, count, {edges, ins, outs, keep}), outs,
            all_results);
  if (tracer) {
    const struct { const char* name; } op{name};
    tell(op, ins, outs);
  }
  return y;
}

}  // namespace gradus
