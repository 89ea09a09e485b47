#pragma once
#include <gradus/autograd/core/tensor.h>

#include <string>
#include <utility>
#include <vector>

#pragma GCC visibility push(default)

namespace gradus {

namespace detail {
/// The index of the k-th element, counted row-major.
Shape unravel(int64_t k, const Shape& shape);
}  // namespace detail

/// What a gradient check found out about one input. From Sign on, the gradient is wrong.
enum class Finding {
  None,               // right everywhere
  Zero,               // right, but zero everywhere: little was shown
  Kink,               // right where it could be told; elsewhere f has a kink or a jump
  Noise,              // right where it could be told; elsewhere f is too noisy to difference, as in float32
  Sign,               // the sign is flipped, of all of it or of one term
  Factor,             // a constant factor that is no size of the problem
  Size,               // a constant factor that is one: a division by it too much, or missing
  ElementwiseFactor,  // some value of the computation is a factor too much, or missing
  Transposed,         // the transpose of the right gradient, or made with the transpose of a matrix
  MissingSum,         // not summed over a dim along which the input was broadcast
  OneSample,          // only one term of a sum over samples counts
  Shape,              // of another shape than its input
  MissingDerivative,  // the derivative of an op, often an activation, is missing
  OtherDerivative,    // another function's derivative stands in its place
  WrongPlace,         // the derivative is taken at the output instead of the input, or the other way round
  WrongRule,          // an op's rule is not the derivative of what it computes, nor any known here
  SkippedLayer,       // what the gradient must go through is left out
  WrongLayer,         // made with the gradient of another layer
  WrongOperand,       // a product with another value than the one of the forward pass
  MissingPath,        // several gradients meet, and one of them is not added
  Stale,              // made with the values of the step before
  WeightDecay,        // off by a multiple of the input itself
  Swapped,            // the gradient of another input, or of the other operand
  NotConnected,       // zero, where f depends on the input
  NotUsed,            // not zero, where f does not depend on the input
  NotLinear,          // a rule does not pass the incoming gradient on, as a factor
  HigherOrder,        // right at order 1, wrong at a higher one
  OneElement,         // wrong at a single element
  OneRow,             // wrong at a single index of a dim
  BackwardFailed,     // the backward pass threw
  Unknown,            // wrong, in no way known here
};
/// "Sign", "Factor" …
const char* name_of(Finding f);
/// Whether the gradient is wrong.
constexpr bool is_mistake(Finding f) { return f >= Finding::Sign; }

/// The best explanation of what was found.
struct Diagnosis {
  Finding kind = Finding::None;  // what was found
  /// One sentence with its evidence.
  std::string text = {};
  /// How far the explanation is from exact, as ‖a - b‖ / (‖a‖ + ‖b‖): of the gradient, corrected as the text
  /// says, and the numeric one; or of what the mistake would give and the claimed one. 1 where there is none
  /// to compare.
  double mismatch = 1;
};

/// One derivative, claimed and measured.
struct GradcheckElement {
  /// Untrusted: the numeric derivative is too doubtful to tell.
  enum class Verdict { Right, Wrong, Untrusted };

  int64_t output;   // which element of the result (row-major), or which random projection of it
  int64_t input;    // which element of the input, or -1: along a random direction
  double analytic;  // autograd's, or the claimed one
  double numeric;   // by central differences
  /// How far `numeric` may be off: f near kinks, steps that disagree, rounding.
  double doubt;
  bool kink;        // f has a kink or a jump there
  Verdict verdict;  // of the comparison

  /// |a - n|
  double absolute_error() const;
  /// |a - n| / max(|a|, |n|); 0 where both are 0.
  double relative_error() const;
};

/// What was compared for one input.
struct GradcheckInput {
  std::string name;      // the one given, or the input's number
  Shape shape;           // its shape
  int order = 1;         // 2: the input of the gradient as a function
  Shape outputs;         // shape of the result; {k} for k random projections of it
  bool complete = true;  // every element was checked; else a random part, and random directions
  std::vector<GradcheckElement> elements;  // all that was compared
  Diagnosis diagnosis;                     // what it shows

  /// Whether nothing is wrong.
  bool ok() const { return !is_mistake(diagnosis.kind); }
  /// How many elements have this verdict.
  int64_t count(GradcheckElement::Verdict v) const;
  /// ‖a - n‖ / (‖a‖ + ‖n‖) over the elements that can be trusted; 0 where both are 0.
  double error() const;
  /// ‖doubt‖ / ‖n‖ over the same elements: how far the numeric derivatives themselves may be off. An error
  /// that is no larger says nothing against the gradient.
  double doubt() const;
  /// The wrong element with the largest |a - n|, else the right one; null where none was compared.
  const GradcheckElement* worst() const;
  /// The index of an element in the input.
  Shape index(const GradcheckElement& e) const;
  /// The index of the element of the result that it was derived from.
  Shape output_index(const GradcheckElement& e) const;

  /// The analytic derivatives as one tensor of shape [*shape] where the result has one element, else
  /// [*outputs, *shape]; NaN where an element was not checked.
  Tensor analytic() const;
  /// The numeric derivatives, in the same shape.
  Tensor numeric() const;
  /// numeric / analytic: the factor that is missing, element by element.
  Tensor ratio() const;
};

/// What a gradient check saw. It is true where every gradient was compared and none is wrong.
struct GradcheckReport {
  /// Why nothing could be checked; empty where something was.
  std::string reason = {};
  /// The inputs, in order; those of higher orders after those of lower ones.
  std::vector<GradcheckInput> inputs = {};

  /// Whether something was compared and nothing is wrong.
  bool ok() const;
  explicit operator bool() const { return ok(); }
  /// The course's measure ‖a - n‖ / (‖a‖ + ‖n‖), over all inputs' gradients as one vector.
  double error() const;
  /// ‖doubt‖ / ‖n‖, over all inputs: how far central differences can be trusted here.
  double doubt() const;
  /// An input by its name, at an order; an Error where there is none.
  const GradcheckInput& input(const std::string& name, int order = 1) const;
  /// The worst input's first diagnosis that is a mistake; Finding::None if all is well.
  const Diagnosis& diagnosis() const;
  /// A table of the inputs, and a sentence on each that needs one.
  std::string str() const;
};

}  // namespace gradus

template <>
struct fmt::formatter<gradus::GradcheckReport> : gradus::detail::TextFormatter {
  template <class C>
  auto format(const gradus::GradcheckReport& r, C& c) const {
    return fmt::format_to(c.out(), "{}", r.str());
  }
};

#pragma GCC visibility pop
