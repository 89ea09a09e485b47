#include <gradus/autograd/check/diagnose.h>

#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <set>

namespace gradus::detail {
namespace {

using Verdict = GradcheckElement::Verdict;
using Correction = std::function<double(size_t row, size_t element)>;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// "the rows of x", "dim 2 of x"
std::string dim_of(const std::string& name, int dim, int rank) {
  if (rank == 1) return fmt::format("the elements of {}", name);
  if (rank == 2) return fmt::format("the {} of {}", dim == 0 ? "rows" : "columns", name);
  return fmt::format("dim {} of {}", dim, name);
}

/// The derivatives that students mix up, as functions of some quantity u.
struct Derivative {
  const char* formula;
  const char* what;
  double (*at)(double u);
};
constexpr Derivative kDerivatives[] = {
    {"1", "nothing", [](double) { return 1.0; }},
    {"u", "the factor u", [](double u) { return u; }},
    {"1 - u²", "the derivative of tanh at its output", [](double u) { return 1 - u * u; }},
    {"u (1 - u)", "the derivative of the sigmoid at its output", [](double u) { return u * (1 - u); }},
    {"[u > 0]", "the derivative of relu", [](double u) { return u > 0 ? 1.0 : 0.0; }},
    {"2 u", "the derivative of the square", [](double u) { return 2 * u; }},
    {"3 u²", "the derivative of the cube", [](double u) { return 3 * u * u; }},
    {"1 / u", "the derivative of the logarithm", [](double u) { return 1 / u; }},
    {"1 / (1 + u)", "the derivative of log1p", [](double u) { return 1 / (1 + u); }},
    {"e^u", "the derivative of exp", [](double u) { return std::exp(u); }},
    {"cos u", "the derivative of the sine", [](double u) { return std::cos(u); }},
    {"sin u", "the sine", [](double u) { return std::sin(u); }},
};

class Examination {
 public:
  Examination(const Evidence& all, size_t i) : all_(all), i_(i), me_(all.inputs[i]), in_(*me_.checked) {
    n_ = static_cast<size_t>(in_.shape.numel());
    for (const GradcheckElement& e : in_.elements) {
      if (e.verdict == Verdict::Untrusted || e.input < 0) continue;
      elements_.push_back(&e);
      scale_ = std::max({scale_, std::abs(e.analytic), std::abs(e.numeric)});
      largest_analytic_ = std::max(largest_analytic_, std::abs(e.analytic));
      largest_numeric_ = std::max(largest_numeric_, std::abs(e.numeric));
    }
  }

  Diagnosis run() {
    using Test = std::optional<Diagnosis> (Examination::*)();
    constexpr Test tests[] = {&Examination::zero,       &Examination::factor,
                              &Examination::transposed, &Examination::swapped,
                              &Examination::derivative, &Examination::weight_decay,
                              &Examination::localised,  &Examination::one_row_of_result};
    if (!elements_.empty())
      for (Test test : tests)
        if (auto d = (this->*test)()) return *d;
    return unknown();
  }

 private:
  double negligible() const { return all_.atol * std::min(1.0, scale_) + kRounding; }
  bool near(double a, const GradcheckElement& e) const {
    return std::abs(a - e.numeric) <= 4 * (tolerance(a, e.numeric, scale_, all_.atol, all_.rtol) + e.doubt);
  }
  /// How well c explains what was measured; nothing where it does not, at any one element.
  std::optional<double> explains(const Correction& c) const {
    double difference = 0, cs = 0, ns = 0;
    for (const GradcheckElement* e : elements_) {
      const double a = c(static_cast<size_t>(e->output), static_cast<size_t>(e->input));
      if (!near(a, *e)) return {};
      difference += (a - e->numeric) * (a - e->numeric);
      cs += a * a;
      ns += e->numeric * e->numeric;
    }
    const double mismatch = cs + ns == 0 ? 0 : std::sqrt(difference) / (std::sqrt(cs) + std::sqrt(ns));
    if (mismatch > 1e-3) return {};
    return mismatch;
  }
  double analytic(size_t row, size_t element) const { return me_.analytic[row * n_ + element]; }
  std::optional<Diagnosis> found(Finding kind, const Correction& c,
                                 const std::function<std::string()>& text) const {
    const auto mismatch = explains(c);
    if (!mismatch) return {};
    return Diagnosis{kind, fmt::format("{}; corrected, it matches to {:.1e}", text(), *mismatch), *mismatch};
  }

  std::optional<Diagnosis> zero() {
    if (largest_analytic_ <= negligible())
      return Diagnosis{
          Finding::NotConnected,
          fmt::format(
              "the gradient is zero, but f changes with {} (by up to {:.6g} per unit): it is not connected",
              in_.name, largest_numeric_)};
    if (largest_numeric_ <= negligible())
      return Diagnosis{Finding::NotUsed,
                       fmt::format("the gradient is up to {:.6g}, but f does not change with {}",
                                   largest_analytic_, in_.name)};
    return {};
  }

  /// numeric = c · analytic for one number c.
  std::optional<Diagnosis> factor() {
    double an = 0, aa = 0;
    int64_t nonzero = 0;
    for (const GradcheckElement* e : elements_) {
      an += e->analytic * e->numeric;
      aa += e->analytic * e->analytic;
      nonzero += std::abs(e->numeric) > negligible();
    }
    const double c = an / aa;
    if (std::abs(c - 1) < 1e-4 || !explains([&](size_t r, size_t j) { return c * analytic(r, j); }))
      return {};
    const auto is = [&](double wanted) { return std::abs(c - wanted) <= 1e-5 * std::abs(wanted); };
    const auto with = [&](double exact) {
      return [this, exact](size_t r, size_t j) { return exact * analytic(r, j); };
    };
    if (is(-1))
      return found(Finding::Sign, with(-1),
                   [&] { return "the sign is flipped: numeric / gradient = -1 everywhere"; });

    const std::string sign = c < 0 ? "the sign is flipped and " : "";
    const auto size = [&](const std::string& of, int64_t s) -> std::optional<Diagnosis> {
      if (s <= 1) return {};
      for (int power : {1, 2}) {
        const double by = std::pow(static_cast<double>(s), power);
        const char* twice = power == 2 ? " squared" : "";
        if (is(std::copysign(by, c)))
          return found(Finding::Size, with(std::copysign(by, c)), [&] {
            return fmt::format("{}off by {}{} = {}: the gradient is {} times too small. {}", sign, s, twice,
                               of, by,
                               power == 1 ? "Divided by it once too often, or a mean where a sum belongs?"
                                          : "Divided by it twice too often?");
          });
        if (is(std::copysign(1 / by, c)))
          return found(Finding::Size, with(std::copysign(1 / by, c)), [&] {
            return fmt::format("{}off by {}{} = {}: the gradient is {} times too large. {}", sign, s, twice,
                               of, by,
                               power == 1 ? "Is the division by it missing, or a sum where a mean belongs?"
                                          : "Multiplied by it instead of divided?");
          });
      }
      return {};
    };
    for (const auto& [what, s] : all_.sizes)
      if (auto d = size("the number of " + what, s)) return d;
    const auto plain = [&] {
      return found(Finding::Factor, with(c), [&] {
        return fmt::format("{}off by a constant factor: numeric / gradient = {:.6g} everywhere", sign, c);
      });
    };
    if (is(2) || is(0.5) || is(-2) || is(-0.5)) return plain();
    const auto dims_of = [&](const std::string& name, const Shape& shape) -> std::optional<Diagnosis> {
      for (int d = 0; d < shape.rank(); d++)
        if (auto found_size = size(dim_of(name, d, shape.rank()), shape[d])) return found_size;
      return size("all elements of " + name, shape.numel());
    };
    if (auto d = dims_of("the result", all_.result_shape)) return d;
    for (const auto& other : all_.inputs)
      if (auto d = dims_of(other.checked->name, other.checked->shape)) return d;
    // A single number is always off by "a factor".
    return nonzero > 1 ? plain() : std::nullopt;
  }

  std::optional<Diagnosis> transposed() {
    if (in_.shape.rank() != 2 || in_.shape[0] == 1 || in_.shape[1] == 1) return {};
    const auto rows = static_cast<size_t>(in_.shape[0]), columns = static_cast<size_t>(in_.shape[1]);
    return found(
        Finding::Transposed,
        [&](size_t r, size_t j) { return analytic(r, j % columns * rows + j / columns); },
        [&] { return fmt::format("transposed: the gradient of {}ᵀ, laid out as {}", in_.name, in_.shape); });
  }

  std::optional<Diagnosis> swapped() {
    for (size_t k = 0; k < all_.inputs.size(); k++) {
      const Evidence::Input& other = all_.inputs[k];
      if (k == i_ || other.checked->shape != in_.shape || other.checked->outputs != in_.outputs) continue;
      // Here it is the other's measured gradient that explains the claim.
      bool same = true;
      for (const GradcheckElement* e : elements_) {
        const double n = other.numeric[static_cast<size_t>(e->output) * n_ + static_cast<size_t>(e->input)];
        same = same && std::abs(n - e->analytic) <=
                           4 * (tolerance(n, e->analytic, scale_, all_.atol, all_.rtol) + e->doubt);
      }
      if (!same) continue;
      const bool both = explains([&](size_t r, size_t j) { return other.analytic[r * n_ + j]; }).has_value();
      return Diagnosis{Finding::Swapped,
                       both ? fmt::format("swapped: the gradients of {} and {} are exchanged", in_.name,
                                          other.checked->name)
                            : fmt::format("this is the gradient of {}", other.checked->name),
                       both ? 0.0 : 1.0};
    }
    return {};
  }

  /// numeric / analytic of each element, the same in every row; NaN where both are 0. Nothing if rows differ.
  std::optional<std::vector<double>> ratios() const {
    std::vector<double> ratio(n_, kNaN);
    for (const GradcheckElement* e : elements_) {
      if (std::abs(e->analytic) <= negligible()) {
        if (!near(0, *e)) return {};
        continue;
      }
      double& r = ratio[static_cast<size_t>(e->input)];
      if (std::isnan(r))
        r = e->numeric / e->analytic;
      else if (!near(r * e->analytic, *e))
        return {};
    }
    return ratio;
  }

  std::optional<Diagnosis> derivative() {
    const auto ratio = ratios();
    if (!ratio) return {};
    std::vector<size_t> at;
    for (size_t j = 0; j < n_; j++)
      if (!std::isnan((*ratio)[j])) at.push_back(j);
    if (at.size() < 3) return {};

    struct Quantity {
      std::string name;
      std::vector<double> u;
    };
    std::vector<Quantity> quantities;
    const auto quantity = [&](std::string name, const std::vector<double>& x, double (*f)(double)) {
      std::vector<double> u;
      for (double v : x) u.push_back(f(v));
      quantities.push_back({std::move(name), std::move(u)});
    };
    const auto itself = [](double v) { return v; };
    // Of the input itself first, then the others of its shape.
    for (size_t k = 0; k < all_.inputs.size(); k++) {
      const Evidence::Input& other = all_.inputs[k == 0 ? i_ : k <= i_ ? k - 1 : k];
      if (other.checked->shape != in_.shape) continue;
      const std::string& name = other.checked->name;
      quantity(name, other.values, itself);
      quantity(fmt::format("tanh({})", name), other.values, [](double v) { return std::tanh(v); });
      quantity(fmt::format("sigmoid({})", name), other.values,
               [](double v) { return 1 / (1 + std::exp(-v)); });
    }
    if (all_.result_shape == in_.shape) quantity("the result", all_.result, itself);

    const auto fits = [&](const Derivative& above, const Quantity& u, const Derivative& below,
                          const Quantity& v) {
      double low = std::numeric_limits<double>::infinity(), high = -low;
      for (size_t j : at) {
        const double r = above.at(u.u[j]) / below.at(v.u[j]);
        if (!std::isfinite(r)) return false;
        low = std::min(low, r);
        high = std::max(high, r);
      }
      if (high - low <= 1e-3 * std::max(std::abs(high), std::abs(low)))
        return false;  // no better than a constant
      return explains(
                 [&](size_t row, size_t j) { return analytic(row, j) * above.at(u.u[j]) / below.at(v.u[j]); })
          .has_value();
    };
    const auto report = [&](const Derivative& above, const Quantity& u, const Derivative& below,
                            const Quantity& v, const std::string& text) {
      return found(
          Finding::Derivative,
          [&](size_t row, size_t j) { return analytic(row, j) * above.at(u.u[j]) / below.at(v.u[j]); },
          [&] { return text; });
    };
    const Derivative& one = kDerivatives[0];
    for (const Quantity& u : quantities)
      for (const Derivative& d : kDerivatives) {
        if (fits(d, u, one, u))
          return report(
              d, u, one, u,
              fmt::format("numeric / gradient = {} with u = {}: {} is missing", d.formula, u.name, d.what));
        if (fits(one, u, d, u))
          return report(one, u, d, u,
                        fmt::format("numeric / gradient = 1 / ({}) with u = {}: {} should not be in it",
                                    d.formula, u.name, d.what));
      }
    for (const Quantity& u : quantities)
      for (const Derivative& right : kDerivatives)
        for (const Derivative& wrong : kDerivatives)
          if (&right != &wrong && fits(right, u, wrong, u))
            return report(
                right, u, wrong, u,
                fmt::format(
                    "numeric / gradient = ({}) / ({}) with u = {}: the gradient holds {} where {} belongs",
                    right.formula, wrong.formula, u.name, wrong.what, right.what));
    for (const Quantity& u : quantities)
      for (const Quantity& v : quantities)
        for (const Derivative& d : kDerivatives)
          if (&u != &v && fits(d, u, d, v))
            return report(d, u, d, v,
                          fmt::format("{}, {}, is taken at u = {} instead of u = {}", d.what, d.formula,
                                      v.name, u.name));
    return {};
  }

  /// analytic - numeric = c · input
  std::optional<Diagnosis> weight_decay() {
    if (in_.outputs.numel() != 1) return {};
    double xd = 0, xx = 0;
    for (const GradcheckElement* e : elements_) {
      const double x = me_.values[static_cast<size_t>(e->input)];
      xd += x * (e->analytic - e->numeric);
      xx += x * x;
    }
    if (elements_.size() < 3 || xx == 0) return {};
    const double c = xd / xx;
    return found(
        Finding::WeightDecay, [&](size_t r, size_t j) { return analytic(r, j) - c * me_.values[j]; },
        [&] {
          return fmt::format("off by {:.6g} times {} itself: weight decay counted {}", c, in_.name,
                             c > 0 ? "once too often" : "once too little");
        });
  }

  /// Wrong at one element, or at one index of a dim, and right elsewhere.
  std::optional<Diagnosis> localised() {
    std::set<int64_t> wrong, right;
    for (const GradcheckElement* e : elements_)
      (e->verdict == Verdict::Wrong ? wrong : right).insert(e->input);
    for (int64_t j : wrong) right.erase(j);
    if (wrong.empty() || right.empty()) return {};
    if (wrong.size() == 1)
      return Diagnosis{Finding::OneElement,
                       fmt::format("wrong at the single element {} of {} and right at the other {} checked",
                                   unravel(*wrong.begin(), in_.shape), in_.name, right.size())};
    for (int d = 0; d < in_.shape.rank(); d++) {
      const int64_t index = unravel(*wrong.begin(), in_.shape)[d];
      bool only = true, outside = true;
      for (int64_t j : wrong) only = only && unravel(j, in_.shape)[d] == index;
      for (int64_t j : right) outside = outside && unravel(j, in_.shape)[d] != index;
      if (only && outside)
        return Diagnosis{Finding::OneRow, fmt::format("wrong only at index {} along {}", index,
                                                      dim_of(in_.name, d, in_.shape.rank()))};
    }
    return {};
  }

  /// Right for one index of the result along a dim and zero for the others: there the sum has one term only.
  std::optional<Diagnosis> one_row_of_result() {
    const Shape& outputs = in_.outputs;
    for (int d = 0; d < outputs.rank(); d++) {
      if (outputs[d] == 1) continue;
      std::set<int64_t> kept;
      bool only = true;
      for (const GradcheckElement* e : elements_) {
        const int64_t index = unravel(e->output, outputs)[d];
        if (e->verdict == Verdict::Wrong)
          only = only && std::abs(e->analytic) <= negligible();
        else if (std::abs(e->numeric) > negligible())
          kept.insert(index);
      }
      if (only && kept.size() == 1)
        return Diagnosis{Finding::MissingSum,
                         fmt::format("only index {} along {} counts: is the sum over it missing?",
                                     *kept.begin(), dim_of("the result", d, outputs.rank()))};
    }
    return {};
  }

  Diagnosis unknown() const {
    double an = 0, aa = 0, nn = 0;
    for (const GradcheckElement* e : elements_) {
      an += e->analytic * e->numeric;
      aa += e->analytic * e->analytic;
      nn += e->numeric * e->numeric;
    }
    if (aa == 0 || nn == 0)
      return {Finding::Unknown, "wrong along a random direction through all elements", 1};
    if (elements_.size() == 1)
      return {Finding::Unknown, fmt::format("wrong: numeric / gradient = {:.6g}", an / aa), 1};
    return {Finding::Unknown,
            fmt::format("wrong, and none of the usual mistakes; the cosine between the gradient and the "
                        "numeric one is {:.6f}, the ratio of their lengths {:.6g}",
                        an / std::sqrt(aa * nn), std::sqrt(nn / aa)),
            1};
  }

  const Evidence& all_;
  const size_t i_;
  const Evidence::Input& me_;
  const GradcheckInput& in_;
  size_t n_;
  std::vector<const GradcheckElement*> elements_;  // that can be trusted
  double scale_ = 0, largest_analytic_ = 0, largest_numeric_ = 0;
};

}  // namespace

Diagnosis diagnose(const Evidence& evidence, size_t i) { return Examination(evidence, i).run(); }

}  // namespace gradus::detail
