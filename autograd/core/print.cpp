#include <gradus/autograd/core/tensor.h>

#include <cmath>
#include <ostream>

namespace gradus {
namespace {

constexpr int64_t kSummarizeAbove = 1000, kEdgeItems = 3;

/// How all floating numbers of one tensor are written: integers with a point, fixed, or scientific.
struct Style {
  bool integral = true, scientific = false;

  std::string operator()(double v) const {
    if (!std::isfinite(v)) return std::isnan(v) ? "nan" : v > 0 ? "inf" : "-inf";
    if (scientific) return fmt::format("{:.4e}", v);
    return integral ? fmt::format("{:.0f}.", v) : fmt::format("{:.4f}", v);
  }
};

class Printer {
 public:
  explicit Printer(const Tensor& x) : x_(x), short_(written(x.shape()) > kSummarizeAbove) {
    double low = INFINITY, high = 0;
    visit(0, Shape(), [&](const Shape& index) {
      const double v = x_.at(index);
      if (!std::isfinite(v)) return;
      style_.integral &= v == std::floor(v);
      if (v != 0) low = std::min(low, std::abs(v));
      high = std::max(high, std::abs(v));
    });
    style_.scientific = high >= 1e8 || (!style_.integral && (high / low > 1000 || low < 1e-4));
    visit(0, Shape(), [&](const Shape& index) { width_ = std::max(width_, number(index).size()); });
  }

  std::string text() const { return "tensor(" + block(0, Shape()) + suffix() + ")"; }

 private:
  /// How many elements, or empty lists, there are to write.
  static int64_t written(const Shape& shape) {
    int64_t n = 1;
    for (const int64_t d : shape) {
      if (d == 0) break;
      n *= d;
    }
    return n;
  }
  bool skips(int64_t i, int64_t n) const { return short_ && n > 2 * kEdgeItems && i == kEdgeItems; }
  template <class F>
  void visit(int dim, const Shape& index, F&& f) const {
    if (dim == x_.shape().rank()) return f(index);
    for (int64_t i = 0, n = x_.shape()[dim]; i < n; i++) {
      if (skips(i, n)) i = n - kEdgeItems;
      Shape next = index;
      next.push_back(i);
      visit(dim + 1, next, f);
    }
  }
  std::string number(const Shape& index) const {
    if (x_.dtype() == kBool) return x_.at<bool>(index) ? "true" : "false";
    return is_floating(x_.dtype()) ? style_(x_.at(index)) : fmt::format("{}", x_.at<int64_t>(index));
  }
  std::string block(int dim, const Shape& index) const {
    if (dim == x_.shape().rank()) {
      const std::string s = number(index);
      return std::string(width_ - s.size(), ' ') + s;
    }
    const bool innermost = dim + 1 == x_.shape().rank();
    const std::string indent(static_cast<size_t>(8 + dim), ' ');
    std::string s = "[";
    for (int64_t i = 0, n = x_.shape()[dim]; i < n; i++) {
      if (i) s += innermost ? ", " : ",\n" + indent;
      if (skips(i, n)) {
        s += innermost ? "..., " : "...,\n" + indent;
        i = n - kEdgeItems;
      }
      Shape next = index;
      next.push_back(i);
      s += block(dim + 1, next);
    }
    return s + "]";
  }
  std::string suffix() const {
    std::string s;
    if (x_.numel() == 0 && x_.dim() > 1) s += fmt::format(", shape={}", x_.shape());
    const Dtype d = x_.dtype();
    if (d == kFloat64 || d == kUInt8 || (x_.numel() == 0 && d != kFloat32)) s += fmt::format(", dtype={}", d);
    if (!x_.op_name().empty())
      s += ", op=" + x_.op_name();
    else if (x_.requires_grad())
      s += ", requires_grad=true";
    return s;
  }

  const Tensor& x_;
  bool short_;
  Style style_;
  size_t width_ = 0;
};

}  // namespace

std::string str(const Tensor& x) { return x.defined() ? Printer(x).text() : "tensor(undefined)"; }
std::ostream& operator<<(std::ostream& os, const Tensor& x) { return os << str(x); }

}  // namespace gradus
