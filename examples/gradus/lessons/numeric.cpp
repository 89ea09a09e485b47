#include <gradus/gradus.h>

#include <cmath>

#include "../board.h"
#include "../text_plot.h"

namespace gradus::examples {
namespace {

/// Differences of f at x with step h, computed in T.
template <class T>
double forward_difference(T (*f)(T), T x, T h) {
  return static_cast<double>((f(x + h) - f(x)) / h);
}
template <class T>
double central_difference(T (*f)(T), T x, T h) {
  return static_cast<double>((f(x + h) - f(x - h)) / (2 * h));
}
template <class T>
T exponential(T x) {
  return std::exp(x);
}

/// The step with the least error.
struct Best {
  double step, error;
};
Best best(const std::vector<double>& steps, const std::vector<double>& errors) {
  const auto at = std::min_element(errors.begin(), errors.end()) - errors.begin();
  return {steps[static_cast<size_t>(at)], errors[static_cast<size_t>(at)]};
}

void numeric(Board& board) {
  const double at = 1;
  const Tensor x = tensor(at, kFloat64).requires_grad_();
  const double truth = grad({exp(x)}, {x})[0].item();
  const auto forward = [&](double h) { return forward_difference<double>(exponential, at, h); };
  const auto central = [&](double h) { return central_difference<double>(exponential, at, h); };

  board.step("A derivative without calculus");
  board.say(
      "A derivative says what f does when x moves a little. So move x a little and look: (f(x + h) - f(x)) / "
      "h. No rule is needed, only f, which is why this is the judge of every rule. But it is not exact. f(x) "
      "= eˣ at x = 1, where the derivative is e = {:.10f}:",
      truth);
  std::vector<std::vector<std::string>> rows = {{"h", "(f(x + h) - f(x)) / h", "error", "error / h"}};
  for (const double h : {0.1, 0.01, 0.001})
    rows.push_back({number(h), fmt::format("{:.8f}", forward(h)), small(forward(h) - truth),
                    fmt::format("{:.4f}", (forward(h) - truth) / h)});
  board.table(rows);
  board.claim(std::abs((forward(1e-3) - truth) / 1e-3 / (truth / 2) - 1) < 0.01, "the error is h/2 f''");
  board.say(
      "The last column tends to f''/2 = {:.4f}. Taylor says so: f(x + h) = f + h f' + h²/2 f'' + …, so the "
      "error is h/2 f''. A step ten times smaller is ten times better.",
      truth / 2);

  board.step("Look both ways");
  board.say(
      "Go as far to the left as to the right: (f(x + h) - f(x - h)) / 2h. The terms with h² cancel, and the "
      "error is h²/6 f'''. A step ten times smaller is a hundred times better:");
  rows = {{"h", "central difference", "error", "error / h²"}};
  for (const double h : {0.1, 0.01, 0.001})
    rows.push_back({number(h), fmt::format("{:.10f}", central(h)), small(central(h) - truth),
                    fmt::format("{:.4f}", (central(h) - truth) / (h * h))});
  board.table(rows);
  board.claim(std::abs((central(1e-3) - truth) / 1e-6 / (truth / 6) - 1) < 0.01, "the error is h²/6 f'''");

  board.step("Smaller is better, until it is not");
  board.say("Why not take h = 1e-12, then? Look at the numbers that are subtracted:");
  rows = {{"h", "f(x + h)", "f(x - h)", "difference", "error"}};
  for (const double h : {1e-4, 1e-8, 1e-12, 1e-15})
    rows.push_back({fmt::format("{:.0e}", h), fmt::format("{:.16f}", std::exp(at + h)),
                    fmt::format("{:.16f}", std::exp(at - h)), fmt::format("{:.7f}", central(h)),
                    small(std::abs(central(h) - truth))});
  board.table(rows);
  board.claim(std::abs(central(1e-15) - truth) > 1e3 * std::abs(central(1e-4) - truth),
              "tiny steps are worse");
  board.say(
      "A float64 has 16 digits. The smaller h, the more of them agree, and the difference is made of the few "
      "that are left. The rounding of f, about {} of it, is divided by h: this error grows as h shrinks.",
      small(0x1p-53));

  board.step("Both errors in one picture");
  std::vector<double> steps, of_forward, of_central;
  for (double power = -15; power <= 0; power += 0.25) {
    const double h = std::pow(10, power);
    steps.push_back(h);
    of_forward.push_back(std::abs(forward(h) - truth));
    of_central.push_back(std::abs(central(h) - truth));
  }
  board.show(text_plot({{'o', steps, of_central}, {'.', steps, of_forward}}, "h",
                       "error of the derivative     . forward   o central"));
  const Best f = best(steps, of_forward), c = best(steps, of_central);
  board.say(
      "Read it from right to left. The errors fall as h gets smaller, with slope 1 for the forward "
      "difference and slope 2 for the central one: that is Taylor. Then they turn and rise, both along the "
      "same line, in a mess: that is rounding.");
  board.table({{"", "best h", "its error", "in theory best near"},
               {"forward", small(f.step), small(f.error), "ε^(1/2) = " + small(std::pow(0x1p-52, 0.5))},
               {"central", small(c.step), small(c.error), "ε^(1/3) = " + small(std::pow(0x1p-52, 1. / 3))}});
  board.claim(c.error < f.error && f.step < 1e-6 && c.step > 1e-7,
              "each difference has a best step of its own");

  board.step("What gradcheck does");
  const double h = GradcheckOptions{}.eps;
  const double joined = (4 * central(h) - central(2 * h)) / 3;
  board.say(
      "gradcheck takes h = {:.0e} and 2h, and joins the two: (4 D(h) - D(2h)) / 3, Richardson's "
      "extrapolation, in which the h² cancels as well. Here its error is {}. How far D(h) and D(2h) are "
      "apart tells how far to trust them; where they disagree it tries other steps, and where no step is "
      "good it says that it cannot tell.",
      h, small(std::abs(joined - truth)));
  board.claim(std::abs(joined - truth) < 1e-9, "the joined difference is good");
  board.say("And float32? It has 7 digits. The same central difference, the best of all steps:");
  std::vector<double> in_float;
  in_float.reserve(steps.size());
  for (const double step : steps)
    in_float.push_back(std::abs(
        central_difference<float>(exponential, static_cast<float>(at), static_cast<float>(step)) - truth));
  const Best narrow = best(steps, in_float);
  board.table({{"", "best h", "its error"},
               {"float64", small(c.step), small(c.error)},
               {"float32", small(narrow.step), small(narrow.error)}});
  board.claim(narrow.error > 100 * c.error, "float32 is far worse");
  board.say(
      "At h = {:.0e} in float32 the error is {}. So gradients are checked in float64, and gradcheck refuses "
      "anything else.",
      h, small(std::abs(central_difference<float>(exponential, 1, static_cast<float>(h)) - truth)));

  board.step("Kinks: where there is nothing to find");
  board.say(
      "relu has a kink at 0. Within h of it, the two points lie on different sides, and the difference is "
      "neither of the two slopes. With h = {:.0e}:",
      h);
  const auto ramp = +[](double v) { return std::max(v, 0.0); };
  rows = {{"x", "relu'(x) by Gradus", "central difference"}};
  for (const double v : {1e-3, 4e-6, -4e-6, -1e-3}) {
    const Tensor t = tensor(v, kFloat64).requires_grad_();
    rows.push_back({fmt::format("{:.0e}", v), number(grad({relu(t)}, {t})[0].item()),
                    fmt::format("{:.4f}", central_difference<double>(ramp, v, h))});
  }
  board.table(rows);
  board.claim(std::abs(central_difference<double>(ramp, 4e-6, h) - 0.7) < 1e-6, "a difference across a kink");
  const GradcheckReport at_kink =
      gradcheck([](const Tensor& t) { return relu(t); }, {tensor({0.}, kFloat64)});
  board.claim(!at_kink && !at_kink.reason.empty(), "gradcheck cannot tell at a kink");
  board.say("Neither side is wrong. gradcheck knows, at x = 0 itself: \"{}\".", at_kink.reason);

  board.step("When is a gradient right?");
  board.say(
      "Never compare with ==. The course's measure is |a - n| / (|a| + |n|), over all numbers as one vector: "
      "0 is perfect, 1 is as wrong as can be, and the unit of measurement does not matter. A gradient of ten "
      "numbers, and what becomes of it:");
  const Tensor v = tensor(numpy_random(1).randn(10), {10}, kFloat64);
  const auto loss = [](const Tensor& t) { return (t * tanh(t)).sum(); };
  const Tensor leaf = v.clone().requires_grad_();
  const Tensor g = grad({loss(leaf)}, {leaf})[0];
  const Tensor other = g.clone();
  {
    NoGrad no_grad;
    Tensor first = other.slice(0, 0, 1);
    first += 0.01;
  }
  rows = {{"the claim", "|a - n| / (|a| + |n|)", "gradcheck says"}};
  const std::pair<const char*, Tensor> claims[] = {{"the gradient", g},
                                                   {"0.01 off in one number", other},
                                                   {"twice the gradient", 2 * g},
                                                   {"the sign flipped", -g}};
  for (const auto& [what, claim] : claims) {
    const GradcheckReport report = check_gradient(loss, {v}, {claim}, {.names = {"x"}});
    rows.push_back({what, small(report.error()), report ? "right" : name_of(report.diagnosis().kind)});
    board.claim(report.ok() == (&claim == &claims[0].second), "only the gradient is right");
  }
  board.table(rows);
  board.say(
      "Below 1e-7 a gradient is right; above 1e-4 something is wrong. And what is wrong can often be read "
      "off: `gradus check` does that for gradients that you derive yourself.");

  board.step("To try");
  board.say(
      "Where is the best h for the central difference of e^(100 x) at x = 0? Balance the two errors: h²/6 "
      "f''' grows with h, ε f / h shrinks. And why does gradcheck scale its step with the size of x?");
}

const Lesson numeric_lesson(9, "numeric", "Numeric differentiation, and its own errors", numeric);

}  // namespace
}  // namespace gradus::examples
