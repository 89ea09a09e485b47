#pragma once
#include <gradus/autograd/core/apply.h>

#include <functional>

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
  /// How many were saved.
  size_t size() const { return saved_.size(); }

 private:
  Tensors saved_;
  std::vector<uint32_t> versions_;  // of the saved tensors, when they were saved
  friend class CustomNode;
};

namespace detail {
using CustomBackward = std::function<Tensors(const Context&, const Tensors&)>;
/// The versions of the inputs; throws where the call can't be made.
std::vector<uint32_t> check_custom(const char* name, const Tensors& inputs, const CustomBackward& backward);
Tensors record_custom(const char* name, CustomBackward backward, Context ctx, const Tensors& inputs,
                      std::span<const uint32_t> versions, Tensors y);
}  // namespace detail

/// A function of one's own. `forward(ctx, inputs)` may be any code and is not recorded, so that it must not
/// write into an input that requires grad; it gives a Tensor or, for several results, Tensors, and custom()
/// gives the same. `backward(ctx, g)` takes the gradient of the result (of several: Tensors, zeros for a
/// result that none reached) and gives one gradient for each input (undefined: none). It is written in ops,
/// so that it can be differentiated again.
///
///   Tensor log1pexp(const Tensor& x) {
///     return custom("log1pexp", {x},
///         [](Context& ctx, const Tensors& in) { ctx.save(in[0]); return log1p(exp(in[0])); },
///         [](const Context& ctx, const Tensor& g) -> Tensors { return {g * sigmoid(ctx[0])}; });
///   }
///
/// `backward` may capture attributes, by value: it lives as long as the graph. Tensors are not captured but
/// saved: what is captured is neither freed by backward() nor found to be changed since, and whoever captures
/// the result, or what was computed from it, makes the graph hold itself, so that it is never freed.
///
/// `name` must live as long as the graph (a literal does). At most 31 inputs and 31 results. An Error, before
/// forward runs, where the name or a function is null.
template <class F, class B>
auto custom(const char* name, const Tensors& inputs, F&& forward, B backward) {
  using Y = decltype(forward(std::declval<Context&>(), inputs));
  constexpr bool one = std::is_convertible_v<Y, Tensor>;
  static_assert(one || std::is_convertible_v<Y, Tensors>, "the forward function gives a Tensor or Tensors");
  using G = std::conditional_t<one, Tensor, Tensors>;
  const std::function<Tensors(const Context&, const G&)> rule(std::move(backward));
  detail::CustomBackward of_all;
  if constexpr (!one)
    of_all = rule;
  else if (rule)
    of_all = [rule](const Context& ctx, const Tensors& g) { return rule(ctx, g[0]); };
  const std::vector<uint32_t> versions = detail::check_custom(name, inputs, of_all);
  check_function(name, forward);
  Context ctx;
  Tensors y;
  {
    NoGrad no_grad;
    const detail::Untold untold;
    if constexpr (one)
      y.push_back(forward(ctx, inputs));
    else
      y = forward(ctx, inputs);
  }
  y = detail::record_custom(name, std::move(of_all), std::move(ctx), inputs, versions, std::move(y));
  if constexpr (one)
    return std::move(y[0]);
  else
    return y;
}

}  // namespace gradus

#pragma GCC visibility pop
