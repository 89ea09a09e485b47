#pragma once
#include <gradus/autograd/core/apply.h>

#pragma GCC visibility push(default)

namespace gradus {

/// What a function of one's own keeps for its backward pass: inputs and outputs, nothing else. An undefined
/// input may be kept, too.
class Context {
 public:
  static constexpr int kMaxSaved = 8;  // the most that save() takes

  /// In the forward function: keeps an input or (by returning it) an output.
  void save(const Tensor& x) {
    if (saved_.size() == kMaxSaved) fail<GradError>("custom: at most {} tensors can be saved", kMaxSaved);
    saved_.push_back(x);
    versions_.push_back(detail::version_of(x));
  }
  /// In the backward function: what the i-th save() kept.
  const Tensor& operator[](size_t i) const {
    if (i >= saved_.size())
      fail<IndexError>("custom: saved tensor {} was asked for, {} were saved", i, saved_.size());
    return saved_[i];
  }

 private:
  Tensors saved_;
  std::vector<uint32_t> versions_;  // of the saved tensors, when they were saved
  friend struct CustomOp;
};

/// The recorded op of custom(): which inputs and outputs were saved, and the rule.
struct CustomOp {
  static constexpr size_t kMaxInputs = 31;
  static constexpr uint8_t kOutput = 254, kUndefined = 255;

  const char* name;
  Tensors (*backward)(const Context&, const Tensor&);
  uint8_t num_saved = 0;
  uint8_t saved[Context::kMaxSaved] = {};  // the input's index, kOutput or kUndefined

  /// Throws where something is null, or there are too many inputs.
  CustomOp(const char* name_, Tensors (*backward_)(const Context&, const Tensor&), const Tensors& inputs);
  /// Sets `saved` to what the forward function saved, and says what of that is to be kept.
  Needs keep(const Context& ctx, const Tensors& inputs, const Tensor& y);
  Context context(const Back& b) const;
};

namespace detail {
Tensor record_custom(CustomOp op, Context ctx, const Tensors& inputs, std::span<const uint32_t> versions,
                     Tensor y);
/// Of each.
std::vector<uint32_t> versions_of(const Tensors& x);
}  // namespace detail

/// A function of one's own. `forward(ctx, inputs)` may be any code and is not recorded, so that it must not
/// write into an input that requires grad; `backward(ctx, g)` takes the gradient of the result and gives one
/// gradient for each input (undefined: none). It is written in ops, so that it can be differentiated again,
/// and captures nothing: attributes belong into an op struct (core/apply.h).
///
///   Tensor log1pexp(const Tensor& x) {
///     return custom("log1pexp", {x},
///         [](Context& ctx, const Tensors& in) { ctx.save(in[0]); return log1p(exp(in[0])); },
///         [](const Context& ctx, const Tensor& g) -> Tensors { return {g * sigmoid(ctx[0])}; });
///   }
///
/// `name` must live as long as the graph (a literal does). An Error, before forward runs, where it or a
/// function is null.
template <class F>
Tensor custom(const char* name, const Tensors& inputs, F&& forward,
              Tensors (*backward)(const Context&, const Tensor&)) {
  const CustomOp op(name, backward, inputs);
  check_function(name, forward);
  const std::vector<uint32_t> versions = detail::versions_of(inputs);
  Context ctx;
  Tensor y;
  {
    NoGrad no_grad;
    y = forward(ctx, inputs);
  }
  return detail::record_custom(op, std::move(ctx), inputs, versions, std::move(y));
}

}  // namespace gradus

#pragma GCC visibility pop
