#include <gradus/autograd/base/launch.h>
#include <gradus/autograd/core/apply.h>
#include <gradus/autograd/kernels/index.h>
#include <gradus/autograd/kernels/reduce.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/index.h>
#include <gradus/autograd/ops/loss.h>
#include <gradus/autograd/ops/pointwise.h>
#include <gradus/autograd/ops/reduce.h>

#include <algorithm>
#include <cmath>

namespace gradus {
namespace {

Tensor reduced(const Tensor& losses, Reduction reduction) {
  switch (reduction) {
    case Reduction::Mean: return losses.mean();
    case Reduction::Sum: return losses.sum();
    case Reduction::None: break;
  }
  return losses;
}

/// The mean or the sum of a formula over all elements.
template <class F>
struct Reduced {
  static constexpr auto name = F::name;
  static constexpr auto needs = Pointwise<F>::needs;
  // b.out() is not f's y here, and a gradient that reads no input would not have its shape.
  static_assert(std::all_of(needs.begin(), needs.end(), [](Needs i) { return i.ins != 0 && i.outs == 0; }));
  Pointwise<F> each;
  int64_t n;  // what the sum is divided by, 0 for the sum itself
  void describe(Describe& d) const { each.describe(d), d("reduction", n ? "mean" : "sum"); }

  std::string formula() const {
    return [&]<int... K>(std::integer_sequence<int, K...>) {
      const Symbol x[] = {detail::operand_name(K, sizeof...(K))...}, y = "y";
      Symbol sum = Symbol("Σ") * each.f.value(x[K]...), g = "g";
      if (n) sum = sum / "n", g = g / "n";
      std::string text = "y = " + sum.text();
      ((text += detail::gradient_text(x[K], each.f.vjp(In<K>{}, x[K]..., y, g))), ...);
      return text;
    }
    (std::make_integer_sequence<int, arity<F>>{});
  }
  template <class... X>
  Tensor value(const X&... x) const {
    return reduced(each.value(x...), n ? Reduction::Mean : Reduction::Sum);
  }
  template <int I>
  requires(I < arity<F>) Tensor vjp(In<I> i, const Back& b)
  const { return each.vjp(i, b, n ? b.g() / n : b.g()); }
};

/// f of each element, or the mean or the sum of that: one op where the operands are alike, and nobody asked
/// to see every value.
template <class F, class... X>
Tensor loss(const F& f, Reduction reduction, const Tensor& x, const X&... rest) {
  const bool alike = !detail::keep_values && is_floating(x.dtype()) &&
                     (... && (rest.dtype() == x.dtype() && rest.shape() == x.shape()));
  const int64_t n = x.numel();
  if (reduction == Reduction::None || !alike || n == 0) return reduced(pointwise(f, x, rest...), reduction);
  return apply(Reduced<F>{{f}, reduction == Reduction::Mean ? n : 0}, x, rest...);
}

/// weight · x, and 0 for a weight of 0 even where x is infinite.
Tensor weighted(const Tensor& weight, const Tensor& x) {
  return weight * where(weight == 0, clamp(x, -1e30, 1e30), x);
}

/// The losses of elements take a target of x's shape: [n, 1] and [n] would give n² losses.
void check_target(const char* op, const Tensor& x, const Tensor& target) {
  detail::check_defined(op, x, target);
  if (!(x.shape() == target.shape()))
    fail<ShapeError>("{}: x and target must have one shape: {} and {}", op, x.shape(), target.shape());
}
void check_weight(const char* op, const char* name, const Tensor& weight, const Tensor& x) {
  if (weight.defined() && !broadcastable(weight.shape(), x.shape()))
    fail<ShapeError>("{}: a {} of shape {} does not broadcast to x {}", op, name, weight.shape(), x.shape());
}

/// Throws where a probability lies outside of [0, 1]. Where the loss of all of them is known, it is looked at
/// first: such a probability makes it NaN.
struct CheckProbabilities {
  static constexpr auto name = "check_probabilities";
  Read p, loss = {};
  void operands(auto f) {
    f(p);
    if (loss) f(loss);
  }
  void run() const {
    if (loss &&
        !dispatch_floating(loss.dtype, [&]<class T>(T) { return std::isnan(*loss.first<const T>()); }))
      return;
    if (p.layout->numel() == 0) return;
    dispatch(p.dtype, [&]<class T>(T) {
      T low, high;
      const Layout one;
      const uint32_t all = (1u << p.layout->rank()) - 1;
      kernels::Extreme{writes(&low, one), p, false, all}.run();
      kernels::Extreme{writes(&high, one), p, true, all}.run();
      if (!(low >= T(0) && high <= T(1)))
        fail("binary_cross_entropy: probabilities must lie in [0, 1], these reach from {} to {}", low, high);
    });
  }
};

/// x [n, classes, …] and target [n, …] of a classification; 1-d x is a batch of one.
struct Classes {
  Tensor x, target;
  bool single;
};
Classes classes_of(const char* op, const Tensor& x, const Tensor& target) {
  detail::check_defined(op, x, target);
  if (x.dim() == 0) fail<ShapeError>("{}: x must have a dim of classes: {}", op, x.shape());
  const bool single = x.dim() == 1;
  const Tensor rows = single ? x.unsqueeze(0) : x,
               t = single && target.dim() == 0 ? target.unsqueeze(0) : target;
  Shape expected = rows.shape();
  expected.erase(1);
  if (!(t.shape() == expected))
    fail<ShapeError>("{}: x {} takes a target of shape {}, not {}", op, x.shape(), expected, target.shape());
  return {rows, t, single};
}

/// Every target but ignore_index is a class.
struct CheckClasses {
  static constexpr auto name = "check_classes";
  const char* op;
  Read target;
  int64_t classes, ignore_index;
  void operands(auto f) { f(target); }
  void run() const {
    const int64_t* const at = target.at<const int64_t>();
    const int64_t bad = kernels::first_out_of_range(at, *target.layout, classes, ignore_index);
    if (bad >= 0)
      fail<IndexError>("{}: target {} is not one of {} classes", op, at[element_offset(*target.layout, bad)],
                       classes);
  }
};
void check_class_weight(const char* op, int64_t classes, const Tensor& weight) {
  if (weight.defined() && !(weight.shape() == Shape{classes}))
    fail<ShapeError>("{}: {} classes take a weight of shape [{}], not {}", op, classes, classes,
                     weight.shape());
}
void check_classes(const char* op, int64_t classes, const Tensor& target, const Tensor& weight,
                   int64_t ignore_index) {
  if (target.dtype() != kInt64) fail<DtypeError>("{}: the classes must be int64, not {}", op, target.dtype());
  check_class_weight(op, classes, weight);
  launch(CheckClasses{op, reads(target), classes, ignore_index});
}

struct Targets {
  Tensor used;    // bool: not ignored
  Tensor index;   // the class, 0 where ignored, [n, 1, …]
  Tensor weight;  // of each target, 0 where ignored
};
Targets targets_of(const char* op, const Tensor& x, const Tensor& target, const Tensor& weight,
                   int64_t ignore_index) {
  check_classes(op, x.size(1), target, weight, ignore_index);
  Targets t;
  t.used = target != ignore_index;
  const Tensor index = where(t.used, target, 0);
  t.index = index.unsqueeze(1);
  t.weight = weight.defined()
                 ? where(t.used, gather(weight.to(x.dtype()), 0, index.flatten()).reshape(index.shape()), 0)
                 : t.used.to(x.dtype());
  return t;
}

/// x [n, classes, …] or [classes] and the class of each sample.
struct CrossEntropy {
  static constexpr auto name = "cross_entropy";
  static constexpr auto formula =
      "y = Σ w_t (ln Σ eˣ - x_t), over Σ w_t for the mean        dx = g w_t (eˣ / Σ eˣ - [class = t]) "
      "likewise";
  static constexpr Needs needs[] = {in(0) | in(1) | out(1)};
  static constexpr uint32_t differentiable = 1;
  Reduction reduction;
  int64_t ignore_index;
  void describe(Describe& d) const {
    constexpr const char* words[] = {"none", "mean", "sum"};
    d("reduction", words[static_cast<int>(reduction)]), d("ignore_index", ignore_index);
  }

  static int dim_of(const Tensor& x) { return x.dim() == 1 ? 0 : 1; }

  /// Results: the loss and what the gradient needs of each sample.
  std::tuple<Tensor, Tensor> value(const Tensor& x, const Tensor& target, const Tensor& weight) const {
    const Tensor rows = x.contiguous(), t = target.contiguous();
    const Tensor w = weight.defined() ? weight.to(x.dtype()).contiguous() : Tensor();
    Tensor losses = make_empty(dim_of(x) ? target.shape() : Shape(), x.dtype());
    Tensor statistics = make_empty({kernels::statistics_size(target.numel())}, x.dtype());
    launch(kernels::CrossEntropy{writes(losses), writes(statistics), reads(rows), reads(t),
                                 w.defined() ? reads(w) : Read{}, ignore_index});
    if (reduction == Reduction::None) return {losses, statistics};
    const Tensor y = losses.sum();
    return {reduction == Reduction::Mean ? y / total(statistics) : y, statistics};
  }
  Tensor vjp(In<0>, const Back& b) const {
    const Tensor x = b.in(0), target = b.in(1), statistics = b.out(1).detach();
    if (b.create_graph()) return composed_gradient(x, target, statistics, b.g());
    const Tensor rows = x.contiguous(), t = target.contiguous(), g = b.g().contiguous();
    Tensor dx = make_empty(x.shape(), x.dtype());
    launch(kernels::CrossEntropyGradient{writes(dx), reads(rows), reads(t), reads(statistics), reads(g),
                                         reduction == Reduction::None, reduction == Reduction::Mean});
    return dx;
  }

 private:
  static Tensor total(const Tensor& statistics) { return statistics[statistics.numel() - 1]; }
  /// The same in ops.
  Tensor composed_gradient(const Tensor& x, const Tensor& target, const Tensor& statistics, Tensor g) const {
    const int dim = dim_of(x);
    Shape per_class = Shape::filled(x.shape().rank(), 1), per_sample = x.shape();
    per_class[dim] = x.shape()[dim];
    per_sample[dim] = 1;
    if (reduction == Reduction::Mean) g = g / total(statistics);
    if (reduction == Reduction::None) g = g.reshape(per_sample);
    const int64_t n = target.numel();
    const Tensor weight = statistics.slice(0, 2 * n, 3 * n).reshape(per_sample),
                 chosen = target.reshape(per_sample) == arange(0, x.shape()[dim]).reshape(per_class);
    return where(weight != 0, (softmax(x, dim) - chosen.to(x.dtype())) * (g * weight), 0);
  }
};

}  // namespace

Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  check_target("mse_loss", x, target);
  return loss(formulas::Mse{}, reduction, x, target);
}

Tensor binary_cross_entropy(const Tensor& p, const Tensor& target, const Tensor& weight,
                            Reduction reduction) {
  check_target("binary_cross_entropy", p, target);
  check_weight("binary_cross_entropy", "weight", weight, p);
  const bool at_once = reduction == Reduction::None || weight.defined();
  if (at_once) launch(CheckProbabilities{reads(p)});
  const Tensor losses = loss(formulas::Bce{}, weight.defined() ? Reduction::None : reduction, p, target);
  Tensor y = weight.defined() ? reduced(losses * weight, reduction) : losses;
  if (!at_once) launch(CheckProbabilities{reads(p), reads(y)});
  return y;
}

Tensor binary_cross_entropy_with_logits(const Tensor& z, const Tensor& target, const Tensor& weight,
                                        const Tensor& pos_weight, Reduction reduction) {
  check_target("binary_cross_entropy_with_logits", z, target);
  check_weight("binary_cross_entropy_with_logits", "weight", weight, z);
  check_weight("binary_cross_entropy_with_logits", "pos_weight", pos_weight, z);
  const Reduction at_once = weight.defined() ? Reduction::None : reduction;
  const Tensor losses = pos_weight.defined()
                            ? loss(formulas::BceWithPosWeight{}, at_once, z, target, pos_weight)
                            : loss(formulas::BceWithLogits{}, at_once, z, target);
  return weight.defined() ? reduced(weighted(weight, losses), reduction) : losses;
}

Tensor nll_loss(const Tensor& x, const Tensor& target, const Tensor& weight, Reduction reduction,
                int64_t ignore_index) {
  const Classes c = classes_of("nll_loss", x, target);
  const Targets t = targets_of("nll_loss", c.x, c.target, weight, ignore_index);
  const Tensor picked = gather(c.x, 1, t.index).squeeze(1);
  const Tensor losses = where(t.used, -(weight.defined() ? weighted(t.weight, picked) : picked), 0);
  if (reduction == Reduction::Mean) return losses.sum() / t.weight.sum();
  return reduced(c.single ? losses.squeeze(0) : losses, reduction);
}

Tensor cross_entropy(const Tensor& x, const Tensor& target, const Tensor& weight, Reduction reduction,
                     int64_t ignore_index, double label_smoothing) {
  detail::check_defined("cross_entropy", x, target);
  if (!(label_smoothing >= 0 && label_smoothing <= 1))
    fail("cross_entropy: label_smoothing must lie in [0, 1], not {}", label_smoothing);
  if (x.dim() == 0 || x.size(x.dim() == 1 ? 0 : 1) == 0)
    fail<ShapeError>("cross_entropy: x must have a dim of classes: {}", x.shape());
  check_class_weight("cross_entropy", x.size(x.dim() == 1 ? 0 : 1), weight);
  const bool probabilities = target.shape() == x.shape() && is_floating(target.dtype());
  if (!probabilities && label_smoothing == 0 && !(weight.defined() && weight.requires_grad())) {
    const Classes c = classes_of("cross_entropy", x, target);
    check_classes("cross_entropy", c.x.size(1), c.target, weight, ignore_index);
    return std::get<0>(apply(CrossEntropy{reduction, ignore_index},
                             is_floating(x.dtype()) ? x : x.to(kFloat32), target, weight));
  }

  const bool single = x.dim() == 1;
  const Tensor logp = log_softmax(single ? x.unsqueeze(0) : x, 1);
  const double classes = static_cast<double>(logp.size(1));
  Shape per_class = Shape::filled(logp.shape().rank(), 1);
  per_class[1] = -1;
  const Tensor scaled = weight.defined() ? weighted(weight.to(logp.dtype()).reshape(per_class), logp) : logp;

  if (probabilities) {
    Tensor t = single ? target.unsqueeze(0) : target;
    if (label_smoothing > 0) t = t * (1 - label_smoothing) + label_smoothing / classes;
    const Tensor losses = -weighted(t, scaled).sum({1});
    if (reduction == Reduction::Mean) return losses.sum() / (logp.numel() / logp.size(1));
    return reduced(single ? losses.squeeze(0) : losses, reduction);
  }

  // Before nll_loss, which would refuse them in its own name.
  const Classes c = classes_of("cross_entropy", single ? logp.squeeze(0) : logp, target);
  const Targets t = targets_of("cross_entropy", c.x, c.target, weight, ignore_index);
  Tensor nll = nll_loss(single ? logp.squeeze(0) : logp, target, weight, reduction, ignore_index);
  if (label_smoothing == 0) return nll;
  Tensor smooth = where(t.used, -scaled.sum({1}), 0);
  if (reduction == Reduction::Mean)
    smooth = smooth.sum() / t.weight.sum();
  else
    smooth = reduced(single ? smooth.squeeze(0) : smooth, reduction);
  return nll * (1 - label_smoothing) + smooth * (label_smoothing / classes);
}

}  // namespace gradus
