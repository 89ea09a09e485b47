#include <gradus/autograd/check/diagnose.h>

#include <cmath>
#include <set>

namespace gradus::detail {
namespace {

using Verdict = GradcheckElement::Verdict;
using Correction = Evidence::Correction;

/// "the rows of x", "dim 2 of x"
std::string dim_of(const std::string& name, int dim, int rank) {
  if (rank == 1) return fmt::format("the elements of {}", name);
  if (rank == 2) return fmt::format("the {} of {}", dim == 0 ? "rows" : "columns", name);
  return fmt::format("dim {} of {}", dim, name);
}

class Examination {
 public:
  Examination(const Evidence& all, size_t i) : all_(all), i_(i), me_(all.inputs[i]), in_(*me_.checked) {
    n_ = static_cast<size_t>(in_.shape.numel());
    for (const GradcheckElement& e : in_.elements) {
      if (e.verdict == Verdict::Untrusted || e.input < 0) continue;
      elements_.push_back(&e);
      largest_analytic_ = std::max(largest_analytic_, std::abs(e.analytic));
      largest_numeric_ = std::max(largest_numeric_, std::abs(e.numeric));
    }
  }

  std::optional<Diagnosis> by_numbers() {
    return first({&Examination::zero, &Examination::factor, &Examination::transposed, &Examination::swapped,
                  &Examination::weight_decay});
  }
  Diagnosis by_place() {
    const auto d =
        first({&Examination::any_factor, &Examination::one_row_of_result, &Examination::localised});
    return d ? *d : unknown();
  }

 private:
  using Test = std::optional<Diagnosis> (Examination::*)();
  std::optional<Diagnosis> first(std::initializer_list<Test> tests) {
    if (!elements_.empty())
      for (Test test : tests)
        if (auto d = (this->*test)()) return d;
    return {};
  }

  double negligible() const { return all_.atol * std::min(1.0, me_.scale) + kRounding; }
  double analytic(size_t row, size_t element) const { return me_.analytic[row * n_ + element]; }
  std::optional<double> explains(const Correction& c) const { return all_.explains(c, me_); }
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

  /// The one number c with numeric = c · analytic; nothing where there is none.
  std::optional<double> ratio() const {
    double an = 0, aa = 0;
    for (const GradcheckElement* e : elements_) {
      an += e->analytic * e->numeric;
      aa += e->analytic * e->analytic;
    }
    const double c = an / aa;
    if (std::abs(c - 1) < 1e-4 || !explains(times(c))) return {};
    return c;
  }
  Correction times(double c) const {
    return [this, c](size_t r, size_t j) { return c * analytic(r, j); };
  }
  std::optional<Diagnosis> constant(double c) const {
    return found(Finding::Factor, times(c), [&] {
      return fmt::format("{}off by a constant factor: numeric / gradient = {:.6g} everywhere",
                         c < 0 ? "the sign is flipped and " : "", c);
    });
  }

  /// -1, 2, 1/2 or a size of the problem.
  std::optional<Diagnosis> factor() {
    const auto c = ratio();
    if (!c) return {};
    const auto is = [&](double wanted) { return std::abs(std::abs(*c) - wanted) <= 1e-5 * wanted; };
    if (is(1))
      return found(Finding::Sign, times(-1),
                   [&] { return "the sign is flipped: numeric / gradient = -1 everywhere"; });
    std::vector<std::pair<std::string, int64_t>> named, sizes;
    for (const auto& [what, size] : all_.sizes) named.emplace_back("the number of " + what, size);
    const auto dims_of = [&](const std::string& name, const Shape& shape) {
      for (int d = 0; d < shape.rank(); d++) sizes.emplace_back(dim_of(name, d, shape.rank()), shape[d]);
      sizes.emplace_back("all elements of " + name, shape.numel());
    };
    dims_of("the result", all_.result_shape);
    for (const auto& other : all_.inputs) dims_of(other.checked->name, other.checked->shape);
    if (auto d = size(*c, named)) return d;
    if (is(2) || is(0.5)) return constant(*c);
    return size(*c, sizes);
  }
  std::optional<Diagnosis> size(double c, const std::vector<std::pair<std::string, int64_t>>& sizes) const {
    for (const auto& [what, s] : sizes)
      for (double power : {1, -1, 2, -2}) {
        const double by = std::copysign(std::pow(static_cast<double>(s), power), c);
        if (s <= 1 || std::abs(c - by) > 1e-5 * std::abs(by)) continue;
        std::string of;
        for (const auto& [other, same] : sizes)
          if (same == s) of += (of.empty() ? "" : " = ") + other;
        const char* hint = power == 1    ? "Divided by it once too often, or a mean where a sum belongs?"
                           : power == -1 ? "Is the division by it missing, or a sum where a mean belongs?"
                           : power == 2  ? "Divided by it twice too often?"
                                         : "Multiplied by it instead of divided?";
        const double times_off = std::pow(static_cast<double>(s), std::abs(power));
        std::string text =
            fmt::format("{}off by {}{} = {}: the gradient is {} times too {}. {}",
                        c < 0 ? "the sign is flipped and " : "", s, std::abs(power) == 2 ? " squared" : "",
                        of, times_off, power > 0 ? "small" : "large", hint);
        return found(Finding::Size, times(by), [&] { return text; });
      }
    return {};
  }
  /// Some other number. A single element is always off by one.
  std::optional<Diagnosis> any_factor() {
    int64_t nonzero = 0;
    for (const GradcheckElement* e : elements_) nonzero += std::abs(e->numeric) > negligible();
    const auto c = ratio();
    return c && nonzero > 1 ? constant(*c) : std::nullopt;
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
      double difference = 0, size = 0;
      for (const GradcheckElement* e : elements_) {
        const double n = other.numeric[static_cast<size_t>(e->output) * n_ + static_cast<size_t>(e->input)];
        same = same &&
               std::abs(n - e->analytic) <=
                   4 * (tolerance(n, e->analytic, me_.scale, all_.atol, all_.rtol, me_.floats) + e->doubt);
        difference += (n - e->analytic) * (n - e->analytic);
        size += n * n;
      }
      if (!same) continue;
      const double mismatch = size == 0 ? 0 : std::sqrt(difference / size) / 2;
      const bool both = explains([&](size_t r, size_t j) { return other.analytic[r * n_ + j]; }).has_value();
      const std::string& name = other.checked->name;
      return Diagnosis{
          Finding::Swapped,
          both ? fmt::format("swapped: the gradients of {} and {} are exchanged, they match to {:.1e}",
                             in_.name, name, mismatch)
               : fmt::format("this is the gradient of {}, which it matches to {:.1e}", name, mismatch),
          mismatch};
    }
    return {};
  }

  /// analytic - numeric = c · input
  std::optional<Diagnosis> weight_decay() {
    if (in_.outputs.numel() != 1) return {};
    double xd = 0, xx = 0, low = INFINITY, high = -INFINITY;
    for (const GradcheckElement* e : elements_) {
      const double x = me_.values[static_cast<size_t>(e->input)];
      low = std::min(low, x);
      high = std::max(high, x);
      xd += x * (e->analytic - e->numeric);
      xx += x * x;
    }
    // A gradient, or an error, that any factor explains needs no decay.
    if (elements_.size() < 3 || xx == 0 || low == high || ratio()) return {};
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
  double largest_analytic_ = 0, largest_numeric_ = 0;
};

}  // namespace

bool Evidence::agrees(double a, const GradcheckElement& e, const Input& in) const {
  return std::abs(a - e.numeric) <= 4 * (tolerance(a, e.numeric, in.scale, atol, rtol, in.floats) + e.doubt);
}

std::optional<double> Evidence::explains(const Correction& c, const Input& in) const {
  double difference = 0, cs = 0, ns = 0;
  for (const GradcheckElement& e : in.checked->elements) {
    if (e.verdict == Verdict::Untrusted || e.input < 0) continue;
    const double a = c(static_cast<size_t>(e.output), static_cast<size_t>(e.input));
    if (!agrees(a, e, in)) return {};
    difference += (a - e.numeric) * (a - e.numeric);
    cs += a * a;
    ns += e.numeric * e.numeric;
  }
  const double mismatch = cs + ns == 0 ? 0 : std::sqrt(difference) / (std::sqrt(cs) + std::sqrt(ns));
  if (!(mismatch <= 1e-3)) return {};
  return mismatch;
}

std::optional<Diagnosis> diagnose(const Evidence& evidence, size_t i) {
  return Examination(evidence, i).by_numbers();
}
Diagnosis describe(const Evidence& evidence, size_t i) { return Examination(evidence, i).by_place(); }

}  // namespace gradus::detail
