#pragma once
#include <gradus/autograd/core/apply.h>

namespace gradus {

/// What a function of one's own keeps for its backward pass: inputs and outputs, nothing else.
class Context {
 public:
  static constexpr int kMaxSaved = 8;  // the most that save() takes

  /// In the forward function: keeps an input or (by returning it) an output.
  void save(const Tensor& x) {
    if (saved_.size() == kMaxSaved) fail<GradError>("custom: at most {} tensors can be saved", kMaxSaved);
    saved_.push_back(x);
  }
  /// In the backward function: what the i-th save() kept.
  const Tensor& operator[](size_t i) const {
    if (i >= saved_.size())
      fail<IndexError>("custom: saved tensor {} was asked for, {} were saved", i, saved_.size());
    return saved_[i];
  }

 private:
  Tensors saved_;
  template <class F>
  friend Tensor custom(const char*, const Tensors&, F&&, Tensors (*)(const Context&, const Tensor&));
  friend struct CustomOp;
};

/// The recorded op of custom(): which inputs and outputs were saved, and the rule.
struct CustomOp {
  const char* name;
  Tensors (*backward)(const Context&, const Tensor&);
  uint8_t num_saved, num_inputs;
  uint8_t saved[Context::kMaxSaved];  // the input's index; num_inputs for the output

  Context context(const Back& b) const;
};

namespace detail {
Tensor record_custom(CustomOp op, const Tensors& inputs, const Tensor& y, const Tensors& saved);
}

/// A function of one's own. `forward(ctx, inputs)` may be any code and is not recorded; `backward(ctx, g)`
/// takes the gradient of the result and gives one gradient for each input (undefined: none). It is written in
/// ops, so that it can be differentiated again, and captures nothing: attributes belong into an op struct
/// (core/apply.h).
///
///   Tensor log1pexp(const Tensor& x) {
///     return custom("log1pexp", {x},
///         [](Context& ctx, const Tensors& in) { ctx.save(in[0]); return log1p(exp(in[0])); },
///         [](const Context& ctx, const Tensor& g) -> Tensors { return {g * sigmoid(ctx[0])}; });
///   }
///
/// `name` must live as long as the graph (a literal does).
template <class F>
Tensor custom(const char* name, const Tensors& inputs, F&& forward,
              Tensors (*backward)(const Context&, const Tensor&)) {
  Context ctx;
  Tensor y;
  {
    NoGrad no_grad;
    y = forward(ctx, inputs);
  }
  return detail::record_custom({name, backward, 0, 0, {}}, inputs, y, ctx.saved_);
}

}  // namespace gradus
