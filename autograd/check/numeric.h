#pragma once
#include <gradus/autograd/core/tensor.h>

#include <functional>

#pragma GCC visibility push(default)

namespace gradus {

/// A line through a float64 tensor's values, x + t u, along which the tensor is moved in place; it is put
/// back when the Line ends.
class Line {
 public:
  /// Moves the given elements (row-major positions), by u each.
  Line(const Tensor& x, std::vector<int64_t> elements, std::vector<double> u);
  ~Line() { move(0); }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  /// Moves to x + t u. Returns t as rounding left it where a single element moves.
  double move(double t);
  /// eps max(1, size of the values)
  double step(double eps) const;

 private:
  Tensor x_;
  std::vector<int64_t> offsets_;
  std::vector<double> u_, start_;
};

/// A derivative along a line by central differences, and how far it may be off.
struct Slope {
  double value, doubt;
  bool kink;  // the doubt comes from a kink or a jump at the point itself
};

/// Several functions at once: the elements of a result.
using Values = std::function<std::vector<double>()>;

/// d(values)/dt at the line's start by central differences with steps h and 2h, joined by Richardson's
/// extrapolation: (4 D(h) - D(2h)) / 3. The doubt is how far the two disagree, half the jump of the slope
/// where there is a kink, and rounding of relative size `precision`. A value that is not finite leaves a NaN
/// in infinite doubt.
std::vector<Slope> slopes(const Values& f, const std::vector<double>& at_start, Line& line, double h,
                          double precision);
/// The same at steps from h/256 to 256h: for each function the least doubtful. Noisy slopes may agree by
/// chance: the noise of the values is measured on the smallest steps, and doubts count it; so they do where
/// steps contradict each other.
/// `rounding`: how far each value may be off; more than `precision` where f loses digits on its way.
std::vector<Slope> best_slopes(const Values& f, const std::vector<double>& at_start, Line& line, double h,
                               double precision, const std::vector<double>& rounding);

}  // namespace gradus

#pragma GCC visibility pop
