// The lesson: the first tutorial's network ends in tanh, but backpropagates dZ2 = A2 - Y. Is that its
// gradient?
#include <common/tanh_mistake.h>
#include <gradus/gradus.h>

using namespace gradus;
using namespace gradus::examples;

namespace {

void claim(bool holds, const char* what) {
  if (!holds) fail("lesson: this should be so, and is not: {}", what);
}

void lesson() {
  const TanhMistake mistake;
  const Tensor &x = mistake.x, &y = mistake.y;
  const double m = static_cast<double>(y.numel());

  fmt::print("1. Where the tutorial starts, tanh gives values below 0, and they have no logarithm.\n");
  const GradcheckReport nothing = check_handmade(as_printed, Output::Tanh, mistake.start, x, y);
  fmt::print("{}\n", nothing);
  claim(!nothing && nothing.reason.find("NaN") != std::string::npos, "at the start nothing can be checked");

  const Tensor z2 = output_z(mistake.elsewhere, x), a2 = tanh(z2);
  fmt::print("2. Elsewhere every A2 lies in (0, 1): from {:.3f} to {:.3f}. Are the gradients right there?\n",
             min(a2).item(), max(a2).item());
  const GradcheckReport wrong = check_handmade(as_printed, Output::Tanh, mistake.elsewhere, x, y);
  fmt::print("{}\n", wrong);
  claim(!wrong && wrong.reason.empty(), "the hand-derived gradient is wrong");

  fmt::print(
      "3. So look at dZ2 itself, the first line of the backward pass: by what factor is A2 - Y wrong?\n");
  const auto cost = [&](const Tensor& z) { return as_printed(z, y); };
  const Tensor factor = check_gradient(cost, {z2}, {(a2 - y) / m}, {.names = {"Z2"}}).input("Z2").ratio();
  const Tensor expected = (1 + a2) / a2;
  fmt::print("   sample         A2   true dZ2 / (A2 - Y)   (1 + A2) / A2\n");
  for (const int64_t i : {0, 100, 200, 300})
    fmt::print("   {:6}   {:.6f}   {:>19.6f}   {:>13.6f}\n", i, a2.at({0, i}), factor.at({0, i}),
               expected.at({0, i}));
  fmt::print("   dZ2 = A2 - Y belongs to the sigmoid. For tanh it is (A2 - Y)(1 + A2) / A2.\n\n");
  claim(max(abs(factor / expected - 1)).item() < 1e-6, "the factor is (1 + A2) / A2");

  fmt::print("4. Three repairs; the backward pass keeps its dZ2 = A2 - Y.\n");
  for (const Repair& r : repairs(y)) {
    const GradcheckReport at_start = check_handmade(r.cost, r.output, mistake.start, x, r.labels);
    const GradcheckReport there = check_handmade(r.cost, r.output, mistake.elsewhere, x, r.labels);
    fmt::print("   {:<45} {}   |a - n| / (|a| + |n|): {:.0e} at the start, {:.0e} elsewhere\n", r.what,
               at_start && there ? "right" : "WRONG", at_start.error(), there.error());
    claim(at_start && there, r.what);
  }
}

}  // namespace

int main() {
  try {
    lesson();
  } catch (const Error& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}
