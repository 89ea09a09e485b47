#pragma once
#include <gradus/autograd/core/describe.h>
#include <gradus/autograd/core/tensor.h>

#include <span>
#include <utility>

#pragma GCC visibility push(default)

namespace gradus {

/// While one lives, it is told of every op that has run on this thread, whether a gradient is wanted or not.
/// Of several, the youngest is told. What an op does inside is not told, nor what op() itself computes.
class Tracer {
 public:
  /// An op that has run.
  struct Op {
    const char* name /** "sum" */;
    const Describe& attributes /** of this call */;
    std::span<const Tensor* const> inputs /** undefined where one is missing */;
    std::span<const Tensor* const> results /** of an op in place, inputs[0] */;
  };
  Tracer() noexcept;
  virtual ~Tracer();
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  /// Is called when one has.
  virtual void op(const Op& op) = 0;

 private:
  Tracer* const before_;
};

namespace detail {
extern constinit thread_local Tracer* tracer;

/// Nobody is told while one lives, but through tell().
class Untold {
 public:
  Untold() noexcept : tracer_(std::exchange(tracer, nullptr)) {}
  ~Untold() { tracer = tracer_; }
  Untold(const Untold&) = delete;
  Untold& operator=(const Untold&) = delete;

  template <class Op>
  void tell(const Op& op, std::span<const Tensor* const> inputs,
            std::span<const Tensor* const> results) const {
    Describe attributes;
    if constexpr (requires { op.describe(attributes); }) op.describe(attributes);
    tracer_->op({op.name, attributes, inputs, results});
  }

 private:
  Tracer* const tracer_;
};

/// Tells the tracer, of which there is one.
template <class Op>
[[gnu::cold, gnu::noinline]] void tell(const Op& op, std::span<const Tensor* const> inputs,
                                       std::span<const Tensor* const> results) {
  Untold().tell(op, inputs, results);
}
}  // namespace detail

}  // namespace gradus

#pragma GCC visibility pop
