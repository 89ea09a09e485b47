#include <gradus/autograd/check/graph.h>
#include <gradus/autograd/check/trace.h>
#include <gradus/autograd/engine/backward.h>
#include <gradus/autograd/ops/create.h>

#include <algorithm>
#include <cmath>

namespace gradus::detail {
namespace {

/// Takes what one rule gives.
class Collector final : public GradientSink {
 public:
  explicit Collector(const Node& node) : given(node.num_inputs()), node_(node) {}
  bool wanted(const Edge&) const override { return true; }
  void give(const Edge& e, Tensor g) override { given[input_of(e)] = std::move(g); }
  void give_part(const Edge& e, Part p) override {
    Node& n = *e.node;
    fit(p, n.shape(e.slot), n.dtype(e.slot), n);
    Tensor& g = given[input_of(e)];
    const Tensor part = whole(p, n.shape(e.slot));
    g = g.defined() ? g + part : part;
  }
  Tensors given;

 private:
  size_t input_of(const Edge& e) const { return static_cast<size_t>(&e - node_.edges().data()); }
  const Node& node_;
};

/// The gradient of each input as its node takes it.
Tensors fitted(const Tensors& given, const Node& node) {
  Tensors passed(given.size());
  for (size_t i = 0; i < given.size(); i++)
    if (const Edge& e = node.edges()[i]; e && given[i].defined()) {
      passed[i] = given[i];
      fit(passed[i], e.node->shape(e.slot), e.node->dtype(e.slot), *e.node);
    }
  return passed;
}

bool any(std::span<const Tensor> g) {
  return std::any_of(g.begin(), g.end(), [](const Tensor& t) { return t.defined(); });
}

void add(Tensor& sum, const Tensor& g) {
  if (g.defined()) sum = sum.defined() ? sum + g : g;
}

Tensor saved(const Node& node, bool is_output, uint32_t index) {
  NoGrad no_grad;
  try {
    return node.read_saved(is_output, index).detach();
  } catch (const GradError&) {
    return {};  // not saved, freed, or changed since
  }
}

}  // namespace

Tensors run_rule(const Node& node, std::span<const Tensor> g) {
  Collector collector(node);
  Back back(node, g, false, true, collector);
  run_rule(node, back, g);
  return std::move(collector.given);
}

Trace::Trace(const Tensor& y, const Tensor& seed)
    : root_(y), seed_(seed.defined() ? seed : ones_like(y.detach())) {
  const Running running;
  const NoGrad no_grad;
  for (const Node* node : graph_nodes(y)) {
    index_[node] = steps_.size();
    steps_.push_back({node, Tensors(node->num_outputs()), {}, {}, {}});
    steps_.back().arrivals.resize(node->num_outputs());
  }
  const Edge& root = y.edge();
  steps_[0].g[root.slot] = seed_;
  for (size_t k = 0; k < steps_.size(); k++) {
    Step& s = steps_[k];
    if (s.node->has_extras()) s.hooked = run_hooks(*s.node, s.g);
    if (s.node->is_leaf() || !any(s.g)) continue;
    s.given = run_rule(*s.node, s.g);
    s.passed = fitted(s.given, *s.node);
    for (uint32_t i = 0; i < s.passed.size(); i++) {
      if (!s.passed[i].defined()) continue;
      const Edge& e = s.node->edges()[i];
      Step& below = steps_[index_.at(e.node.get())];
      add(below.g[e.slot], s.passed[i]);
      below.arrivals[e.slot].push_back({k, i});
    }
  }
}

size_t Trace::step_of(const Node* node) const {
  const auto found = index_.find(node);
  return found == index_.end() ? steps_.size() : found->second;
}

Tensor Trace::value(size_t step, uint32_t slot) const {
  const Step& s = steps_[step];
  if (step == 0 && slot == root_.edge().slot) return root_.detach();
  if (Tensor x = saved(*s.node, true, slot); x.defined()) return x;
  for (const Arrival& a : s.arrivals[slot])
    if (Tensor x = saved(*steps_[a.step].node, false, a.input); x.defined()) return x;
  if (s.node->is_leaf())
    if (TensorImpl* owner = static_cast<const Leaf*>(s.node)->owner())
      return Tensor(Ref<TensorImpl>(owner)).detach();
  return {};
}

Tensor Trace::input_value(size_t step, uint32_t input) const {
  const Node& node = *steps_[step].node;
  if (Tensor x = saved(node, false, input); x.defined()) return x;
  const Edge& e = node.edges()[input];
  return e ? value(step_of(e.node.get()), e.slot) : Tensor();
}

double Trace::rounding(std::span<const Trace> elsewhere) const {
  double sum = 0;
  for (size_t k = 0; k < steps_.size(); k++)
    for (uint32_t slot = 0; slot < steps_[k].g.size(); slot++) {
      const Tensor& g = steps_[k].g[slot];
      const Tensor v = value(k, slot);
      if (!g.defined() || !v.defined() || steps_[k].node->is_leaf()) continue;
      const double unit = v.dtype() == kFloat32 ? 0x1p-24 : 0x1p-53;
      const std::vector<double> gs = g.to_vector(), vs = v.to_vector();
      std::vector<bool> moves(vs.size());
      for (const Trace& other : elsewhere) {
        const Tensor w = k < other.steps_.size() ? other.value(k, slot) : Tensor();
        const std::vector<double> ws =
            w.defined() && w.shape() == v.shape() ? w.to_vector() : std::vector<double>();
        for (size_t j = 0; j < vs.size(); j++) moves[j] = moves[j] || ws.empty() || ws[j] != vs[j];
      }
      for (size_t j = 0; j < gs.size(); j++)
        if (moves[j]) sum += std::abs(gs[j] * vs[j]) * unit;
    }
  return sum;
}

Tensors Trace::rerun(std::span<const size_t> replaced, const Rule& rule,
                     std::span<const size_t> leaves) const {
  const NoGrad no_grad;
  std::unordered_map<size_t, Tensors> passed;  // of the steps that ran again
  const auto gradients = [&](size_t k) {
    const Step& s = steps_[k];
    if (std::none_of(s.arrivals.begin(), s.arrivals.end(), [&](const auto& arrivals) {
          return std::any_of(arrivals.begin(), arrivals.end(),
                             [&](const Arrival& a) { return passed.contains(a.step); });
        }))
      return s.g;
    Tensors g(s.g.size());
    if (k == 0) g[root_.edge().slot] = seed_;
    for (size_t slot = 0; slot < g.size(); slot++)
      for (const Arrival& a : s.arrivals[slot]) {
        const auto again = passed.find(a.step);
        add(g[slot], (again == passed.end() ? steps_[a.step].passed : again->second)[a.input]);
      }
    return g;
  };
  std::vector<bool> again(steps_.size());
  for (size_t k : replaced) again[k] = true;
  for (size_t k = 0; k < steps_.size(); k++) {
    const Step& s = steps_[k];
    if (s.node->is_leaf()) continue;
    const Tensors g = gradients(k);
    bool changed = again[k];
    for (size_t slot = 0; slot < g.size(); slot++) changed = changed || g[slot].impl() != s.g[slot].impl();
    if (!changed || !any(g)) continue;
    passed[k] = fitted(again[k] ? rule(k, g) : run_rule(*s.node, g), *s.node);
  }
  Tensors result;
  for (size_t k : leaves) result.push_back(gradients(k)[0]);
  return result;
}

}  // namespace gradus::detail
