#include <gradus/autograd/check/explain.h>
#include <gradus/autograd/check/trace.h>
#include <gradus/autograd/core/describe.h>
#include <gradus/autograd/kernels/symbol.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>

namespace gradus {
namespace {

using detail::Trace;

Numbers numbers(const Tensor& x) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  Numbers n{x.shape(), x.dtype()};
  n.known = true;
  if (x.numel() <= Numbers::kSmall) {
    NoGrad no_grad;
    n.elements = x.detach().clone();
  }
  n.min = n.max = n.mean = kNaN;
  double sum = 0, squares = 0;
  for (double v : x.to_vector()) {
    n.min = n.min <= v || std::isnan(v) ? n.min : v;
    n.max = n.max >= v || std::isnan(v) ? n.max : v;
    sum += v;
    squares += v * v;
  }
  if (x.numel() > 0) n.mean = sum / static_cast<double>(x.numel());
  n.norm = std::sqrt(squares);
  return n;
}
Numbers numbers(const Tensor& x, const Shape& shape, Dtype dtype) {
  return x.defined() ? numbers(x) : Numbers{shape, dtype};
}

std::string nested(const std::vector<double>& values, const Shape& shape, int dim, size_t& at) {
  if (dim == shape.rank()) return fmt::format("{:.4g}", values[at++]);
  std::string text = "[";
  for (int64_t i = 0; i < shape[dim]; i++) {
    if (i > 0) text += ", ";
    text += nested(values, shape, dim + 1, at);
  }
  return text + "]";
}

/// "1", "1 and 3", "1, 3 and 4"
std::string listed(const std::vector<size_t>& steps) {
  std::string text;
  for (size_t i = 0; i < steps.size(); i++)
    text += fmt::format("{}{}", i == 0 ? "" : i + 1 == steps.size() ? " and " : ", ", steps[i]);
  return text;
}

/// Splits "y = a b        da = g bᵀ        db = aᵀ g".
void split(const std::string& text, BackwardStep& s) {
  const std::string gap = detail::kGap;
  size_t start = text.find(gap);
  s.formula = text.substr(0, start);
  while (start != std::string::npos) {
    start += gap.size();
    const size_t end = text.find(gap, start);
    s.derivatives.push_back(text.substr(start, end - start));
    start = end;
  }
}

std::string note_on(const Tensor& given, const Tensor& passed) {
  std::string note;
  if (given.shape() != passed.shape())
    note = fmt::format("summed from {} to {}: the input was broadcast", given.shape(), passed.shape());
  if (given.dtype() != passed.dtype())
    note += fmt::format("{}converted from {} to {}", note.empty() ? "" : "; ", given.dtype(), passed.dtype());
  return note;
}

BackwardStep step_of(const Trace& trace, size_t k) {
  const Trace::Step& from = trace.steps()[k];
  const Node& node = *from.node;
  BackwardStep s;
  s.op = node.name();
  Describe attributes;
  node.describe(attributes);
  s.attributes = attributes.str();
  split(node.formula(), s);
  for (uint32_t slot = 0; slot < node.num_outputs(); slot++) {
    const Shape shape = node.shape(slot);
    const Dtype dtype = node.dtype(slot);
    BackwardStep::Result& r = s.results.emplace_back();
    r.value = numbers(trace.value(k, slot), shape, dtype);
    r.gradient = numbers(from.g[slot], shape, dtype);
    for (const Trace::Arrival& a : from.arrivals[slot]) r.from.push_back(a.step);
    if (r.from.size() > 1) {
      auto steps = r.from;
      steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
      s.note +=
          fmt::format("{}{} gradients met here, from step{} {}, and were added", s.note.empty() ? "" : "; ",
                      r.from.size(), steps.size() > 1 ? "s" : "", listed(steps));
    }
  }
  if (from.hooked) s.note += fmt::format("{}a hook replaced the gradient", s.note.empty() ? "" : "; ");
  for (uint32_t i = 0; i < node.num_inputs(); i++) {
    const Edge& e = node.edges()[i];
    BackwardStep::Input& in = s.inputs.emplace_back();
    const Tensor value = trace.input_value(k, i);
    if (!e) {
      in.value = numbers(value, Shape(), kFloat32);
      continue;
    }
    in.step = trace.step_of(e.node.get());
    in.result = e.slot;
    in.value = numbers(value, e.node->shape(e.slot), e.node->dtype(e.slot));
    const Tensor g = i < from.passed.size() ? from.passed[i] : Tensor();
    in.gradient = numbers(g, in.value.shape, in.value.dtype);
    if (g.defined()) in.note = note_on(from.given[i], g);
  }
  return s;
}

/// "W1", or "tanh" where it has no name.
const std::string& title(const BackwardStep& s) { return s.name.empty() ? s.op : s.name; }

}  // namespace

std::string Numbers::str() const {
  if (!known) return "not kept";
  if (!elements.defined())
    return fmt::format("min {:.4g}  mean {:.4g}  max {:.4g}  norm {:.4g}", min, mean, max, norm);
  if (elements.numel() == 0) return "[]";
  size_t at = 0;
  return nested(elements.to_vector(), shape, 0, at);
}

Explanation explain(const Tensor& y, const NamedTensors& names, const Tensor& gradient) {
  detail::check_defined("explain", y);
  if (!y.requires_grad())
    fail<GradError>(
        "explain: the output does not require grad: nothing that it was computed from does, or it was made "
        "under NoGrad");
  if (!gradient.defined() && y.numel() != 1)
    fail<GradError>("explain: the output has {} elements: {}; give its gradient, or reduce it to one element",
                    y.numel(), y.shape());
  if (gradient.defined() && gradient.shape() != y.shape())
    fail<ShapeError>("explain: a gradient of shape {} for an output of shape {}", gradient.shape(),
                     y.shape());
  const Trace trace(y, gradient);
  Explanation e;
  for (size_t k = 0; k < trace.steps().size(); k++) e.steps.push_back(step_of(trace, k));
  for (const auto& [name, x] : names) {
    if (!x.defined() || !x.requires_grad()) continue;
    const size_t k = trace.step_of(x.edge().node.get());
    if (k == e.steps.size()) continue;
    e.steps[k].name = name;
    const Numbers value = numbers(x);
    e.steps[k].results[x.edge().slot].value = value;
    for (BackwardStep& s : e.steps)
      for (BackwardStep::Input& in : s.inputs)
        if (in.step == k && in.result == x.edge().slot) in.value = value;
  }
  return e;
}

std::string Explanation::str() const {
  std::string text;
  const auto line = [&](const std::string& what, const Numbers& n, const std::string& note) {
    text += fmt::format("       {:<10} {:<10} {}{}{}\n", what, n.shape.str(), n.str(),
                        note.empty() ? "" : "   ", note);
  };
  for (size_t k = 0; k < steps.size(); k++) {
    const BackwardStep& s = steps[k];
    text += fmt::format("{:>4}   {}", k, title(s));
    if (s.op != "leaf") {
      text += s.name.empty() ? "(" : fmt::format(" = {}(", s.op);
      for (size_t i = 0; i < s.inputs.size(); i++) {
        const auto& step = s.inputs[i].step;
        text += i == 0 ? "" : ", ";
        if (!step)
          text += s.inputs[i].value.known ? s.inputs[i].value.shape.str() : "data";
        else
          text += steps[*step].name.empty() ? fmt::format("step {}", *step) : steps[*step].name;
      }
      if (!s.attributes.empty()) text += ", " + s.attributes;
      text += ")";
    }
    if (!s.formula.empty()) text += "      " + s.formula;
    text += '\n';
    for (const BackwardStep::Result& r : s.results) {
      if (r.value.known) line("value", r.value, "");
      line("gradient", r.gradient, s.note);
    }
    const bool one_each = s.derivatives.size() == s.inputs.size();
    for (size_t i = 0; i < s.derivatives.size(); i++)
      if (!one_each || s.inputs[i].step) text += fmt::format("       {}\n", s.derivatives[i]);
    for (const BackwardStep::Input& in : s.inputs)
      if (in.step)
        line(fmt::format("-> {}", steps[*in.step].name.empty() ? fmt::format("step {}", *in.step)
                                                               : steps[*in.step].name),
             in.gradient, in.note);
  }
  return text;
}

std::string str(const Explanation& e) { return e.str(); }
std::ostream& operator<<(std::ostream& os, const Explanation& e) { return os << e.str(); }

}  // namespace gradus
