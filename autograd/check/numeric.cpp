#include <gradus/autograd/check/numeric.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace gradus {

namespace {

/// The values at h, -h, 2h and -2h.
struct Stencil {
  double h;
  double t[4];
  std::vector<double> y[4];
};

Stencil evaluate(const Values& f, size_t expected, Line& line, double h) {
  Stencil s{h, {}, {}};
  const double steps[] = {h, -h, 2 * h, -2 * h};
  for (int k = 0; k < 4; k++) {
    s.t[k] = line.move(steps[k]);
    s.y[k] = f();
    if (s.y[k].size() != expected)
      fail("gradcheck: f gave {} elements, and {} at a point near by", expected, s.y[k].size());
  }
  line.move(0);
  return s;
}

/// The fourth difference of function i; noise of variance 1 gives it the variance 1 + 16 + 36 + 16 + 1 = 70.
double fourth_difference(const Stencil& s, double y0, size_t i) {
  return s.y[2][i] - 4 * s.y[0][i] + 6 * y0 - 4 * s.y[1][i] + s.y[3][i];
}

Slope slope(const Stencil& s, double y0, size_t i, double precision) {
  double y[4];
  for (int k = 0; k < 4; k++) y[k] = s.y[k][i];
  const double d1 = (y[0] - y[1]) / (s.t[0] - s.t[1]), d2 = (y[2] - y[3]) / (s.t[2] - s.t[3]);
  // One-sided slopes differ in proportion to the step where f is smooth, and by the same amount, the jump of
  // the slope, where it has a kink: then this is half of it.
  const double jump = std::abs(fourth_difference(s, y0, i)) / (4 * s.h), spread = std::abs(d1 - d2);
  double size = std::max(1.0, std::abs(y0));  // of what the value is computed from, as far as can be told
  for (double v : y) size = std::max(size, std::abs(v));
  const double rounding = 16 * precision * size / s.h, doubt = 2 * spread + jump + rounding;
  if (!std::isfinite(doubt))
    return {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), false};
  return {d1 + (d1 - d2) / 3, doubt, jump > spread + 2 * rounding};
}

/// Values that repeat on small steps are rounded to some grid, finer than which nothing is seen: its width,
/// or 0.
double grid_of(std::span<const Stencil> small, std::span<const Stencil> large, double y0, size_t i) {
  std::vector<double> values = {y0};
  for (const Stencil& s : small)
    for (const auto& y : s.y) values.push_back(y[i]);
  std::sort(values.begin(), values.end());
  double grid = std::numeric_limits<double>::infinity();
  bool repeated = false;
  for (size_t k = 1; k < values.size(); k++) {
    const double gap = values[k] - values[k - 1];
    repeated = repeated || gap == 0;
    if (gap > 0) grid = std::min(grid, gap);
  }
  if (std::isinf(grid)) {
    // They stand still: by rounding, if larger steps change them by next to nothing.
    for (const Stencil& s : large)
      for (const auto& y : s.y)
        if (y[i] != y0) grid = std::min(grid, std::abs(y[i] - y0));
    repeated = grid < 1e-12;
  }
  return repeated ? grid : 0;
}

}  // namespace

Line::Line(const Tensor& x, std::vector<int64_t> elements, std::vector<double> u)
    : x_(x), offsets_(std::move(elements)), u_(std::move(u)) {
  const double* values = x_.data<double>() - x_.layout().offset;
  for (int64_t& at : offsets_) {
    at = element_offset(x_.layout(), at);
    start_.push_back(values[at]);
  }
}

double Line::move(double t) {
  double* values = x_.mutable_data<double>() - x_.layout().offset;
  for (size_t i = 0; i < offsets_.size(); i++) values[offsets_[i]] = start_[i] + t * u_[i];
  return offsets_.size() == 1 ? (values[offsets_[0]] - start_[0]) / u_[0] : t;
}

double Line::step(double eps) const {
  double squares = 0;
  for (double v : start_) squares += v * v;
  return eps * std::max(1.0, std::sqrt(squares / static_cast<double>(start_.size())));
}

std::vector<Slope> slopes(const Values& f, const std::vector<double>& at_start, Line& line, double h,
                          double precision) {
  const Stencil s = evaluate(f, at_start.size(), line, h);
  std::vector<Slope> found;
  for (size_t i = 0; i < at_start.size(); i++) found.push_back(slope(s, at_start[i], i, precision));
  return found;
}

std::vector<Slope> best_slopes(const Values& f, const std::vector<double>& at_start, Line& line, double h,
                               double precision, const std::vector<double>& rounding) {
  constexpr size_t kSmall = 5;
  std::vector<Stencil> stencils;
  for (double divisor : {256., 113., 64., 37., 16., 4., 1., 1. / 4, 1. / 16, 1. / 64, 1. / 256})
    stencils.push_back(evaluate(f, at_start.size(), line, h / divisor));
  const std::span<const Stencil> all = stencils;
  std::vector<Slope> best;
  for (size_t i = 0; i < at_start.size(); i++) {
    const double y0 = at_start[i];
    double noise = grid_of(all.first(kSmall), all.subspan(kSmall), y0, i);
    Slope least{std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                slope(stencils[0], y0, i, precision).kink};
    std::vector<Slope> tried;
    for (const Stencil& s : stencils) {
      Slope found = slope(s, y0, i, precision);
      found.doubt += (4 * noise + rounding[i]) / s.h;
      // Of a smooth function this shrinks with the step; where the smallest does not resolve f, larger ones
      // mislead.
      const double rough = std::abs(fourth_difference(s, y0, i)) / std::sqrt(70.0);
      if (&s == &stencils[0] && rough > 1e-6 * std::max(1.0, std::abs(y0))) break;
      noise = std::max(noise, rough);
      tried.push_back(found);
      if (found.doubt < least.doubt) least = found;
    }
    // Steps that contradict each other: f has stairs, on which small steps stand still.
    double apart = 0;
    for (const Slope& other : tried)
      if (const double gap = std::abs(other.value - least.value); gap > other.doubt + least.doubt)
        apart = std::max(apart, gap);
    least.doubt += apart;
    best.push_back(least);
  }
  return best;
}

}  // namespace gradus
