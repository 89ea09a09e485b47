#include <common/tanh_mistake.h>
#include <gradus/gradus.h>

#include <cmath>

#include "../board.h"

namespace gradus::examples {
namespace {

std::string verdict(const GradcheckReport& report) {
  return !report.reason.empty() ? "nothing" : report ? "right" : "WRONG";
}

void tanh_mistake(Board& board) {
  const TanhMistake mistake;
  const Tensor &x = mistake.x, &y = mistake.y;

  board.step("Two lines of the first tutorial");
  board.say("The network ends like this, and its backward pass begins like that:");
  board.show(
      "A2 = np.tanh(Z2)\n"
      "cost = -np.sum(Y * np.log(A2) + (1 - Y) * np.log(1 - A2)) / m\n"
      "\n"
      "dZ2 = A2 - Y");
  board.say(
      "dZ2 = A2 - Y is the famous line of `gradus lesson neuron`. It came from σ: its derivative a (1 - a) "
      "cancelled the denominators of the loss. Here σ is replaced by tanh, and the line has stayed. Does it "
      "still hold? Do not believe, check.");

  board.step("At the start there is nothing to check");
  const Tensor start = tanh(output_z(mistake.start, x));
  const double negative = (start < 0).to(kFloat64).mean().item();
  board.say(
      "tanh gives values in (-1, 1). With the tutorial's first weights {:.0f} % of the outputs are below 0, "
      "and have no logarithm: the cost is {}.",
      100 * negative, "NaN");
  const GradcheckReport nothing = check_handmade(as_printed, Output::Tanh, mistake.start, x, y);
  board.claim(std::isnan(as_printed(output_z(mistake.start, x), y).item()), "the cost is NaN");
  board.claim(!nothing && !nothing.reason.empty(), "at the start nothing can be checked");
  board.say("gradcheck: {}. A check that compares nothing must not say yes.", nothing.reason);

  board.step("Elsewhere the check says no");
  const Tensor z2 = output_z(mistake.elsewhere, x), a2 = tanh(z2);
  board.say(
      "So go to a place where all outputs are between 0 and 1, from {:.3f} to {:.3f}. There the cost is a "
      "number, and its slope can be measured: nudge one weight, run forward, see what the cost does.",
      min(a2).item(), max(a2).item());
  const GradcheckReport wrong = check_handmade(as_printed, Output::Tanh, mistake.elsewhere, x, y);
  board.claim(!wrong && wrong.reason.empty(), "the hand-derived gradient is wrong");
  std::vector<std::vector<std::string>> rows = {
      {"gradient", "worst: claimed", "measured", "|a - n|/(|a| + |n|)"}};
  for (const GradcheckInput& in : wrong.inputs)
    rows.push_back({"d" + in.name, fmt::format("{:.6f}", in.worst()->analytic),
                    fmt::format("{:.6f}", in.worst()->numeric), small(in.error())});
  board.table(rows);
  board.say("Right gradients would give 1e-7 or less in the last column. All four are wrong.");

  board.step("Find the line: work backward from the end");
  board.say(
      "Four wrong gradients need not be four mistakes. All of them are made from dZ2, so check that alone, "
      "as a gradient of Z2. Then look at the factor by which it is off, sample by sample:");
  const auto cost = [&](const Tensor& z) { return as_printed(z, y); };
  const double m = static_cast<double>(y.numel());
  const GradcheckReport of_z2 = check_gradient(cost, {z2}, {(a2 - y) / m}, {.names = {"Z2"}});
  const Tensor factor = of_z2.input("Z2").ratio();
  const Tensor expected = (1 + a2) / a2;
  rows = {{"sample", "A2", "measured dZ2 / (A2 - Y)", "(1 + A2) / A2"}};
  for (const int64_t i : {0, 100, 200, 300})
    rows.push_back({std::to_string(i), fmt::format("{:.6f}", a2.at({0, i})),
                    fmt::format("{:.6f}", factor.at({0, i})), fmt::format("{:.6f}", expected.at({0, i}))});
  board.table(rows);
  board.claim(max(abs(factor / expected - 1)).item() < 1e-6, "the factor is (1 + A2) / A2");
  board.say(
      "A factor that follows A2 and nothing else: an activation's derivative has been mixed up. gradcheck "
      "has looked, too. It ran the backward pass again and again, each time with one mistake in it, until "
      "one gave A2 - Y:");
  board.say("gradcheck: Z2: {}", of_z2.diagnosis().text);
  board.claim(of_z2.diagnosis().text.find("sigmoid") != std::string::npos, "the diagnosis names the sigmoid");

  board.step("By hand: what the line should be");
  board.say(
      "The loss gives dA2 = -(Y/A2 - (1 - Y)/(1 - A2)) = (A2 - Y) / (A2 (1 - A2)), as for any network with "
      "this cost. tanh gives dA2/dZ2 = 1 - A2² = (1 - A2)(1 + A2). The product:");
  board.show("dZ2 = (A2 - Y) (1 + A2) / A2");
  board.say(
      "For σ the factor would be A2 (1 - A2), and dZ2 = A2 - Y. With tanh the factor (1 + A2) / A2 remains; "
      "it is always above 2, since A2 is below 1. It is what the check has measured.");
  const Tensor z = z2.detach().requires_grad_();
  board.compare({{"dZ2 / m", (a2 - y) * expected / m, grad({as_printed(z, y)}, {z})[0]}});

  board.step("Three repairs");
  board.say(
      "Correcting the line does not help much: the cost is NaN wherever an output is below 0. Better change "
      "what the network ends in, or what is asked of it, so that dZ2 = A2 - Y becomes true:");
  rows = {{"repair", "start, elsewhere", "error"}};
  for (const Repair& r : repairs(y)) {
    const GradcheckReport at_start = check_handmade(r.cost, r.output, mistake.start, x, r.labels);
    const GradcheckReport there = check_handmade(r.cost, r.output, mistake.elsewhere, x, r.labels);
    rows.push_back({r.what, fmt::format("{}, {}", verdict(at_start), verdict(there)),
                    small(std::max(at_start.error(), there.error()))});
    board.claim(at_start && there, r.what);
  }
  board.table(rows);
  board.say(
      "And why did the tutorial's network learn all the same? Its dZ2 has the right sign for every sample: "
      "it points downhill, though not straight. That is what makes wrong gradients so hard to notice, and "
      "checking them so useful. Train it yourself: build/bin/04_planar --output tanh.");
  board.claim(min(expected).item() > 2, "the factor is above 2, so the sign is right");

  board.step("To try");
  board.say(
      "Of the three repairs, which one would you take, and what does the network's output mean in it? Derive "
      "dZ2 for the second one by hand: the probability is p = (1 + A2)/2, the label t is -1 or 1.");
}

const Lesson tanh_lesson(8, "tanh", "The tutorial's tanh mistake, and how checking finds it", tanh_mistake);

}  // namespace
}  // namespace gradus::examples
