// The first tutorial: a network with one hidden layer learns which points of a flower are of which colour.
#include <common/file.h>
#include <common/handmade.h>
#include <common/planar.h>
#include <common/program.h>
#include <common/svg.h>
#include <gradus/gradus.h>

#include <cmath>
#include <filesystem>

using namespace gradus;
using namespace gradus::examples;

namespace {

/// |a - n| / (|a| + |n|) of autograd's gradients a and those that the tutorial derives by hand, n, over all
/// parameters.
double distance_from_handmade(PlanarNetwork& network, const Tensor& x, const Tensor& y) {
  network.cost(x, y).backward();
  const Tensors p = nn::parameters(network);
  const auto together = [](const Tensors& parts) {
    Tensors flat;
    for (const Tensor& part : parts) flat.push_back(part.flatten());
    return cat(flat, 0);
  };
  const Tensor a = together({p[0].grad(), p[1].grad(), p[2].grad(), p[3].grad()});

  // The tutorial keeps samples, and biases, in columns.
  NoGrad no_grad;
  const Shallow weights{p[0], p[1].reshape({-1, 1}), p[2], p[3].reshape({-1, 1})};
  const Output output = network.ends_in_tanh ? Output::Tanh : Output::Sigmoid;
  const Shallow by_hand =
      backward_propagation(weights, forward_propagation(x.t(), weights, output), x.t(), y.t());
  const Tensor n = together({by_hand.w1, by_hand.b1, by_hand.w2, by_hand.b2});
  const auto norm = [](const Tensor& v) { return std::sqrt(square(v).sum().item()); };
  return norm(a - n) / (norm(a) + norm(n));
}

/// Compares the gradients that training starts with, in float64, with central differences and the tutorial's
/// formulas.
void check_gradients(PlanarNetwork network, const Dataset& data, bool hidden_tanh) {
  nn::to(network, kFloat64);
  const Tensor x = inputs(data, kFloat64), y = labels(data, kFloat64);
  const GradcheckReport report = gradcheck([&] { return network.cost(x, y); }, nn::named_parameters(network));
  fmt::print("Gradients, as |a - n| / (|a| + |n|):\n");
  if (report.reason.empty())
    fmt::print("  from central differences: {:.1e}\n", report.error());
  else
    fmt::print("  from central differences: {}\n", report.reason);
  if (report.reason.empty() && !report) fail("the gradients are wrong:\n{}", report);

  if (!hidden_tanh) return;  // the tutorial derives no other
  const double distance = distance_from_handmade(network, x, y);
  fmt::print("  from hand-derived backprop: {:.1e}\n", distance);
  if (!(distance <= 1e-11)) fail("the gradients differ from the hand-derived ones by {}", distance);
}

void tutorial(const PlanarOptions& options) {
  std::filesystem::create_directories(options.out);
  const Dtype dtype = options.element_type();
  const Dataset data = load_plane(options.data, 400, 1);
  const Tensor x = inputs(data, dtype), y = labels(data, dtype);
  fmt::print("{} points of the {}; a network 2 -> {} {} -> 1 {}, {}\n", data.samples, options.data,
             options.hidden, options.activation, options.output, options.dtype);

  // What a straight line can do: logistic regression is a network without a hidden layer.
  nn::Sequential line = make_network({2, 1}, "", dtype);
  train(nn::parameters(line), [&] { return binary_cross_entropy_with_logits(line(x), y); },
        {.lr = 0.1, .iterations = 1000});
  fmt::print("Logistic regression: accuracy {:.2f} %\n", 100 * accuracy(sigmoid(line(x)), y));

  PlanarNetwork network(options.hidden, options.activation, options.output, dtype, options.seed);
  check_gradients(network, data, options.activation == "tanh");

  const double lr = options.learning_rate(1.2);
  const CostCurve curve = train(nn::parameters(network), [&] { return network.cost(x, y); },
                                {.optimizer = options.optimizer,
                                 .lr = lr,
                                 .l2 = options.l2,
                                 .iterations = options.iterations,
                                 .record_every = 50,
                                 .title = options.quiet ? "" : "planar"});
  if (std::ranges::any_of(curve.costs, [](double c) { return std::isnan(c); }))
    fmt::print("The cost is NaN: tanh gives values below 0, which have no logarithm. See 06_lesson.\n");
  const double right = 100 * accuracy(network(x), y);
  fmt::print("The network: accuracy {:.2f} %\n", right);

  NoGrad no_grad;
  const Grid grid = Grid::around(data.x);
  const Tensor nodes = tensor(grid.nodes(), {grid.rows * grid.columns, 2}, dtype);
  const std::string boundary = options.out + "/planar.svg", costs = options.out + "/planar_cost.svg";
  write_file(boundary, to_svg(BoundaryPlot{
                           .title = fmt::format("{} hidden units, accuracy {:.2f} %", options.hidden, right),
                           .x_label = "x₁",
                           .y_label = "x₂",
                           .grid = grid,
                           .values = network(nodes).to_vector(),
                           .points = data.x,
                           .labels = data.y,
                       }));
  write_file(costs, to_svg(LineChart{fmt::format("Learning rate = {}", lr),
                                     "Iteration",
                                     "Cost",
                                     {{"cost", curve.iterations, curve.costs}}}));
  fmt::print("Points and decision boundary: {}\nCost curve: {}\n", boundary, costs);
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("Trains the first tutorial's network on points in the plane.", argc, argv, tutorial);
}
