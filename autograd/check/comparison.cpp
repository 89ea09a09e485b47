#include <gradus/autograd/base/random.h>
#include <gradus/autograd/check/comparison.h>
#include <gradus/autograd/check/diagnose.h>
#include <gradus/autograd/check/mistakes.h>
#include <gradus/autograd/check/numeric.h>
#include <gradus/autograd/check/trace.h>
#include <gradus/autograd/engine/backward.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/elementwise.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>

namespace gradus::detail {
namespace {

using Verdict = GradcheckElement::Verdict;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kDouble = 0x1p-53, kFloat = 0x1p-24;  // relative rounding
constexpr int64_t kProjections = 2, kSampled = 32, kDirections = 4;

std::vector<double> normals(Generator& random, int64_t n) {
  std::vector<double> v(static_cast<size_t>(n));
  random.normal(v.data(), n);
  return v;
}

/// The first value that is not finite, as text; empty if all are.
std::string not_finite(const std::vector<double>& values, const Shape& shape) {
  for (size_t k = 0; k < values.size(); k++) {
    if (std::isfinite(values[k])) continue;
    const char* value = std::isnan(values[k]) ? "NaN" : values[k] > 0 ? "inf" : "-inf";
    if (shape.rank() == 0 || shape.numel() == 1) return value;
    return fmt::format("{} at {}", value, detail::unravel(static_cast<int64_t>(k), shape));
  }
  return "";
}

/// One comparison under way.
class Comparison {
 public:
  Comparison(const Subject& subject, const GradcheckOptions& options)
      : subject_(subject), options_(options), random_(options.seed) {}

  GradcheckReport run() {
    look();
    if (report_.reason.empty()) differentiate();
    if (report_.reason.empty())
      for (size_t i = 0; i < subject_.x.size(); i++) compare(i);
    if (report_.reason.empty()) explain_findings();
    return std::move(report_);
  }

 private:
  template <class... Args>
  void refuse(fmt::format_string<Args...> text, Args&&... args) {
    report_.reason = fmt::vformat(text, fmt::make_format_args(args...));
  }

  /// f at the point: whether there is anything to check.
  void look();
  /// How finely f computes: double, or float somewhere inside.
  void measure_precision();
  /// The rows of the Jacobian that are checked, from autograd or as claimed.
  void differentiate();
  void differentiate_row(const Tensor& y, size_t row);
  /// The incoming gradient of a row.
  Tensor seed(size_t row) const;
  void compare(size_t i);
  void take_claims();
  void explain_findings();

  std::vector<double> values() const { return subject_.f().to_vector<double>(); }
  /// The rows that are checked of f where it is now.
  std::vector<double> rows_here() const {
    std::vector<double> y = values();
    if (projections_.empty() || y.size() != y_.size()) return y;
    std::vector<double> rows;
    for (const auto& v : projections_) rows.push_back(std::inner_product(v.begin(), v.end(), y.begin(), 0.0));
    return rows;
  }
  Verdict judge(size_t i, double a, const Slope& s, double scale) const;
  std::vector<Slope> measure(Line& line, bool carefully) {
    const double h = line.step(options_.eps);
    const Values f = [&] { return rows_here(); };
    if (!carefully) return slopes(f, start_, line, h, precision_);
    return best_slopes(f, start_, line, h, precision_, rounding_along(line));
  }
  /// How far rounding may move each row by what changes along a line, as the graph of f tells.
  std::vector<double> rounding_along(Line& line);
  double along(size_t i, size_t row, const std::vector<int64_t>& elements,
               const std::vector<double>& u) const {
    const double* a = &analytic_[i][row * static_cast<size_t>(subject_.x[i].numel())];
    double sum = 0;
    for (size_t k = 0; k < elements.size(); k++) sum += a[elements[k]] * u[k];
    return sum;
  }
  /// The element behind an error along a direction, by halving.
  int64_t hunt(size_t i, size_t row, std::vector<int64_t> elements, std::vector<double> u, double scale);

  const Subject& subject_;
  const GradcheckOptions& options_;
  Generator random_;
  GradcheckReport report_;
  Shape y_shape_, rows_shape_;
  std::vector<double> y_, start_;                 // the result, and its checked rows
  std::vector<std::vector<double>> projections_;  // of the result; none: all its elements are rows
  std::vector<std::vector<double>> analytic_;     // per input: [rows, elements]
  double precision_ = kDouble;
  std::vector<bool> floats_;             // per input: claimed in float32
  std::vector<double> scales_;           // per input: the largest derivative
  std::vector<const char*> not_linear_;  // per input: what is wrong, or null
};

void Comparison::look() {
  int64_t elements = 0;
  for (const Tensor& x : subject_.x) elements += x.numel();
  if (subject_.x.empty()) return refuse("there is no floating input to differentiate with respect to");
  if (elements == 0) return refuse("the inputs have no elements: nothing can be checked");
  for (size_t i = 0; i < subject_.x.size(); i++)
    if (const auto bad = not_finite(subject_.x[i].to_vector(), subject_.x[i].shape()); !bad.empty())
      return refuse("{} is {}: nothing can be checked here", subject_.names[i], bad);

  const Tensor y = subject_.f();
  if (!y.defined()) return refuse("f gave an undefined tensor");
  if (!is_floating(y.dtype())) return refuse("f gives {}, which has no gradient", y.dtype());
  if (y.numel() == 0) return refuse("the result has no elements {}: nothing can be checked", y.shape());
  y_shape_ = y.shape();
  y_ = y.to_vector<double>();
  const std::string bad = not_finite(y_, y_shape_);
  if (!bad.empty()) return refuse("the function value is {} at this point: nothing can be checked here", bad);
  const std::vector<double> again = values();
  if (again.size() != y_.size() || std::memcmp(again.data(), y_.data(), y_.size() * sizeof(double)) != 0)
    return refuse(
        "f gives different values for the same inputs: draw its random numbers outside, or seed them inside; "
        "switch dropout off");
  if (!subject_.claims.empty() && y_.size() != 1)
    return refuse("f must give one element for a claimed gradient, not {}", y_shape_);
  if (y.dtype() == kFloat32)
    precision_ = kFloat;
  else
    measure_precision();

  rows_shape_ = y_shape_;
  if (y_.size() > 1 && y.numel() * elements > options_.max_elements) {
    rows_shape_ = Shape{kProjections};
    for (int64_t k = 0; k < kProjections; k++) projections_.push_back(normals(random_, y.numel()));
  }
  start_ = rows_here();
}

/// Whether all values are floats.
bool narrow(const std::vector<double>& y) {
  return std::all_of(y.begin(), y.end(),
                     [](double v) { return v == static_cast<double>(static_cast<float>(v)); });
}

void Comparison::measure_precision() {
  std::vector<double> moved;
  {
    std::vector<std::unique_ptr<Line>> lines;
    for (const Tensor& x : subject_.x) {
      if (x.numel() == 0) continue;
      std::vector<int64_t> all(static_cast<size_t>(x.numel()));
      std::iota(all.begin(), all.end(), 0);
      lines.push_back(std::make_unique<Line>(x, std::move(all), normals(random_, x.numel())));
      lines.back()->move(lines.back()->step(options_.eps));
    }
    moved = values();
  }
  if (moved != y_ && narrow(moved) && narrow(y_)) precision_ = kFloat;
}

Tensor Comparison::seed(size_t row) const {
  std::vector<double> v(y_.size(), 0.0);
  v[projections_.empty() ? row : 0] = 1;
  return tensor(projections_.empty() ? v : projections_[row], y_shape_, kFloat64);
}

std::vector<double> Comparison::rounding_along(Line& line) {
  std::vector<double> rounding(start_.size(), 0.0);
  const KeepValues keep;
  const auto trace = [&](double t, size_t row) {
    line.move(t);
    const Tensor y = subject_.f();
    return Trace(y, seed(row).to(y.dtype()));
  };
  try {
    if (!subject_.f().requires_grad()) return rounding;
    const double far = line.step(1);
    const Trace elsewhere[] = {trace(far, 0), trace(-far, 0)};
    for (size_t r = 0; r < start_.size(); r++) rounding[r] = trace(0, r).rounding(elsewhere);
  } catch (const Error&) {
    // A backward pass that fails tells nothing of f's values.
  }
  line.move(0);
  return rounding;
}

void Comparison::differentiate() {
  const size_t rows = start_.size();
  not_linear_.assign(subject_.x.size(), nullptr);
  floats_.assign(subject_.x.size(), false);
  for (const Tensor& x : subject_.x) analytic_.emplace_back(rows * static_cast<size_t>(x.numel()), 0.0);
  if (!subject_.claims.empty()) return take_claims();
  const Tensor y = subject_.f();
  if (!y.requires_grad()) return;
  try {
    for (size_t r = 0; r < rows && report_.reason.empty(); r++) differentiate_row(y, r);
  } catch (const Error& e) {
    refuse("the backward pass failed: {}", e.what());
    for (size_t i = 0; i < subject_.x.size(); i++) {
      GradcheckInput& in = report_.inputs.emplace_back();
      in.name = subject_.names[i];
      in.shape = subject_.x[i].shape();
      in.order = subject_.order;
      in.outputs = rows_shape_;
      in.diagnosis = {Finding::BackwardFailed, report_.reason};
    }
  }
}

void Comparison::differentiate_row(const Tensor& y, size_t row) {
  const Tensor v = seed(row);
  const auto gradient = [&](double times) {
    std::vector<std::vector<double>> values;
    const Tensors g =
        grad({y}, subject_.x, {(v * times).to(y.dtype())}, {.retain_graph = true, .allow_unused = true});
    for (size_t i = 0; i < g.size(); i++)
      values.push_back(g[i].defined() ? g[i].to_vector()
                                      : std::vector<double>(static_cast<size_t>(subject_.x[i].numel()), 0.0));
    return values;
  };
  const auto g = gradient(1);
  for (size_t i = 0; i < g.size(); i++) {
    if (const auto bad = not_finite(g[i], subject_.x[i].shape()); !bad.empty())
      return refuse("the gradient of {} is {}: nothing can be checked here", subject_.names[i], bad);
    std::copy(g[i].begin(), g[i].end(),
              analytic_[i].begin() + static_cast<std::ptrdiff_t>(row * g[i].size()));
  }
  if (row > 0) return;
  if (gradient(1) != g) return refuse("the backward pass gives different gradients for the same inputs");
  // A rule is linear in the incoming gradient; one that forgets it is right only where that is 1.
  const auto triple = gradient(3);
  for (size_t i = 0; i < g.size(); i++) {
    double scale = 0, off = 0;
    for (size_t j = 0; j < g[i].size(); j++) {
      scale = std::max(scale, std::abs(g[i][j]));
      off = std::max(off, std::abs(triple[i][j] - 3 * g[i][j]));
    }
    if (off >
        3 * (options_.rtol * scale + 1e-10))  // gradients may cancel to rounding of what they are summed from
      not_linear_[i] =
          triple[i] == g[i]
              ? "the gradient is the same for three times the incoming gradient: a rule does not "
                "multiply by it"
              : "the gradient is not proportional to the incoming gradient: a rule does not "
                "multiply by it just once";
  }
}

void Comparison::take_claims() {
  for (size_t i = 0; i < subject_.x.size(); i++) {
    analytic_[i] = subject_.claims[i].to_vector();
    if (const auto bad = not_finite(analytic_[i], subject_.x[i].shape()); !bad.empty())
      return refuse("the claimed gradient of {} is {}", subject_.names[i], bad);
    floats_[i] = narrow(analytic_[i]);
  }
}

Verdict Comparison::judge(size_t i, double a, const Slope& s, double scale) const {
  const double error = std::abs(a - s.value);
  if (error <= tolerance(a, s.value, scale, options_.atol, options_.rtol, floats_[i])) return Verdict::Right;
  if (error > 2 * s.doubt) return Verdict::Wrong;
  // As close as can be measured, and that is three digits.
  return s.doubt <= 1e-3 * std::max(std::abs(a), std::abs(s.value)) ? Verdict::Right : Verdict::Untrusted;
}

int64_t Comparison::hunt(size_t i, size_t row, std::vector<int64_t> elements, std::vector<double> u,
                         double scale) {
  while (elements.size() > 1) {
    const auto half = static_cast<std::ptrdiff_t>(elements.size() / 2);
    std::vector<int64_t> left(elements.begin(), elements.begin() + half);
    std::vector<double> u_left(u.begin(), u.begin() + half);
    Line line(subject_.x[i], left, u_left);
    const Slope s = measure(line, true)[row];
    if (judge(i, along(i, row, left, u_left), s, scale) == Verdict::Wrong) {
      elements = std::move(left);
      u = std::move(u_left);
    } else {
      elements.erase(elements.begin(), elements.begin() + half);
      u.erase(u.begin(), u.begin() + half);
    }
  }
  return elements[0];
}

void Comparison::compare(size_t i) {
  const Tensor& x = subject_.x[i];
  const int64_t n = x.numel();
  const size_t rows = start_.size();
  GradcheckInput& in = report_.inputs.emplace_back();
  in.name = subject_.names[i];
  in.shape = x.shape();
  in.order = subject_.order;
  in.outputs = rows_shape_;
  in.complete = n * static_cast<int64_t>(rows) <= options_.max_elements;

  struct Probe {
    int64_t input;
    std::vector<int64_t> elements;
    std::vector<double> u;
    std::vector<Slope> slopes;
  };
  std::vector<Probe> probes;
  const auto probe = [&](int64_t input, std::vector<int64_t> elements, std::vector<double> u) -> Probe& {
    Line line(x, elements, u);
    auto measured = measure(line, false);
    return probes.emplace_back(Probe{input, std::move(elements), std::move(u), std::move(measured)});
  };
  std::vector<int64_t> all(static_cast<size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  if (in.complete) {
    for (int64_t j : all) probe(j, {j}, {1});
  } else {
    std::vector<double> draws(static_cast<size_t>(kSampled));
    random_.uniform(draws.data(), kSampled);
    std::vector<int64_t> sample;
    sample.reserve(draws.size());
    for (double d : draws) sample.push_back(static_cast<int64_t>(d * static_cast<double>(n)));
    std::sort(sample.begin(), sample.end());
    sample.erase(std::unique(sample.begin(), sample.end()), sample.end());
    for (int64_t j : sample) probe(j, {j}, {1});
    for (int64_t k = 0; k < kDirections; k++) probe(-1, all, normals(random_, n));
  }

  double scale = 0;
  for (const Probe& p : probes)
    for (size_t r = 0; r < rows; r++)
      if (p.input >= 0) {
        scale = std::max(scale, std::abs(along(i, r, p.elements, p.u)));
        if (std::isfinite(p.slopes[r].value)) scale = std::max(scale, std::abs(p.slopes[r].value));
      }

  scales_.push_back(scale);

  const auto judge_probe = [&](Probe& p) {
    // Nothing is called wrong by two steps alone: noisy ones may agree by chance.
    bool all_right = true;
    for (size_t r = 0; r < rows; r++)
      all_right = all_right && judge(i, along(i, r, p.elements, p.u), p.slopes[r], scale) == Verdict::Right;
    if (!all_right) {
      Line line(x, p.elements, p.u);
      p.slopes = measure(line, true);
    }
    for (size_t r = 0; r < rows; r++) {
      const double a = along(i, r, p.elements, p.u);
      const Slope& s = p.slopes[r];
      in.elements.push_back(
          {static_cast<int64_t>(r), p.input, a, s.value, s.doubt, s.kink, judge(i, a, s, scale)});
    }
  };
  for (Probe& p : probes) judge_probe(p);

  if (!in.complete && in.count(Verdict::Wrong) > 0) {
    const bool seen = std::any_of(in.elements.begin(), in.elements.end(),
                                  [](const auto& e) { return e.input >= 0 && e.verdict == Verdict::Wrong; });
    const auto wrong = std::find_if(in.elements.begin(), in.elements.end(),
                                    [](const auto& e) { return e.verdict == Verdict::Wrong; });
    if (!seen) {
      const Probe& direction = probes[static_cast<size_t>(wrong - in.elements.begin()) / rows];
      const int64_t j = hunt(i, static_cast<size_t>(wrong->output), direction.elements, direction.u, scale);
      judge_probe(probe(j, {j}, {1}));
    }
  }
}

void Comparison::explain_findings() {
  const size_t inputs = report_.inputs.size();
  Evidence evidence{{}, y_shape_, options_.sizes, {}, options_.atol, options_.rtol};
  for (size_t r = 0; r < start_.size(); r++) evidence.seeds.push_back(seed(r));
  for (size_t i = 0; i < inputs; i++) {
    const GradcheckInput& in = report_.inputs[i];
    std::vector<double> numeric(analytic_[i].size(), kNaN);
    for (const GradcheckElement& e : in.elements)
      if (e.input >= 0 && e.verdict != Verdict::Untrusted)
        numeric[static_cast<size_t>(e.output * in.shape.numel() + e.input)] = e.numeric;
    evidence.inputs.push_back({&in, subject_.x[i].to_vector(), analytic_[i], std::move(numeric), scales_[i],
                               in.count(Verdict::Wrong) == 0, floats_[i]});
  }
  // By the numbers alone where they tell, else by the graph, else at least where it is wrong.
  std::vector<std::optional<Diagnosis>> mistakes(inputs);
  std::vector<bool> open(inputs);
  for (size_t i = 0; i < inputs; i++) {
    if (evidence.inputs[i].right || not_linear_[i]) continue;
    mistakes[i] = diagnose(evidence, i);
    open[i] = !mistakes[i];
  }
  if (subject_.order == 1 && std::find(open.begin(), open.end(), true) != open.end()) {
    auto found = find_mistakes(subject_, evidence, open);
    for (size_t i = 0; i < inputs; i++)
      if (open[i]) {
        const Diagnosis place = describe(evidence, i);
        if (found[i] && found[i]->kind == Finding::WrongRule && place.kind != Finding::Unknown)
          mistakes[i] = {place.kind, place.text + ": " + found[i]->text, found[i]->mismatch};
        else
          mistakes[i] = found[i] ? *found[i] : place;
      }
  }
  const auto is_zero = [&](const GradcheckElement& e) {
    return std::max(std::abs(e.analytic), std::abs(e.numeric)) <=
           std::min(options_.atol, std::max(2 * e.doubt, kRounding));
  };
  for (size_t i = 0; i < report_.inputs.size(); i++) {
    GradcheckInput& in = report_.inputs[i];
    const int64_t wrong = in.count(Verdict::Wrong), untrusted = in.count(Verdict::Untrusted);
    if (in.elements.empty()) continue;
    if (not_linear_[i]) {
      in.diagnosis = {Finding::NotLinear, not_linear_[i]};
    } else if (wrong > 0) {
      in.diagnosis = mistakes[i] ? *mistakes[i] : describe(evidence, i);
    } else if (std::all_of(in.elements.begin(), in.elements.end(), is_zero)) {
      in.diagnosis = {Finding::Zero, "the gradient is zero everywhere: little was shown"};
    } else if (untrusted > 0) {
      const bool kink = std::any_of(in.elements.begin(), in.elements.end(), [](const GradcheckElement& e) {
        return e.verdict == Verdict::Untrusted && e.kink;
      });
      const char* why = precision_ == kFloat
                            ? "f computes in float32, whose rounding drowns the differences; use float64"
                        : kink ? "f has a kink or a jump, where there is no derivative to compare with"
                               : "f is too noisy (does a part of it compute in float32?), changes too fast, "
                                 "or is not finite close by";
      in.diagnosis = {
          precision_ != kFloat && kink ? Finding::Kink : Finding::Noise,
          fmt::format("{} of {} elements cannot be trusted: {}", untrusted, in.elements.size(), why)};
      if (untrusted == static_cast<int64_t>(in.elements.size()))
        refuse("no numeric derivative with respect to {} can be trusted here: {}", in.name, why);
    }
  }
}

}  // namespace

GradcheckReport compare(const Subject& subject, const GradcheckOptions& options) {
  return Comparison(subject, options).run();
}

}  // namespace gradus::detail
