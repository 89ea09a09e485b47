// The first tutorial: a network with one hidden layer learns which points of a flower are of which colour.
#include <common/file.h>
#include <common/program.h>
#include <common/svg.h>
#include <gradus/gradus.h>

using namespace gradus;
using namespace gradus::examples;

namespace {

struct Options : TutorialOptions {
  int64_t hidden = 4;
  std::string activation = "tanh", output = "sigmoid", data = "flower";
};

/// Whether the gradients that training starts with are right: float64, whatever the training's dtype.
void check_gradients(nn::Sequential network, const Options& options, const Dataset& data) {
  nn::to(network, kFloat64);
  const Tensor x = inputs(data, kFloat64), y = labels(data, kFloat64);
  const auto cost = [&] {
    const Tensor z = network(x);
    return options.output == "tanh" ? cost_as_printed(z, y) : binary_cross_entropy(sigmoid(z), y);
  };
  const GradcheckReport report = gradcheck(cost, nn::named_parameters(network));
  if (!report.reason.empty())
    fmt::print("Gradients: nothing can be checked: {}\n", report.reason);
  else if (!report)
    fail("the gradients are wrong:\n{}", report);
  else
    fmt::print("Gradients: {:.1e} from central differences, as |a - n| / (|a| + |n|)\n", report.error());
}

void run(const Options& options) {
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

  nn::Sequential network = make_network({2, options.hidden, 1}, options.activation, dtype);
  init_as_numpy(network, options.seed, [](double r, double) { return r * 0.01; });
  check_gradients(network, options, data);

  const bool ends_in_tanh = options.output == "tanh";
  const auto predict = [&](const Tensor& points) {
    const Tensor z = network(points);
    return ends_in_tanh ? tanh(z) : sigmoid(z);
  };
  const auto cost = [&] {
    return ends_in_tanh ? cost_as_printed(network(x), y) : binary_cross_entropy(predict(x), y);
  };
  const double lr = options.learning_rate(1.2);
  const CostCurve curve = train(nn::parameters(network), cost,
                                {.optimizer = options.optimizer,
                                 .lr = lr,
                                 .l2 = options.l2,
                                 .iterations = options.iterations,
                                 .record_every = 50,
                                 .title = options.quiet ? "" : "planar"});
  if (std::ranges::any_of(curve.costs, [](double c) { return std::isnan(c); }))
    fmt::print("The cost is NaN: tanh gives values below 0, which have no logarithm. See 06_lesson.\n");
  const double right = 100 * accuracy(predict(x), y);
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
                           .values = predict(nodes).to_vector(),
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
  Options options;
  options.iterations = 10000;
  options.seed = 2;
  CLI::App app("Trains the first tutorial's network on points in the plane.");
  app.add_option("--data", options.data, "The points")
      ->check(CLI::IsMember({"flower", "circles", "moons", "blobs", "quantiles"}))
      ->capture_default_str();
  app.add_option("--hidden", options.hidden, "Hidden units")->check(kPositive)->capture_default_str();
  app.add_option("--activation", options.activation, "Of the hidden units")
      ->check(CLI::IsMember({"tanh", "relu", "sigmoid"}))
      ->capture_default_str();
  app.add_option("--output", options.output, "Of the output; tanh is what the tutorial prints, and no good")
      ->check(CLI::IsMember({"sigmoid", "tanh"}))
      ->capture_default_str();
  add_options(app, options, "1.2");
  return examples::run(app, argc, argv, [&] { ::run(options); });
}
