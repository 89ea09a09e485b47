#include <common/command_line.h>
#include <common/file.h>
#include <common/graphviz.h>
#include <common/planar.h>
#include <common/report.h>
#include <gradus/autograd/check/trace.h>
#include <gradus/gradus.h>
#include <unistd.h>

#include <memory>

#include "commands.h"

namespace gradus::examples {
namespace {

/// Parameters of one module: "layers.0" of "layers.0.weight".
struct Layer {
  std::string name;
  Tensors parameters;
};

std::vector<Layer> layers_of(const NamedTensors& parameters) {
  std::vector<Layer> layers;
  for (const auto& [name, x] : parameters) {
    const std::string module = name.substr(0, name.rfind('.'));
    if (layers.empty() || layers.back().name != module) layers.push_back({module, {}});
    layers.back().parameters.push_back(x);
  }
  return layers;
}

/// What is remembered of a run while it goes on.
class History {
 public:
  explicit History(const nn::Parts& model) : layers_(layers_of(nn::named_parameters(model))) {
    for (const Layer& layer : layers_) norms.push_back({layer.name, {}, {}});
  }
  /// A moment at which the gradients of the cost are there.
  void note(int64_t iteration, const std::vector<std::pair<std::string, double>>& right) {
    const auto at = static_cast<double>(iteration);
    for (size_t i = 0; i < right.size(); i++) {
      if (accuracies.size() == i) accuracies.push_back({right[i].first, {}, {}});
      accuracies[i].x.push_back(at);
      accuracies[i].y.push_back(100 * right[i].second);
    }
    NoGrad no_grad;
    for (size_t i = 0; i < layers_.size(); i++) {
      double squares = 0;
      for (const Tensor& p : layers_[i].parameters) squares += square(p.grad()).sum().item();
      norms[i].x.push_back(at);
      norms[i].y.push_back(std::sqrt(squares));
    }
  }

  std::vector<Series> accuracies, norms;

 private:
  std::vector<Layer> layers_;
};

/// A folder that can be written to: better known before the training than after it.
void prepare_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error && access(path.c_str(), W_OK) != 0) error = {errno, std::generic_category()};
  if (error) fail<FileError>("train: {}: can't write there: {}", path, error.message());
}

/// The files of a run, `out`/`name` and what follows; they are listed as they are written.
class Output {
 public:
  Output(const std::string& out, const std::string& name) : stem_(out + "/" + name) {}
  void write(const std::string& ending, const std::string& what, const std::string& text) const {
    write_file(stem_ + ending, text);
    fmt::print("{:<40} {}\n", stem_ + ending, what);
  }

 private:
  std::string stem_;
};

std::vector<std::vector<std::string>> settings_of(const TutorialOptions& options, double lr) {
  std::vector<std::vector<std::string>> rows = {
      {"optimizer", options.optimizer},
      {"learning rate", fmt::format("{}", lr)},
      {"iterations", std::to_string(options.iterations)},
      {"seed of the weights", std::to_string(options.seed)},
      {"numbers", options.dtype},
  };
  if (options.l2 > 0) rows.push_back({"weight decay", fmt::format("{}", options.l2)});
  return rows;
}

TrainingOptions training_of(const TutorialOptions& options, double lr, const std::string& title) {
  // Two hundred points make a curve.
  const int64_t every = std::max<int64_t>(1, options.iterations / 200);
  return {.optimizer = options.optimizer,
          .lr = lr,
          .l2 = options.l2,
          .iterations = options.iterations,
          .record_every = every,
          .print_every = 20 * every,
          .title = options.quiet ? "" : title,
          .plot = true};
}

void add_curves(Report& report, const Output& output, const CostCurve& curve, const History& history) {
  const LineChart costs{"Cost", "iteration", "cost", {{"cost", curve.iterations, curve.costs}}};
  const LineChart accuracies{"Accuracy", "iteration", "right answers (%)", history.accuracies};
  const LineChart norms{"Norm of the gradient, by layer", "iteration", "norm of dL/d(parameters)",
                        history.norms, true};
  output.write("_curves.svg", "cost, accuracy and norms of the gradients",
               to_svg(side_by_side("", {draw(costs), draw(accuracies), draw(norms)}, 2)));
  const auto ends = [](const Series& s) {
    return fmt::format("{}: from {:.4g} to {:.4g}", s.name, s.y.front(), s.y.back());
  };
  report.section("Curves");
  report.figure(draw(costs), "Curve: " + ends(costs.series[0]));
  for (const LineChart& chart : {accuracies, norms}) {
    std::string words = "Curves: " + chart.title;
    for (const Series& series : chart.series) words += "; " + ends(series);
    report.figure(draw(chart), words);
  }
}

/// What the layers' activations and their gradients are, as histograms.
void add_histograms(Report& report, const Output& output, const Tensor& loss) {
  report.section("Activations and their gradients");
  const detail::Trace trace(loss);
  std::vector<Drawing> drawings;
  int layer = 0;
  for (size_t i = trace.steps().size(); i-- > 0;) {
    const auto& step = trace.steps()[i];
    const std::string op = step.node->name();
    if (op != "tanh" && op != "relu" && op != "sigmoid") continue;
    layer++;
    const Tensor value = trace.value(i), g = step.g[0];
    const std::string a = fmt::format("layer {}, {}", layer, op);
    for (const auto& [title, label, x] : {std::tuple("Activations of " + a, "activation", value),
                                          std::tuple("Gradients of " + a, "dL/d(activation)", g)}) {
      if (!x.defined()) continue;
      drawings.push_back(draw(Histogram{title, label, {{title, x.to_vector()}}}));
      report.figure(drawings.back(), "Histogram: " + title);
    }
  }
  output.write("_activations.svg", "the activations and their gradients, as histograms",
               to_svg(side_by_side("", drawings, 2)));
}

/// The graph of the loss: as a picture, and step by step as gradients appear.
void add_graph(Report& report, const Output& output, const Tensor& loss, const NamedTensors& names) {
  report.section("The graph, and its backward pass");
  const std::string dot = to_dot(loss, names);
  output.write("_graph.dot", "the graph for Graphviz", dot);
  if (!has_graphviz()) {
    report.paragraph(
        "There was no Graphviz that writes SVG (the program dot), so the graph is here as DOT only.");
    report.details("The graph as DOT", dot);
    fmt::print("There is no Graphviz that writes SVG (the program dot): the graph is not drawn.\n");
    return;
  }
  output.write("_graph.svg", "the graph", to_svg(draw_dot(dot, "The graph of the cost")));
  report.paragraph(
      "Filled boxes with a heavy border are parameters, dashed ones inputs, rounded ones ops; the cost has a "
      "double "
      "border. The slider walks the backward pass: each step shows the gradients that one more op has passed "
      "on.");
  std::vector<Drawing> drawings;
  std::vector<std::string> captions;
  for (const auto& [caption, frame] : backward_frames(loss, names)) {
    drawings.push_back(draw_dot(frame, ""));
    captions.push_back(caption);
  }
  report.frames(drawings, "Graph of the cost", "Step of the backward pass", captions);
}

/// What every network's report ends with; the loss was recorded under KeepValues.
void add_inside(Report& report, const Output& output, const nn::Parts& model, const GradcheckReport& check,
                const Tensor& loss, NamedTensors inputs) {
  NamedTensors names = nn::named_parameters(model);
  names.insert(names.end(), inputs.begin(), inputs.end());
  add_histograms(report, output, loss);
  report.section("The model");
  add_summary(report, model);
  report.section("Gradient check, at the start");
  add_gradcheck(report, check);
  add_graph(report, output, loss, names);
  report.details("Why each gradient is what it is, step by step", explain(loss, names).str());
}

void train_planar(const PlanarOptions& options) {
  prepare_folder(options.out);
  const Dtype dtype = options.element_type();
  const Dataset data = load_plane(options.data, 400, 1);
  const Tensor x = inputs(data, dtype), y = labels(data, dtype);
  PlanarNetwork network(options.hidden, options.activation, options.output, dtype, options.seed);
  const std::string shape =
      fmt::format("2 → {} {} → 1 {}", options.hidden, options.activation, options.output);
  fmt::print("{} points of the {}; a network {}, {}\n", data.samples, options.data, shape, options.dtype);

  PlanarNetwork exact = network;
  nn::to(exact, kFloat64);
  const Tensor x64 = inputs(data, kFloat64), y64 = labels(data, kFloat64);
  const GradcheckReport check = gradcheck([&] { return exact.cost(x64, y64); }, nn::named_parameters(exact));

  BoundaryPlot plot{.title = "",
                    .x_label = "x₁",
                    .y_label = "x₂",
                    .grid = Grid::around(data.x),
                    .values = {},
                    .points = data.x,
                    .labels = data.y};
  const Tensor nodes = tensor(plot.grid.nodes(), {plot.grid.rows * plot.grid.columns, 2}, dtype);
  std::vector<std::vector<double>> boundaries;
  std::vector<std::string> captions;
  History history(network);
  const double lr = options.learning_rate(1.2);
  TrainingOptions training = training_of(options, lr, "planar");
  int64_t next_boundary = 0;
  training.observe = [&](int64_t i, double cost) {
    NoGrad no_grad;
    const double right = accuracy(network(x), y);
    history.note(i, {{"accuracy", right}});
    // Most happens early, so the boundary is kept at times that grow apart.
    if (i >= next_boundary || i == options.iterations) {
      boundaries.push_back(network(nodes).to_vector());
      captions.push_back(fmt::format("iteration {}: cost {:.4f}, accuracy {:.1f} %", i, cost, 100 * right));
      next_boundary = std::max(i + 1, i + i / 4);
    }
    return fmt::format("accuracy {:.2f} %", 100 * right);
  };
  const CostCurve curve = train(
      nn::parameters(network), [&] { return network.cost(x, y); }, training);

  const double right = history.accuracies[0].y.back();
  fmt::print("The network: accuracy {:.2f} %\n", right);
  const Output output(options.out, "planar");
  plot.title = fmt::format("{} hidden units, accuracy {:.2f} %", options.hidden, right);
  plot.values = boundaries.back();
  output.write(".svg", "the points and the decision boundary", to_svg(plot));

  Report report(
      "Training on the " + options.data,
      fmt::format("{} points of two classes in the plane, and a network {}. After {} iterations its cost is "
                  "{:.4f}, and {:.2f} % of its answers are right.",
                  data.samples, shape, options.iterations, curve.costs.back(), right));
  report.section("Settings");
  auto settings = settings_of(options, lr);
  settings.insert(settings.begin(),
                  {{"data", fmt::format("{}, {} points", options.data, data.samples)}, {"network", shape}});
  report.table("Settings of the run", {"setting", "value"}, settings);
  add_curves(report, output, curve, history);
  report.section("The decision boundary over time");
  report.frames(draw(plot, boundaries), "The points, and the regions that the network gives to each class",
                "Time", captions);
  const Tensor w = nn::parameters(network)[0];
  report.figure(draw(PictureGrid{"Weights of the hidden units",
                                 {{picture_of_weights(w.to_vector(), w.size(0), w.size(1))}}}),
                fmt::format("The weights of the first layer, {} x {}: blue is negative, orange positive",
                            w.size(0), w.size(1)));
  const KeepValues keep;
  add_inside(report, output, network, check, network.cost(x, y), {{"x", x}, {"y", y}});
  output.write(".html", "the report: open it in a browser", report.html());
}

void train_cats(const CatsOptions& options) {
  prepare_folder(options.out);
  const Cats cats = load_cats(options.data);
  const Dtype dtype = options.element_type();
  const Tensor x = inputs(cats.train, dtype), y = labels(cats.train, dtype);
  const Tensor test_x = inputs(cats.test, dtype), test_y = labels(cats.test, dtype);
  const std::string shape = fmt::format("{}", fmt::join(options.layers, " → "));
  fmt::print("{} pictures to learn from, {} to test; a network {}, {}\n", cats.train.samples,
             cats.test.samples, shape, options.dtype);
  manual_seed(static_cast<uint64_t>(options.seed));  // for dropout
  CatsNetwork network(options.layers, dtype, options.seed, options.dropout, options.clip);

  // A few pictures, and some of the many weights: that says as much about the rules.
  CatsNetwork exact = network;
  nn::to(exact, kFloat64);
  nn::eval(exact);
  const Tensor x64 = inputs(cats.train, kFloat64).slice(0, 0, 8).contiguous(),
               y64 = labels(cats.train, kFloat64).slice(0, 0, 8).contiguous();
  const GradcheckReport check =
      gradcheck([&] { return exact.cost(x64, y64); }, nn::named_parameters(exact), {.max_elements = 200});

  History history(network);
  const double lr = options.learning_rate(0.0075);
  TrainingOptions training = training_of(options, lr, "cats");
  training.observe = [&](int64_t i, double) {
    NoGrad no_grad;
    nn::eval(network);
    const double on_train = accuracy(network(x), y), on_test = accuracy(network(test_x), test_y);
    nn::train(network);
    history.note(i, {{"training set", on_train}, {"test set", on_test}});
    return fmt::format("accuracy {:.1f} %, test {:.1f} %", 100 * on_train, 100 * on_test);
  };
  const CostCurve curve = train(
      nn::parameters(network), [&] { return network.cost(x, y); }, training);
  nn::eval(network);

  const double on_train = history.accuracies[0].y.back(), on_test = history.accuracies[1].y.back();
  fmt::print("Accuracy: train {:.2f} %, test {:.2f} %\n", on_train, on_test);
  const Output output(options.out, "cats");
  Report report(
      "Training on cats",
      fmt::format(
          "{} pictures, some of them cats, and a network {}. After {} iterations its cost is {:.4f}; "
          "it is right about {:.1f} % of the pictures that it learnt from, and {:.1f} % of {} others.",
          cats.train.samples, shape, options.iterations, curve.costs.back(), on_train, on_test,
          cats.test.samples));
  report.section("Settings");
  auto settings = settings_of(options, lr);
  settings.insert(settings.begin(),
                  {{"data", fmt::format("{} pictures, {} to test", cats.train.samples, cats.test.samples)},
                   {"network", shape}});
  report.table("Settings of the run", {"setting", "value"}, settings);
  add_curves(report, output, curve, history);

  PictureGrid wrong;
  {
    NoGrad no_grad;
    wrong = mislabelled(cats.test, network(test_x).to_vector(), cats.classes);
  }
  output.write("_mislabelled.svg", "the test pictures that it gets wrong", to_svg(wrong));
  report.section("Pictures");
  report.figure(draw(wrong), wrong.title, true);
  PictureGrid weights{"Weights of the first units, as pictures", {}};
  const Tensor w = nn::parameters(network)[0];
  for (int64_t unit = 0; unit < std::min<int64_t>(w.size(0), 10); unit++)
    weights.pictures.push_back(picture_of_weights(w[unit].to_vector(), 64, 64));
  report.figure(draw(weights),
                "What each unit of the first layer looks for: its weights as colours of the pixels", true);
  const KeepValues keep;
  add_inside(report, output, network, check, network.cost(x, y), {{"x", x}, {"y", y}});
  output.write(".html", "the report: open it in a browser", report.html());
}

}  // namespace

void add_train(CLI::App& program, Run& run) {
  CLI::App* command = program.add_subcommand("train", "Trains a tutorial's network and writes a report");
  command->require_subcommand(1);
  command->footer("Example: gradus train planar --hidden 5 --out out");

  const auto planar = std::make_shared<PlanarOptions>();
  CLI::App* on_planar = command->add_subcommand("planar", "The first tutorial: points in the plane");
  add_options(*on_planar, *planar);
  on_planar->footer("Example: gradus train planar --hidden 5 --iterations 5000 --out out");
  on_planar->callback([planar, &run] {
    run = [planar] {
      train_planar(*planar);
      return 0;
    };
  });

  const auto cats = std::make_shared<CatsOptions>();
  CLI::App* on_cats = command->add_subcommand("cats", "The second tutorial: pictures of cats");
  add_options(*on_cats, *cats);
  on_cats->footer("Example: gradus train cats --data FOLDER --iterations 500 --out out");
  on_cats->callback([cats, &run] {
    run = [cats] {
      train_cats(*cats);
      return 0;
    };
  });
}

}  // namespace gradus::examples
