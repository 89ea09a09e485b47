#include <gradus/autograd/check/known.h>
#include <gradus/autograd/check/mistakes.h>
#include <gradus/autograd/check/trace.h>
#include <gradus/autograd/core/modes.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/matmul.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <set>

namespace gradus::detail {
namespace {

/// How well a claim must be met, which may have been printed with few digits; one or two numbers may be met
/// by chance.
constexpr double kMet = 1e-5, kFewMet = 1e-7;
/// Differences of this size are rounding.
constexpr double kRounded = 1e-11;
/// Elements that all runs together may go over.
constexpr double kWork = 3e8;

/// ‖s c - t‖ / (‖s c‖ + ‖t‖)
double mismatch(const std::vector<double>& c, double s, const std::vector<double>& t) {
  double difference = 0, cc = 0, tt = 0;
  for (size_t j = 0; j < c.size(); j++) {
    difference += (s * c[j] - t[j]) * (s * c[j] - t[j]);
    cc += s * c[j] * s * c[j];
    tt += t[j] * t[j];
  }
  return cc + tt == 0 ? 0 : std::sqrt(difference) / (std::sqrt(cc) + std::sqrt(tt));
}

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && mismatch(a.to_vector(), 1, b.to_vector()) < 1e-12;
}

/// One gradient only along a dim: g where the index is k, 0 elsewhere.
Tensor only(const Tensor& g, int dim, int64_t k) {
  Tensor masked = zeros_like(g);
  masked.select(dim, k).copy_(g.select(dim, k));
  return masked;
}

/// Something done differently in the rule of one or more steps.
struct Variant {
  Finding kind;
  std::string text;
  std::vector<size_t> steps;
  Trace::Rule rule;
  int64_t summed = 1;  // over so many terms: a mean or a sum of them are near by
};

/// A derivative that stands in a rule where another belongs.
struct Replacement {
  bool slip;  // no function's derivative
  Finding kind;
  std::string text;                      // a sentence
  std::string instead;                   // "y (1 - y)"
  std::function<Tensor(size_t step)> d;  // dy/dx at the values of a step
};

class Search {
 public:
  Search(const Subject& subject, const Evidence& evidence, const std::vector<bool>& open)
      : subject_(subject), evidence_(evidence), open_(open), found_(open.size()) {
    {
      const EnableGrad recording;
      const KeepValues keep;
      y_ = subject.f();
    }
  }

  std::vector<std::optional<Diagnosis>> run() {
    if (!y_.requires_grad()) return found_;
    const NoGrad no_grad;
    trace_.emplace(y_, evidence_.seeds[0].to(y_.dtype()));
    look();
    if (subject_.claims.empty())
      compare_rules();
    else if (autograd_is_right())
      rehearse();
    return found_;
  }

 private:
  const std::vector<Trace::Step>& steps() const { return trace_->steps(); }
  const Node& node(size_t k) const { return *steps()[k].node; }
  bool wants(size_t k, uint32_t i) const { return static_cast<bool>(node(k).edges()[i]); }
  size_t below(size_t k, uint32_t i) const { return trace_->step_of(node(k).edges()[i].node.get()); }

  // ---- what is in the graph
  void look();
  /// "W1", "tanh", "tanh after b1", "matmul with W1"
  std::string label(size_t k) const;
  /// The library's formula that gives the values of a step; null where there is none.
  const KnownFormula* known(size_t k) const;
  bool leads_to(size_t from, size_t to) const;

  // ---- gradients that are claimed
  bool autograd_is_right() const;
  void rehearse();
  void derivatives(bool slips);
  void single_indices();
  void layers();
  void products();
  void paths();
  void last_steps_values();
  void factors();
  void consider(const Variant& v);
  void settle();

  /// What may stand in the place of the derivative of a step by its input i.
  std::vector<Replacement> replacements(size_t k, uint32_t i, const KnownFormula* own) const;

  // ---- autograd's own
  void compare_rules();

  std::vector<double> gradient_of(const Tensor& g, size_t input) const {
    return g.defined() ? g.to_vector() : std::vector<double>(evidence_.inputs[input].values.size(), 0.0);
  }
  double met(size_t input) const {
    const auto& claim = evidence_.inputs[input].analytic;
    const auto nonzero = std::count_if(claim.begin(), claim.end(), [](double a) { return a != 0; });
    return nonzero > 2 || evidence_.inputs[input].floats ? kMet : kFewMet;
  }
  bool is_wrong(size_t input) const { return !evidence_.inputs[input].right; }

  const Subject& subject_;
  const Evidence& evidence_;
  const std::vector<bool>& open_;
  std::vector<std::optional<Diagnosis>> found_;
  Tensor y_;
  std::optional<Trace> trace_;
  std::vector<size_t> leaves_;             // the step of each input that the graph reaches
  std::vector<size_t> inputs_;             // and which input it is
  std::vector<std::vector<double>> base_;  // its right gradient
  struct Quantity {
    std::string name;
    Tensor value;
  };
  std::vector<Quantity> quantities_;  // all values in the graph, each once
  double size_ = 0, work_ = 0;

  /// A variant that gives claimed gradients.
  struct Match {
    Finding kind;
    std::string text;
    std::vector<bool> explains;  // for each input
    bool exact;                  // without a factor
    int explained = 0;
    double mismatch = 0;  // the largest

    void add(size_t input, double m) {
      explains[input] = true;
      explained++;
      mismatch = std::max(mismatch, m);
    }
  };
  std::vector<Match> matches_;
};

void Search::look() {
  for (size_t i = 0; i < subject_.x.size(); i++) {
    const size_t k = trace_->step_of(subject_.x[i].edge().node.get());
    if (k == steps().size()) continue;
    leaves_.push_back(k);
    inputs_.push_back(i);
    base_.push_back(gradient_of(steps()[k].g[0], i));
  }
  const auto add = [&](const std::string& name, const Tensor& value) {
    if (value.defined() && is_floating(value.dtype()) &&
        std::none_of(quantities_.begin(), quantities_.end(),
                     [&](const Quantity& q) { return q.name == name || same(q.value, value); }))
      quantities_.push_back({name, value});
  };
  for (size_t k = 0; k < steps().size(); k++) {
    size_ += static_cast<double>(node(k).shape(0).numel());
    add(label(k), trace_->value(k));
  }
  for (size_t k = 0; k < steps().size(); k++)
    for (uint32_t i = 0; i < node(k).num_inputs(); i++)
      if (!wants(k, i))
        if (const Tensor value = trace_->input_value(k, i); value.defined() && value.numel() > 1)
          add(fmt::format("the data of shape {}", value.shape()), value);
}

std::string Search::label(size_t k) const {
  for (size_t n = 0; n < leaves_.size(); n++)
    if (leaves_[n] == k) return subject_.names[inputs_[n]];
  std::string op = node(k).name();
  if (std::count_if(steps().begin(), steps().end(),
                    [&](const Trace::Step& s) { return s.node->name() == op; }) == 1)
    return op;
  // The nearest input below it tells where in the network it stands.
  std::deque<size_t> queue = {k};
  std::set<size_t> seen;
  while (!queue.empty()) {
    const size_t at = queue.front();
    queue.pop_front();
    for (uint32_t i = node(at).num_inputs(); i-- > 0;) {
      if (!wants(at, i) || !seen.insert(below(at, i)).second) continue;
      queue.push_back(below(at, i));
      for (size_t n = 0; n < leaves_.size(); n++)
        if (leaves_[n] == below(at, i))
          return fmt::format("{} {} {}", op, at == k ? "with" : "after", subject_.names[inputs_[n]]);
    }
  }
  return op;
}

const KnownFormula* Search::known(size_t k) const {
  const Tensor y = trace_->value(k);
  Tensors x;
  for (uint32_t i = 0; i < node(k).num_inputs(); i++) x.push_back(trace_->input_value(k, i));
  const auto fits = [&](const Tensor& t) {
    return t.defined() && t.dtype() == y.dtype() && broadcastable(t.shape(), y.shape());
  };
  if (!y.defined() || !std::all_of(x.begin(), x.end(), fits)) return nullptr;
  const KnownFormula* found = nullptr;
  for (const KnownFormula& f : known_formulas()) {
    if (f.derivatives.size() != x.size() || !same(f.value(x), y)) continue;
    if (f.name == std::string(node(k).name())) return &f;
    if (!found) found = &f;
  }
  return found;
}

bool Search::leads_to(size_t from, size_t to) const {
  std::vector<bool> reached(steps().size());
  reached[from] = true;
  for (size_t k = from; k < to; k++)
    for (uint32_t i = 0; reached[k] && i < node(k).num_inputs(); i++)
      if (wants(k, i)) reached[below(k, i)] = true;
  return reached[to];
}

bool Search::autograd_is_right() const {
  for (size_t n = 0; n < leaves_.size(); n++) {
    const Evidence::Input& in = evidence_.inputs[inputs_[n]];
    for (const GradcheckElement& e : in.checked->elements)
      if (e.verdict != GradcheckElement::Verdict::Untrusted && e.input >= 0 &&
          !evidence_.agrees(base_[n][static_cast<size_t>(e.input)], e, in))
        return false;
  }
  return true;
}

void Search::rehearse() {
  // The simplest first: among equals it is named.
  paths();
  derivatives(false);
  single_indices();
  layers();
  products();
  last_steps_values();
  derivatives(true);
  factors();
  settle();
}

void Search::consider(const Variant& v) {
  work_ += size_;
  if (work_ > kWork) return;
  Tensors g;
  try {
    g = trace_->rerun(v.steps, v.rule, leaves_);
  } catch (const Error&) {
    return;  // shapes that do not fit
  }
  std::vector<double> scales = {1};
  const auto scale = [&](int64_t n) {
    if (n > 1) scales.insert(scales.end(), {static_cast<double>(n), 1 / static_cast<double>(n)});
  };
  for (const auto& [what, n] : evidence_.sizes) scale(n);
  scale(v.summed);
  std::vector<std::vector<double>> c;
  for (size_t n = 0; n < leaves_.size(); n++) {
    c.push_back(gradient_of(g[n], inputs_[n]));
    if (!is_wrong(inputs_[n]) && mismatch(c[n], 1, base_[n]) > kMet) return;
  }
  for (double s : scales) {
    Match match{v.kind, v.text, std::vector<bool>(open_.size()), s == 1};
    if (s != 1)
      match.text +=
          fmt::format(", and it is {:.6g} times too {}", std::max(s, 1 / s), s > 1 ? "large" : "small");
    for (size_t n = 0; n < leaves_.size(); n++) {
      const size_t i = inputs_[n];
      if (!open_[i] || mismatch(c[n], 1, base_[n]) <= kMet) continue;
      if (const double m = mismatch(c[n], s, evidence_.inputs[i].analytic); m <= met(i)) match.add(i, m);
    }
    if (match.explained > 0) matches_.push_back(std::move(match));
  }
}

void Search::settle() {
  for (size_t i = 0; i < open_.size(); i++) {
    // What explains the most inputs, and clearly better than others; the first of these.
    std::vector<const Match*> best;
    for (const Match& m : matches_)
      if (m.explains[i]) best.push_back(&m);
    std::pair<int, bool> most = {0, false};
    for (const Match* m : best) most = std::max(most, {m->explained, m->exact});
    std::erase_if(best, [&](const Match* m) { return std::pair(m->explained, m->exact) < most; });
    double least = kMet;
    for (const Match* m : best) least = std::min(least, m->mismatch);
    std::erase_if(best, [&](const Match* m) { return m->mismatch > 100 * std::max(least, kRounded); });
    if (best.empty()) continue;
    const Match& m = *best[0];
    Diagnosis d{m.kind, {}, m.mismatch};
    d.text = fmt::format("{}; with this mistake the backward pass gives the claimed gradient{} to {:.1e}",
                         m.text, m.explained > 1 ? fmt::format("s of {} inputs", m.explained) : "",
                         std::max(m.mismatch, 1e-16));
    std::set<Finding> kinds = {m.kind};
    for (const Match* other : best)
      if (kinds.size() < 3 && kinds.insert(other->kind).second)
        d.text += fmt::format(". As well explained by: {}", other->text);
    found_[i] = std::move(d);
  }
}

/// The derivatives of functions, from the likeliest on, then slips in writing one down.
std::vector<Replacement> Search::replacements(size_t k, uint32_t i, const KnownFormula* own) const {
  const bool unary = node(k).num_inputs() == 1;
  const std::string op = own && node(k).name() != std::string(own->name)
                             ? fmt::format("{} in '{}'", own->name, node(k).name())
                             : label(k);
  const std::string right = own ? ", " + own->derivatives[i].text + "," : "";
  std::vector<Replacement> list;
  const auto x = [this](size_t s) {
    Tensors values;
    for (uint32_t n = 0; n < node(s).num_inputs(); n++) values.push_back(trace_->input_value(s, n));
    return values;
  };
  const auto y = [this](size_t s) { return trace_->value(s); };
  bool slipped = false;
  const auto add = [&](Finding kind, std::string text, std::string instead, std::function<Tensor(size_t)> d) {
    list.push_back({slipped, kind, std::move(text), std::move(instead), std::move(d)});
  };

  add(Finding::MissingDerivative, fmt::format("the derivative of {}{} is missing", op, right), "1",
      [y](size_t s) { return ones_like(y(s)); });
  if (own && !unary) {
    const uint32_t j = 1 - std::min(i, 1u);
    if (own->derivatives.size() == 2)
      add(Finding::Swapped,
          fmt::format("the operands of {} are exchanged: {} stands where {} belongs", op,
                      own->derivatives[j].text, own->derivatives[i].text),
          own->derivatives[j].text, [own, j, x, y](size_t s) { return own->derivatives[j].at(x(s), y(s)); });
    return list;
  }
  if (own) {
    const auto& d = own->derivatives[0];
    if (d.reads.outs) {
      add(Finding::WrongPlace,
          fmt::format("the derivative of {}{} is taken at y = the input of {} instead of its output", op,
                      right, own->name),
          d.text, [&d, x](size_t s) { return d.at(x(s), x(s)[0]); });
      add(Finding::WrongPlace,
          fmt::format("the derivative of {} is taken at the output of {} instead of its input", op,
                      own->name),
          d.text, [&d, own, y](size_t s) {
            const Tensors at = {y(s)};
            return d.at(at, own->value(at));
          });
    }
    if (d.reads.ins)
      add(Finding::WrongPlace,
          fmt::format("the derivative of {}{} is taken at x = the output of {} instead of its input", op,
                      right, own->name),
          d.text, [&d, y](size_t s) {
            const Tensors at = {y(s)};
            return d.at(at, y(s));
          });
    for (const Quantity& q : quantities_) {
      if (same(q.value, y(k)) || same(q.value, x(k)[0]) || q.value.shape() != y(k).shape()) continue;
      add(Finding::WrongPlace,
          fmt::format("the derivative of {}{} is taken at {} = {}", op, right, d.reads.outs ? "y" : "x",
                      q.name),
          d.text, [&d, &q, x, y](size_t s) {
            const Tensors at = {q.value};
            return d.reads.outs ? d.at(x(s), q.value) : d.at(at, y(s));
          });
    }
    add(Finding::OtherDerivative, fmt::format("the derivative of {}{} is in it twice", op, right),
        fmt::format("({})²", d.text), [&d, x, y](size_t s) { return square(d.at(x(s), y(s))); });
  }
  for (const KnownFormula& f : known_formulas()) {
    if (&f == own || f.derivatives.size() != 1) continue;
    const auto& d = f.derivatives[0];
    const auto other = [&](const char* place, std::function<Tensor(size_t)> at) {
      add(Finding::OtherDerivative,
          fmt::format("the derivative of {}, {}{}, stands where that of {}{} belongs", f.name, d.text, place,
                      op, right),
          d.text, std::move(at));
    };
    if (d.reads.outs) {
      other(" with y = its output", [&d, x, y](size_t s) { return d.at(x(s), y(s)); });
      other(" with y = its own value", [&d, &f, x](size_t s) { return d.at(x(s), f.value(x(s))); });
      other(" with y = the input", [&d, x](size_t s) { return d.at(x(s), x(s)[0]); });
    } else if (d.reads.ins) {
      other(" with x = the input", [&d, x, y](size_t s) { return d.at(x(s), y(s)); });
      other(" with x = the output", [&d, y](size_t s) {
        const Tensors at = {y(s)};
        return d.at(at, y(s));
      });
    }
  }
  slipped = true;
  for (const Slip& slip : slips()) {
    const auto of = [&](const char* u) {
      return fmt::format("{} stands where the derivative of {}{} belongs", slip.text(u), op, right);
    };
    add(Finding::OtherDerivative, of("y"), slip.text("y"), [&slip, y](size_t s) { return slip.at(y(s)); });
    add(Finding::OtherDerivative, of("x"), slip.text("x"), [&slip, x](size_t s) { return slip.at(x(s)[0]); });
  }
  return list;
}

void Search::derivatives(bool slips) {
  std::set<std::string> done;
  for (size_t k = 0; k < steps().size(); k++) {
    const std::string op = node(k).name();
    if (node(k).is_leaf() || !done.insert(op).second) continue;
    std::vector<size_t> alike;
    for (size_t s = k; s < steps().size(); s++)
      if (node(s).name() == op && node(s).num_inputs() == node(k).num_inputs()) alike.push_back(s);
    // One function serves all layers, or each layer has its own line.
    std::vector<std::vector<size_t>> groups;
    if (alike.size() > 1) groups.push_back(alike);
    for (size_t s : alike) groups.push_back({s});
    for (const auto& group : groups) {
      if (!trace_->value(group[0]).defined()) continue;
      const KnownFormula* own = known(group[0]);
      for (uint32_t i = 0; i < node(k).num_inputs(); i++) {
        if (!wants(group[0], i)) continue;
        const Tensor x = trace_->input_value(group[0], 0);
        const bool same_shape =
            node(group[0]).num_inputs() == 1 && x.defined() && x.shape() == node(group[0]).shape(0);
        // The derivative of a sum is no function that one forgets.
        const bool constant = own && own->derivatives[i].reads == nothing;
        if (constant || (!own && !same_shape)) continue;
        for (const Replacement& r : replacements(group[0], i, own)) {
          if (r.slip != slips) continue;
          // A derivative that is 1 here is none.
          const Tensor d = r.d(group[0]);
          if (r.kind != Finding::MissingDerivative && same(d, ones_like(d))) continue;
          const std::string everywhere =
              group.size() > 1 ? fmt::format(" (in all {} places)", group.size()) : "";
          const std::string ratio =
              own && r.kind != Finding::MissingDerivative && r.instead != own->derivatives[i].text
                  ? fmt::format(": off by the factor ({}) / ({}) there", own->derivatives[i].text, r.instead)
                  : "";
          consider({r.kind, r.text + everywhere + ratio, group, [&](size_t s, std::span<const Tensor> g) {
                      Tensors out = run_rule(node(s), g);
                      out[i] = g[0] * r.d(s);
                      return out;
                    }});
        }
      }
    }
  }
}

void Search::single_indices() {
  for (size_t k = 0; k < steps().size(); k++) {
    if (node(k).is_leaf() || node(k).num_outputs() != 1 || !steps()[k].g[0].defined()) continue;
    const Shape shape = node(k).shape(0);
    for (int d = 0; d < shape.rank(); d++) {
      const auto size = std::find_if(evidence_.sizes.begin(), evidence_.sizes.end(),
                                     [&](const auto& s) { return s.second == shape[d]; });
      if (shape[d] < 2 || (!evidence_.sizes.empty() && size == evidence_.sizes.end())) continue;
      for (int64_t index = 0; index < shape[d]; index++) {
        if (shape[d] > 32 && index == 1) index = shape[d] - 1;
        const std::string text =
            evidence_.sizes.empty()
                ? fmt::format("only index {} of {} along dim {} of {} counts: the sum over it is missing",
                              index, shape[d], d, label(k))
                : fmt::format("only number {} of the {} {} counts: the sum over the {} is missing", index,
                              shape[d], size->first, size->first);
        const auto run = [&](std::optional<uint32_t> input) {
          consider({Finding::OneSample,
                    text,
                    {k},
                    [&](size_t, std::span<const Tensor> g) {
                      const Tensor one[] = {only(g[0], d, index)};
                      Tensors masked = run_rule(node(k), one);
                      if (!input) return masked;
                      Tensors out = run_rule(node(k), g);
                      out[*input] = masked[*input];
                      return out;
                    },
                    shape[d]});
        };
        run({});
        for (uint32_t i = 0; i < node(k).num_inputs(); i++)
          if (node(k).num_inputs() > 1 && wants(k, i) && node(below(k, i)).is_leaf()) run(i);
      }
    }
  }
}

void Search::layers() {
  for (size_t q = 1; q < steps().size(); q++) {
    if (node(q).is_leaf() || node(q).num_outputs() != 1 || !steps()[q].g[0].defined()) continue;
    for (size_t p = 0; p < steps().size(); p++) {
      if (p == q || node(p).is_leaf() || node(p).num_outputs() != 1 || node(p).shape(0) != node(q).shape(0))
        continue;
      const Tensor& other = steps()[p].g[0];
      if (!other.defined() || same(other, steps()[q].g[0])) continue;
      const Tensor swapped[] = {other};
      if (p < q && leads_to(p, q)) {
        std::string left_out;
        int ops = 0;
        for (size_t k = p; k < q; k++)
          if (!node(k).is_leaf() && leads_to(p, k) && leads_to(k, q))
            left_out += (ops++ == 0 ? "" : ", ") + label(k);
        // One function alone is no layer.
        if (ops > 1 || node(p).num_inputs() > 1)
          consider(
              {Finding::SkippedLayer,
               fmt::format(
                   "a layer is skipped: the gradient of the result of {} goes straight to that of {}, and "
                   "the derivatives of {} are left out",
                   label(p), label(q), left_out),
               {q},
               [&](size_t, std::span<const Tensor>) { return run_rule(node(q), swapped); }});
      }
      for (uint32_t i = 0; i < node(q).num_inputs(); i++)
        if (wants(q, i) && node(below(q, i)).is_leaf())
          consider({Finding::WrongLayer,
                    fmt::format("another layer's gradient is used: that of the result of {} instead of {}",
                                label(p), label(q)),
                    {q},
                    [&](size_t, std::span<const Tensor> g) {
                      Tensors out = run_rule(node(q), g);
                      out[i] = run_rule(node(q), swapped)[i];
                      return out;
                    }});
    }
  }
}

void Search::products() {
  for (size_t k = 0; k < steps().size(); k++) {
    const std::string op = node(k).name();
    if (op != "matmul" && op != "linear") continue;
    const Tensor operands[] = {trace_->input_value(k, 0), trace_->input_value(k, 1)};
    if (!operands[0].defined() || !operands[1].defined() || operands[0].dim() != 2 || operands[1].dim() != 2)
      continue;
    // y = a b, or y = x wᵀ
    const auto gradient = [&](uint32_t i, const Tensor& g, const Tensor& v) {
      if (op == "matmul") return i == 0 ? matmul(g, v.t()) : matmul(v.t(), g);
      return i == 0 ? matmul(g, v) : matmul(g.t(), v);
    };
    for (uint32_t i = 0; i < 2; i++) {
      if (!wants(k, i)) continue;
      const Tensor& right = operands[1 - i];
      const auto name = [&](const Tensor& v) {
        for (const Quantity& q : quantities_)
          if (same(q.value, v)) return q.name;
        return std::string("the other operand");
      };
      const auto with = [&](Finding kind, const std::string& text, const Tensor& v) {
        consider({kind, text, {k}, [&](size_t, std::span<const Tensor> g) {
                    Tensors out = run_rule(node(k), g);
                    out[i] = gradient(i, g[0], v);
                    return out;
                  }});
      };
      const std::string through = "in the product on the way back through " + label(k);
      if (right.size(0) == right.size(1))
        with(Finding::Transposed,
             fmt::format("transposed: {}{} stands {} where {}{} belongs", name(right),
                         op == "matmul" ? "" : "ᵀ", through, name(right), op == "matmul" ? "ᵀ" : ""),
             right.t());
      for (const Quantity& q : quantities_)
        if (q.value.shape() == right.shape() && !same(q.value, right))
          with(Finding::WrongOperand,
               fmt::format("{} stands {} where {} belongs", q.name, through, name(right)), q.value);
    }
  }
}

void Search::paths() {
  for (size_t k = 0; k < steps().size(); k++)
    for (uint32_t i = 0; i < node(k).num_inputs(); i++) {
      if (!wants(k, i)) continue;
      const size_t to = below(k, i);
      const size_t meeting = steps()[to].arrivals[node(k).edges()[i].slot].size();
      const auto times = [&](Finding kind, double factor, const std::string& text) {
        consider({kind, text, {k}, [&](size_t, std::span<const Tensor> g) {
                    Tensors out = run_rule(node(k), g);
                    if (out[i].defined()) out[i] = out[i] * factor;
                    return out;
                  }});
      };
      const std::string where = fmt::format("what {} gives {}", label(k), label(to));
      if (meeting > 1)
        times(Finding::MissingPath, 0,
              fmt::format("a path is missing: of {} gradients that meet at {} the one from {} is not added",
                          meeting, label(to), label(k)));
      times(Finding::Sign, -1, fmt::format("the sign is flipped of {}", where));
      for (double factor : {2.0, 0.5})
        times(Finding::Factor, factor, fmt::format("off by the factor {}: {}", 1 / factor, where));
      for (const auto& [what, n] : evidence_.sizes)
        for (double factor : {static_cast<double>(n), 1 / static_cast<double>(n)})
          times(Finding::Size, factor,
                fmt::format("off by {} = the number of {}: {} is that many times too {}", n, what, where,
                            factor > 1 ? "large" : "small"));
    }
}

void Search::last_steps_values() {
  if (!subject_.previous) return;
  Tensor y;
  {
    const EnableGrad recording;
    const KeepValues keep;
    y = subject_.previous();
  }
  const Trace before(y);
  if (before.steps().size() != steps().size()) return;
  std::vector<size_t> all;
  for (size_t k = 0; k < steps().size(); k++) {
    if (std::string(node(k).name()) != before.steps()[k].node->name() ||
        node(k).shape(0) != before.steps()[k].node->shape(0))
      return;
    if (!node(k).is_leaf()) all.push_back(k);
  }
  const auto stale = [&](size_t k, std::span<const Tensor> g) {
    return run_rule(*before.steps()[k].node, g);
  };
  consider({Finding::Stale, "stale: this is the gradient at the previous parameters", all, stale});
  // Layers keep their results, and read the parameters where they are now.
  consider({Finding::Stale, "stale: the cache holds the results of the previous parameters, not of these",
            all, [&](size_t k, std::span<const Tensor> g) {
              Tensors now = run_rule(node(k), g), cached = stale(k, g);
              bool has_leaf = false;
              for (uint32_t i = 0; i < now.size(); i++)
                has_leaf = has_leaf || (wants(k, i) && node(below(k, i)).is_leaf());
              for (uint32_t i = 0; i < now.size(); i++)
                if (wants(k, i) && (!has_leaf || node(below(k, i)).is_leaf())) now[i] = cached[i];
              return now;
            }});
  for (size_t k : all) {
    const std::string text = fmt::format(
        "stale: {} is gone through backwards with the values of the previous parameters", label(k));
    consider({Finding::Stale, text, {k}, stale});
    for (uint32_t i = 0; i < node(k).num_inputs(); i++)
      if (node(k).num_inputs() > 1 && wants(k, i))
        consider({Finding::Stale, text, {k}, [&](size_t, std::span<const Tensor> g) {
                    Tensors out = run_rule(node(k), g);
                    out[i] = stale(k, g)[i];
                    return out;
                  }});
  }
}

void Search::factors() {
  for (size_t n = 0; n < leaves_.size(); n++) {
    const size_t i = inputs_[n];
    const Evidence::Input& in = evidence_.inputs[i];
    if (!open_[i] || in.values.size() < 3) continue;
    for (const Quantity& q : quantities_) {
      if (q.value.shape() != in.checked->shape) continue;
      const std::vector<double> u = q.value.to_vector();
      for (bool missing : {false, true}) {
        std::vector<double> c = base_[n];
        for (size_t j = 0; j < c.size(); j++) c[j] = missing ? c[j] / u[j] : c[j] * u[j];
        const double m = mismatch(c, 1, in.analytic);
        if (!(m <= met(i))) continue;
        Match match{
            Finding::ElementwiseFactor,
            fmt::format("numeric / gradient = {}: the factor {} {}", missing ? q.name : "1 / " + q.name,
                        q.name, missing ? "is missing" : "should not be in it"),
            std::vector<bool>(open_.size()), true};
        match.add(i, m);
        matches_.push_back(std::move(match));
      }
    }
  }
}

void Search::compare_rules() {
  for (size_t k = 0; k < steps().size(); k++) {
    if (node(k).is_leaf() || node(k).num_outputs() != 1) continue;
    const KnownFormula* own = known(k);
    if (!own) continue;
    Tensors x;
    for (uint32_t i = 0; i < node(k).num_inputs(); i++) x.push_back(trace_->input_value(k, i));
    const Tensor y = trace_->value(k), one[] = {ones_like(y)};
    const Tensors given = run_rule(node(k), one);
    for (uint32_t i = 0; i < given.size(); i++) {
      const auto& right = own->derivatives[i];
      if (!given[i].defined() || given[i].shape() != y.shape() || same(given[i], right.at(x, y))) continue;
      std::string text = fmt::format(
          "the rule of '{}', which computes {}, should give g {}", node(k).name(), own->name,
          right.text.find_first_of(" /") == std::string::npos ? right.text : "(" + right.text + ")");
      Finding kind = Finding::WrongRule;
      for (const Replacement& r : replacements(k, i, own))
        if (same(given[i], r.d(k))) {
          kind = r.kind;
          text = r.text;
          if (kind != Finding::MissingDerivative && r.instead != right.text)
            text += fmt::format(": off by the factor ({}) / ({})", right.text, r.instead);
          break;
        }
      // The same op may stand in several places.
      std::vector<size_t> alike;
      for (size_t s = 0; s < steps().size(); s++)
        if (node(s).name() == node(k).name()) alike.push_back(s);
      const Trace::Rule corrected = [&](size_t s, std::span<const Tensor> g) {
        Tensors out = run_rule(node(s), g), at;
        for (uint32_t n = 0; n < node(s).num_inputs(); n++) at.push_back(trace_->input_value(s, n));
        out[i] = g[0] * right.at(at, trace_->value(s));
        return out;
      };
      std::vector<std::vector<double>> c(leaves_.size());
      for (const Tensor& seed : evidence_.seeds) {
        const Tensors g = Trace(y_, seed.to(y_.dtype())).rerun(alike, corrected, leaves_);
        for (size_t n = 0; n < leaves_.size(); n++) {
          const auto row = gradient_of(g[n], inputs_[n]);
          c[n].insert(c[n].end(), row.begin(), row.end());
        }
      }
      for (size_t n = 0; n < leaves_.size(); n++) {
        const size_t input = inputs_[n];
        if (!open_[input] || found_[input]) continue;
        const auto correction = [&](size_t row, size_t j) {
          return c[n][row * evidence_.inputs[input].values.size() + j];
        };
        if (const auto m = evidence_.explains(correction, evidence_.inputs[input]))
          found_[input] = Diagnosis{kind, fmt::format("{}; corrected, it matches to {:.1e}", text, *m), *m};
      }
    }
  }
}

}  // namespace

std::vector<std::optional<Diagnosis>> find_mistakes(const Subject& subject, const Evidence& evidence,
                                                    const std::vector<bool>& open) {
  try {
    return Search(subject, evidence, open).run();
  } catch (const Error&) {
    return std::vector<std::optional<Diagnosis>>(open.size());  // a backward pass that fails explains nothing
  }
}

}  // namespace gradus::detail
