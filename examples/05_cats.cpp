// The second tutorial: a deep network learns to tell pictures of cats from others.
#include <common/file.h>
#include <common/program.h>
#include <common/svg.h>
#include <gradus/gradus.h>

using namespace gradus;
using namespace gradus::examples;

namespace {

constexpr int64_t kPixels = 64 * 64 * 3;

struct Options : TutorialOptions {
  std::string data;
  std::vector<int64_t> layers = {kPixels, 20, 7, 5, 1};
  double clip = 0, dropout = 0;
};

/// The pictures that the network gets wrong, a[i] being the probability that picture i shows a cat.
PictureGrid mislabelled(const Dataset& data, const std::vector<double>& a,
                        const std::vector<std::string>& classes) {
  PictureGrid grid;
  for (int64_t i = 0; i < data.samples; i++) {
    const auto at = static_cast<size_t>(i);
    const bool says_cat = a[at] > 0.5, is_cat = data.y[at] > 0.5;
    if (says_cat == is_cat) continue;
    grid.pictures.push_back(
        {64,
         64,
         pixels(data, i),
         {fmt::format("says {} ({:.0f} %)", classes[says_cat], 100 * (says_cat ? a[at] : 1 - a[at])),
          fmt::format("is {}", classes[is_cat])}});
  }
  grid.title = fmt::format("{} of {} test images are mislabelled", grid.pictures.size(), data.samples);
  return grid;
}

void tutorial(const Options& options) {
  if (options.layers.size() < 2 || options.layers.front() != kPixels || options.layers.back() != 1)
    throw CLI::ValidationError("--layers", fmt::format("must begin with {}, the pixels, and end with 1: {}",
                                                       kPixels, fmt::join(options.layers, ",")));
  const Cats cats = load_cats(options.data);
  std::filesystem::create_directories(options.out);
  const Dtype dtype = options.element_type();
  const Tensor x = inputs(cats.train, dtype), y = labels(cats.train, dtype);
  const Tensor test_x = inputs(cats.test, dtype), test_y = labels(cats.test, dtype);
  fmt::print("{} pictures to learn from, {} to test; a network {}, {}\n", cats.train.samples,
             cats.test.samples, fmt::join(options.layers, " -> "), options.dtype);

  manual_seed(static_cast<uint64_t>(options.seed));  // for dropout
  nn::Sequential network = make_network(options.layers, "relu", dtype, options.dropout);
  init_as_numpy(network, options.seed, [](double r, double fan_in) { return r / std::sqrt(fan_in); });

  const auto cost = [&] {
    Tensor a = sigmoid(network(x));
    if (options.clip > 0) a = clamp(a, options.clip, 1 - options.clip);
    return binary_cross_entropy(a, y);
  };
  const double lr = options.learning_rate(0.0075);
  const CostCurve curve = train(nn::parameters(network), cost,
                                {.optimizer = options.optimizer,
                                 .lr = lr,
                                 .l2 = options.l2,
                                 .iterations = options.iterations,
                                 .record_every = 10,
                                 .print_every = 100,
                                 .title = options.quiet ? "" : "cats"});

  nn::eval(network);
  NoGrad no_grad;
  const Tensor test_a = sigmoid(network(test_x));
  fmt::print("Accuracy: train {:.10f}, test {:.2f}\n", accuracy(sigmoid(network(x)), y),
             accuracy(test_a, test_y));

  const std::string costs = options.out + "/cats_cost.svg", pictures = options.out + "/cats_mislabelled.svg";
  write_file(costs, to_svg(LineChart{fmt::format("Learning rate = {}", lr),
                                     "Iteration",
                                     "Cost",
                                     {{"cost", curve.iterations, curve.costs}}}));
  write_file(pictures, to_svg(mislabelled(cats.test, test_a.to_vector(), cats.classes)));
  fmt::print("Cost curve: {}\nMislabelled test images: {}\n", costs, pictures);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  options.iterations = 2500;
  options.seed = 1;
  CLI::App app("Trains the second tutorial's network on pictures of cats.");
  app.add_option("--data", options.data, "Folder of train_catvnoncat.h5 and test_catvnoncat.h5")->required();
  app.add_option("--layers", options.layers, "Sizes: the pixels, the hidden layers, 1")
      ->delimiter(',')
      ->check(kPositive)
      ->capture_default_str();
  app.add_option("--clip", options.clip, "Keep the probabilities in the cost this far away from 0 and 1")
      ->check(number_check("in [0, 0.5)", [](double v) { return v >= 0 && v < 0.5; }))
      ->capture_default_str();
  app.add_option("--dropout", options.dropout, "How often a hidden unit is switched off in training")
      ->check(number_check("in [0, 1)", [](double v) { return v >= 0 && v < 1; }))
      ->capture_default_str();
  add_options(app, options, "0.0075");
  return run_program(app, argc, argv, [&] { tutorial(options); });
}
