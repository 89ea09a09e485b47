#include <common/cats.h>
#include <common/command_line.h>
#include <common/file.h>
#include <common/graphviz.h>
#include <common/planar.h>
#include <gradus/gradus.h>

#include <map>
#include <memory>

#include "commands.h"

namespace gradus::examples {
namespace {

/// A loss recorded under KeepValues, and what its leaves and inputs are called.
struct Recorded {
  Tensor loss;
  NamedTensors names;
};

Tensor leaf(double value) { return tensor(value, kFloat64).requires_grad_(); }

/// L = (a b + c)²
Recorded chain_rule() {
  const Tensor a = leaf(2), b = leaf(-3), c = leaf(10);
  const Tensor u = a * b, v = u + c;
  return {square(v), {{"a", a}, {"b", b}, {"c", c}, {"u", u}, {"v", v}}};
}

/// One neuron and its cross-entropy, on one sample.
Recorded neuron() {
  const Tensor x = tensor({2., -1.}, kFloat64), y = tensor(1., kFloat64);
  const Tensor w = tensor({0.5, 1.5}, kFloat64).requires_grad_(), b = leaf(-0.25);
  const Tensor z = dot(w, x) + b, a = sigmoid(z);
  return {binary_cross_entropy(a, y), {{"x", x}, {"y", y}, {"w", w}, {"b", b}, {"a", a}}};
}

template <class Network>
Recorded cost_of(Network& network, const Tensor& x, const Tensor& y) {
  Recorded recorded{network.cost(x, y), nn::named_parameters(network)};
  recorded.names.emplace_back("x", x);
  recorded.names.emplace_back("y", y);
  return recorded;
}

/// The first tutorial's network on its flower, as training starts.
Recorded planar() {
  const Dataset flower = load_planar_dataset();
  PlanarNetwork network(4, "tanh", "sigmoid", kFloat64);
  return cost_of(network, inputs(flower, kFloat64), labels(flower, kFloat64));
}

/// The second tutorial's network on eight pictures of noise.
Recorded deep() {
  NumpyRandom random = numpy_random(1);
  const Tensor x = tensor(random.rand(8 * kCatPixels), {8, kCatPixels}, kFloat64);
  const Tensor y = tensor({0., 1., 0., 1., 0., 1., 0., 1.}, kFloat64).reshape({8, 1});
  CatsNetwork network({kCatPixels, 20, 7, 5, 1}, kFloat64, 1);
  return cost_of(network, x, y);
}

/// y = x + down(relu(up(x)))
struct Block {
  nn::Linear up{8, 16, true, kFloat64}, down{16, 8, true, kFloat64};
  Tensor operator()(const Tensor& x) const { return x + down(relu(up(x))); }
  void visit(nn::Visitor& v) { v("up", up), v("down", down); }
};
/// A network of twelve residual blocks: a graph that is folded.
struct Residual {
  nn::Linear first{2, 8, true, kFloat64}, last{8, 1, true, kFloat64};
  std::vector<Block> blocks{12};
  Tensor cost(const Tensor& x, const Tensor& y) const {
    Tensor h = first(x);
    for (const Block& block : blocks) h = block(h);
    return binary_cross_entropy_with_logits(last(h), y);
  }
  void visit(nn::Visitor& v) { v("first", first), v("blocks", blocks), v("last", last); }
};
Recorded residual() {
  manual_seed(1);
  const Dataset moons = make_moons();
  Residual network;
  return cost_of(network, inputs(moons, kFloat64), labels(moons, kFloat64));
}

const std::map<std::string, Recorded (*)()> kGraphs = {{"chain-rule", chain_rule},
                                                       {"neuron", neuron},
                                                       {"planar", planar},
                                                       {"deep", deep},
                                                       {"residual", residual}};

struct Options {
  std::string name, out;
  bool frames = false;
  int64_t most_nodes = DotOptions().most_nodes;
};

/// Writes graphs to files of the kind that the ending of `out` says; several get numbers. All are drawn
/// before the first is written.
void write_graphs(const std::vector<BackwardFrame>& graphs, const std::string& out) {
  const std::filesystem::path path(out);
  const std::string kind = path.extension().string();
  if (kind != ".svg" && kind != ".dot")
    fail<FileError>("graph: {}: the name must end in .svg, for a picture, or in .dot, for Graphviz", out);
  std::vector<std::pair<std::string, std::string>> files;
  for (size_t i = 0; i < graphs.size(); i++) {
    std::filesystem::path file = path;
    if (graphs.size() > 1) file.replace_filename(fmt::format("{}_{}{}", path.stem().string(), i, kind));
    files.emplace_back(file.string(),
                       kind == ".dot" ? graphs[i].dot : to_svg(draw_dot(graphs[i].dot, graphs[i].caption)));
  }
  for (const auto& [file, text] : files) {
    write_file(file, text);
    fmt::print("{}\n", file);
  }
}

void graph(const Options& options) {
  const KeepValues keep;
  const Recorded recorded = kGraphs.at(options.name)();
  const DotOptions dot{.most_nodes = options.most_nodes};
  const std::vector<BackwardFrame> graphs =
      options.frames ? backward_frames(recorded.loss, recorded.names, dot)
                     : std::vector{BackwardFrame{"The graph of " + options.name,
                                                 to_dot(recorded.loss, recorded.names, dot)}};
  if (!options.out.empty()) return write_graphs(graphs, options.out);
  for (const BackwardFrame& g : graphs) fmt::print("{}", g.dot);
}

}  // namespace

void add_graph(CLI::App& program, Run& run) {
  const auto options = std::make_shared<Options>();
  std::vector<std::string> names;
  names.reserve(std::size(kGraphs));
  for (const auto& [name, make] : kGraphs) names.push_back(name);
  CLI::App* command =
      program.add_subcommand("graph", "Draws the graph of a lesson or a model, with gradients");
  command->add_option("NAME", options->name, "What to draw: " + fmt::format("{}", fmt::join(names, ", ")))
      ->required()
      ->check(CLI::IsMember(names));
  command->add_option(
      "--out", options->out,
      "A file .svg, which Graphviz draws, or .dot; without it, DOT goes to the standard output");
  command->add_flag("--frames", options->frames,
                    "One picture for each step of the backward pass, as gradients appear");
  command->add_option("--most-nodes", options->most_nodes, "A graph of more nodes is folded by module")
      ->check(kPositive)
      ->capture_default_str();
  command->footer("Example: gradus graph planar --frames --out out/backward.svg");
  command->callback([options, &run] {
    run = [options] {
      graph(*options);
      return 0;
    };
  });
}

}  // namespace gradus::examples
