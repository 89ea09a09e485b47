// How time grows with the batch, the width and the depth of a network, with the size of a graph and with the
// number of threads: as JSON, and as pictures.
#include <common/file.h>
#include <common/svg.h>
#include <fmt/format.h>
#include <gradus/gradus.h>

#include <algorithm>
#include <CLI/CLI.hpp>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "program.h"

namespace {

using namespace gradus;
using bench::now;

/// The least seconds of f(), called for at least 0.2 s and 5 times after two calls that do not count.
double seconds(const std::function<void()>& f) {
  f();
  f();
  double least = 1e9;
  int calls = 0;
  for (const double end = now() + 0.2; calls < 5 || now() < end; calls++) {
    const double start = now();
    f();
    least = std::min(least, now() - start);
  }
  return least;
}

/// A network of layers of these widths with ReLU between them, and a step of its training on random samples.
/// Its signals keep their size at any depth (denormal numbers would be slow), and its learning rate is 0, so
/// that all steps are alike.
class Network {
 public:
  Network(const std::vector<int64_t>& widths, int64_t batch)
      : layers_(make(widths)),
        optimizer_(nn::parameters(layers_), {.lr = 0}),
        x_(randn({batch, widths.front()})),
        target_(randn({batch, widths.back()})) {}

  void step() {
    optimizer_.zero_grad();
    Tensor y = x_;
    for (size_t i = 0; i + 1 < layers_.size(); i++) y = relu(layers_[i](y));
    mse_loss(layers_.back()(y), target_).backward();
    optimizer_.step();
  }

 private:
  static std::vector<nn::Linear> make(const std::vector<int64_t>& widths) {
    std::vector<nn::Linear> layers;
    for (size_t i = 0; i + 1 < widths.size(); i++)
      nn::init::kaiming_normal_(layers.emplace_back(widths[i], widths[i + 1]).weight);
    return layers;
  }

  std::vector<nn::Linear> layers_;
  optim::SGD optimizer_;
  Tensor x_, target_;
};
double step_seconds(const std::vector<int64_t>& widths, int64_t batch) {
  Network network(widths, batch);
  return seconds([&] { network.step(); });
}

struct Curves {
  std::string name;
  examples::LineChart chart;
};
const std::vector<int64_t> kMlp{784, 512, 512, 10};

/// One curve through y(n) for n = 2^first, 2^(first + 1) … 2^last.
examples::Series powers(const std::string& name, int first, int last,
                        const std::function<double(int64_t)>& y) {
  examples::Series series{name, {}, {}};
  for (int power = first; power <= last; power++) {
    fmt::print(stderr, "{}: 2^{}\n", name, power);
    series.x.push_back(power);
    series.y.push_back(y(int64_t(1) << power));
  }
  return series;
}
/// A curve for one thread, and one for two where the machine has them.
std::vector<examples::Series> for_threads(int first, int last, const std::function<double(int64_t)>& y) {
  std::vector<examples::Series> series;
  for (int threads = 1; threads <= std::min(2, static_cast<int>(std::thread::hardware_concurrency()));
       threads++) {
    set_num_threads(threads);
    series.push_back(powers(fmt::format("{} thread{}", threads, threads > 1 ? "s" : ""), first, last, y));
  }
  set_num_threads(1);
  return series;
}

std::vector<Curves> measure() {
  std::vector<Curves> all;
  all.push_back({"batch",
                 {"A training step of the network 784-512-512-10", "log2 of the batch",
                  "microseconds per sample", for_threads(0, 10, [](int64_t batch) {
                    return step_seconds(kMlp, batch) / static_cast<double>(batch) * 1e6;
                  })}});
  all.push_back({"width",
                 {"A training step of three square layers, batch 64", "log2 of the width",
                  "picoseconds per multiply-add", for_threads(2, 10, [](int64_t width) {
                    const double products = 3 * 3 * 64 * static_cast<double>(width * width);
                    return step_seconds({width, width, width, width}, 64) / products * 1e12;
                  })}});
  all.push_back({"depth",
                 {"A training step of layers of 32 units, batch 32",
                  "log2 of the depth",
                  "microseconds per layer",
                  {powers("one thread", 0, 9, [](int64_t depth) {
                    return step_seconds(std::vector<int64_t>(static_cast<size_t>(depth + 1), 32), 32) /
                           static_cast<double>(depth) * 1e6;
                  })}}});
  all.push_back({"graph",
                 {"A chain of scalar additions, with backward",
                  "log2 of the number of ops",
                  "nanoseconds per op",
                  {powers("one thread", 2, 21, [](int64_t ops) {
                    const Tensor x = ones({}).requires_grad_(), b = ones({});
                    return seconds([&] {
                             Tensor y = x;
                             for (int64_t i = 0; i < ops; i++) y = y + b;
                             y.backward();
                           }) /
                           static_cast<double>(ops) * 1e9;
                  })}}});
  const auto of_batch = [](int64_t batch) { return step_seconds(kMlp, batch); };
  const examples::Series one = powers("one thread", 0, 10, of_batch);
  Curves speedup{"threads",
                 {"More threads on a training step of 784-512-512-10",
                  "log2 of the batch",
                  "times as fast as one thread",
                  {}}};
  for (int threads = 2; threads <= static_cast<int>(std::thread::hardware_concurrency()); threads *= 2) {
    set_num_threads(threads);
    examples::Series more = powers(fmt::format("{} threads", threads), 0, 10, of_batch);
    for (size_t i = 0; i < more.y.size(); i++) more.y[i] = one.y[i] / more.y[i];
    speedup.chart.series.push_back(more);
  }
  set_num_threads(1);
  if (!speedup.chart.series.empty()) all.push_back(speedup);
  return all;
}

nlohmann::ordered_json to_json(const examples::LineChart& chart) {
  nlohmann::ordered_json json{{"title", chart.title}, {"x", chart.x_label}, {"y", chart.y_label}};
  for (const examples::Series& s : chart.series)
    json["series"].push_back({{"name", s.name}, {"x", s.x}, {"y", s.y}});
  return json;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures how time grows, and draws it");
  std::string data = ".", images = ".";
  app.add_option("--data", data, "Folder for curves.json")->capture_default_str();
  app.add_option("--images", images, "Folder for the pictures")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    set_num_threads(1);
    manual_seed(1);
    nlohmann::ordered_json json;
    for (const Curves& curves : measure()) {
      examples::write_file(fmt::format("{}/time_{}.svg", images, curves.name),
                           examples::to_svg(curves.chart));
      json[curves.name] = to_json(curves.chart);
    }
    examples::write_file(fmt::format("{}/curves.json", data), json.dump(1) + "\n");
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "curves: {}\n", e.what());
    return 1;
  }
}
