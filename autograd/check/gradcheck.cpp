#include <gradus/autograd/base/random.h>
#include <gradus/autograd/check/comparison.h>
#include <gradus/autograd/check/graph.h>
#include <gradus/autograd/engine/backward.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/join.h>
#include <gradus/autograd/ops/reduce.h>

#include <algorithm>
#include <limits>
#include <memory>

namespace gradus {
namespace {

using detail::Subject;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// x as a leaf of its own with the same strides, so that a rule meets the layout that was given.
Tensor leaf_like(const Tensor& x) {
  NoGrad no_grad;
  if (x.layout().overlaps()) return x.clone().contiguous().requires_grad_();
  Layout layout = x.layout();
  layout.offset = 0;
  Tensor leaf = make_tensor(Storage::allocate(layout.end() * item_size(kFloat64)), layout, kFloat64);
  leaf.copy_(x);
  return leaf.requires_grad_();
}

/// The gradients of v · f as one vector, as a function of the leaves and of v, which is added to them.
Subject next_order(const Subject& s, uint64_t seed) {
  Tensor v;
  {
    NoGrad no_grad;
    const Tensor y = s.f();
    std::vector<double> values(static_cast<size_t>(y.numel()));
    Generator(seed).uniform(values.data(), y.numel());
    for (double& u : values) u += 0.5;
    v = tensor(values, y.shape(), y.dtype()).requires_grad_();
  }
  Subject next = s;
  next.x.push_back(v);
  next.names.push_back(s.order == 1 ? "g" : fmt::format("g{}", s.order));
  next.order = s.order + 1;
  next.f = [f = s.f, x = s.x, v] {
    const Tensor y = f();
    Tensors g(x.size());
    if (y.requires_grad()) g = grad({y}, x, {v}, {.create_graph = true, .allow_unused = true});
    for (size_t i = 0; i < g.size(); i++) g[i] = (g[i].defined() ? g[i] : zeros_like(x[i])).reshape({-1});
    return cat(g);
  };
  return next;
}

GradcheckReport check_orders(Subject subject, const GradcheckOptions& options) {
  const EnableGrad recording;
  GradcheckReport report = detail::compare(subject, options);
  while (subject.order < options.order && report.ok()) {
    subject = next_order(subject, options.seed + static_cast<uint64_t>(subject.order));
    GradcheckReport next = detail::compare(subject, options);
    for (GradcheckInput& in : next.inputs) {
      if (!in.ok() && in.diagnosis.kind != Finding::HigherOrder)
        in.diagnosis = {Finding::HigherOrder,
                        fmt::format("right up to order {}, wrong at order {}: {}", subject.order - 1,
                                    subject.order, in.diagnosis.text),
                        in.diagnosis.mismatch};
      report.inputs.push_back(std::move(in));
    }
    if (!next.reason.empty()) report.reason = fmt::format("order {}: {}", subject.order, next.reason);
  }
  return report;
}

std::vector<std::string> names_for(const char* op, const GradcheckOptions& options, size_t n) {
  if (!options.names.empty() && options.names.size() != n)
    fail("{}: {} names for {} inputs", op, options.names.size(), n);
  std::vector<std::string> names = options.names;
  for (size_t i = 0; names.size() < n; i++) names.push_back(n == 1 ? "x" : fmt::format("x{}", i));
  return names;
}

void check_options(const char* op, const GradcheckOptions& o) {
  if (o.order < 1) fail("{}: the order must be at least 1, not {}", op, o.order);
  // An infinite tolerance would call every gradient right.
  if (!(o.eps > 0 && o.eps < kInfinity) || !(o.atol >= 0 && o.atol < kInfinity) ||
      !(o.rtol >= 0 && o.rtol < kInfinity) || o.max_elements < 1)
    fail(
        "{}: eps {}, atol {}, rtol {}, max_elements {}: eps and max_elements must be positive, atol and rtol "
        "not negative, and none of them infinite",
        op, o.eps, o.atol, o.rtol, o.max_elements);
}

void require_float64(const char* op, const std::string& name, const Tensor& x) {
  if (x.dtype() != kFloat64)
    fail<DtypeError>(
        "{}: {} is {}: differences of it have no digits left to compare; use float64: {}.to(kFloat64)", op,
        name, x.dtype(), name);
}

/// Copies of the inputs to move about, and which of them are checked.
struct Point {
  std::shared_ptr<Tensors> inputs = std::make_shared<Tensors>();
  Subject subject;
};
Point point_at(const char* op, const std::function<Tensor(const Tensors&)>& f, const Tensors& inputs,
               const std::vector<std::string>& names, const std::function<bool(size_t)>& is_checked) {
  Point p;
  for (size_t i = 0; i < inputs.size(); i++) {
    if (!inputs[i].defined() || !is_floating(inputs[i].dtype()) || !is_checked(i)) {
      p.inputs->push_back(inputs[i].defined() ? inputs[i].detach() : inputs[i]);
      continue;
    }
    require_float64(op, names[i], inputs[i]);
    p.inputs->push_back(leaf_like(inputs[i]));
    p.subject.x.push_back(p.inputs->back());
    p.subject.names.push_back(names[i]);
  }
  p.subject.f = [&f, copies = p.inputs] { return f(*copies); };
  return p;
}

/// A claim for input k of another shape, read in the ways in which that comes about. `all` has every input
/// that is claimed for.
GradcheckReport check_misshapen(const Subject& all, const Tensor& g, size_t k,
                                const GradcheckOptions& options) {
  const Shape shape = all.x[k].shape();
  const std::string shapes = fmt::format("of shape {} for {} of shape {}", g.shape(), all.names[k], shape);
  struct Reading {
    Finding kind;
    std::string what;
    Tensor g;
    size_t input;  // whose gradient it may be
  };
  std::vector<Reading> readings;
  if (g.dim() == 2 && g.t().shape() == shape)
    readings.push_back({Finding::Transposed, "transposed", g.t(), k});
  if (broadcastable(shape, g.shape()) && g.numel() > shape.numel()) {
    const Tensor sum = sum_to(g, shape);
    const double terms = static_cast<double>(g.numel()) / static_cast<double>(shape.numel());
    readings.push_back(
        {Finding::MissingSum, "not summed over the dims along which it was broadcast", sum, k});
    readings.push_back(
        {Finding::MissingSum, "not averaged over the dims along which it was broadcast", sum / terms, k});
  }
  if (g.numel() == shape.numel())
    readings.push_back({Finding::Shape, "right but for the shape", g.reshape(shape), k});
  for (size_t other = 0; other < all.x.size(); other++)
    if (other != k && all.x[other].shape() == g.shape())
      readings.push_back({Finding::Swapped, "this is the gradient of " + all.names[other], g, other});
  for (const Reading& r : readings) {
    GradcheckReport report = detail::compare({all.f, {all.x[r.input]}, {all.names[r.input]}, {r.g}}, options);
    if (!report.reason.empty()) return report;
    GradcheckInput& in = report.inputs[0];
    if (!in.ok()) continue;
    in.diagnosis = {r.kind, fmt::format("{}: {}; read so, it matches to {:.1e}", r.what, shapes, in.error()),
                    in.error()};
    if (r.input != k) {
      in.name = all.names[k];
      in.shape = shape;
      in.elements.clear();  // they are the other's
    }
    return report;
  }
  GradcheckReport report;
  GradcheckInput& in = report.inputs.emplace_back();
  in.name = all.names[k];
  in.shape = shape;
  in.diagnosis = {Finding::Shape, shapes};
  return report;
}

}  // namespace

GradcheckReport gradcheck(const std::function<Tensor(const Tensors&)>& f, const Tensors& inputs,
                          const GradcheckOptions& options) {
  check_function("gradcheck", f);
  check_options("gradcheck", options);
  const bool some = std::any_of(inputs.begin(), inputs.end(),
                                [](const Tensor& x) { return x.defined() && x.requires_grad(); });
  const auto names = names_for("gradcheck", options, inputs.size());
  return check_orders(
      point_at("gradcheck", f, inputs, names, [&](size_t i) { return !some || inputs[i].requires_grad(); })
          .subject,
      options);
}

GradcheckReport gradcheck(const std::function<Tensor()>& loss, const NamedTensors& parameters,
                          const GradcheckOptions& options) {
  check_function("gradcheck", loss);
  check_options("gradcheck", options);
  Subject subject;
  subject.f = loss;
  for (const auto& [name, x] : parameters) {
    if (!x.defined() || !x.requires_grad()) continue;
    if (!x.is_leaf())
      fail<GradError>("gradcheck: parameter '{}' is a result of '{}', not a leaf", name, x.op_name());
    require_float64("gradcheck", name, x);
    subject.x.push_back(x);
    subject.names.push_back(name);
  }
  const EnableGrad recording;
  const Tensor y = loss();
  if (!y.defined() || y.numel() != 1)
    fail<ShapeError>("gradcheck: the loss must have one element, it is {}",
                     y.defined() ? y.shape().str() : "undefined");
  std::string forgotten;
  for (const Node* node : graph_nodes(y))
    if (node->is_leaf() && std::none_of(subject.x.begin(), subject.x.end(),
                                        [&](const Tensor& x) { return x.edge().node.get() == node; }))
      forgotten += fmt::format("{}{}", forgotten.empty() ? "" : ", ", node->shape(0));
  GradcheckReport report = check_orders(subject, options);
  if (!forgotten.empty())
    report.reason = fmt::format(
        "the loss reaches leaves that are not among the parameters, of shapes {}: does the model name "
        "all its members?{}{}",
        forgotten, report.reason.empty() ? "" : "; ", report.reason);
  return report;
}

GradcheckReport check_gradient(const std::function<Tensor(const Tensors&)>& f, const Tensors& inputs,
                               const Tensors& claimed_gradients, const GradcheckOptions& options) {
  check_function("check_gradient", f);
  check_options("check_gradient", options);
  if (options.order != 1) fail("check_gradient: a claimed gradient has order 1, not {}", options.order);
  if (claimed_gradients.size() != inputs.size())
    fail("check_gradient: {} gradients for {} inputs", claimed_gradients.size(), inputs.size());
  const auto names = names_for("check_gradient", options, inputs.size());
  const auto claimed = [&](size_t i) { return claimed_gradients[i].defined(); };
  for (size_t i = 0; i < inputs.size(); i++)
    if (claimed(i) && (!inputs[i].defined() || !is_floating(inputs[i].dtype())))
      fail<DtypeError>("check_gradient: {} has a claimed gradient but is not floating", names[i]);
  Subject subject = point_at("check_gradient", f, inputs, names, claimed).subject;
  if (!options.previous.empty()) {
    if (options.previous.size() != inputs.size())
      fail("check_gradient: {} previous inputs for {} inputs", options.previous.size(), inputs.size());
    for (size_t i = 0; i < inputs.size(); i++)
      if (claimed(i) && (!options.previous[i].defined() || options.previous[i].shape() != inputs[i].shape()))
        fail<ShapeError>("check_gradient: the previous {} does not have the shape {} of {}", names[i],
                         inputs[i].shape(), names[i]);
    subject.previous = point_at("check_gradient", f, options.previous, names, claimed).subject.f;
  }

  Subject fitting = subject;
  fitting.x.clear();
  fitting.names.clear();
  Tensors claims;
  std::vector<bool> fits;
  for (size_t i = 0, k = 0; i < inputs.size(); i++) {
    if (!claimed(i)) continue;
    const Tensor& x = subject.x[k++];
    claims.push_back(claimed_gradients[i].detach().to(kFloat64));
    fits.push_back(claims.back().shape() == x.shape());
    if (!fits.back()) continue;
    fitting.x.push_back(x);
    fitting.names.push_back(names[i]);
    fitting.claims.push_back(claims.back());
  }
  GradcheckReport report;
  if (!fitting.x.empty() || claims.empty()) report = detail::compare(fitting, options);
  for (size_t k = 0; k < claims.size() && report.reason.empty(); k++) {
    if (fits[k]) continue;
    GradcheckReport one = check_misshapen(subject, claims[k], k, options);
    report.reason = one.reason;
    report.inputs.insert(report.inputs.begin() + static_cast<std::ptrdiff_t>(k), one.inputs.begin(),
                         one.inputs.end());
  }
  return report;
}

}  // namespace gradus
