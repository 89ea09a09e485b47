#pragma once
#include <common/cats.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <filesystem>
#include <optional>

namespace gradus::examples {

/// For options: a finite number above 0 (at least 0). CLI11's own checks let NaN pass.
inline CLI::Validator number_check(const char* words, bool (*good)(double)) {
  return {[=](const std::string& text) {
            double value = 0;
            const bool ok = CLI::detail::lexical_cast(text, value) && std::isfinite(value) && good(value);
            return ok ? "" : fmt::format("must be {}: {}", words, text);
          },
          ""};
}
inline const CLI::Validator kPositive = number_check("above 0", [](double v) { return v > 0; });
inline const CLI::Validator kNotNegative = number_check("at least 0", [](double v) { return v >= 0; });

/// The options that both tutorials have.
struct TutorialOptions {
  std::string optimizer = "sgd", dtype = "float64", out = "out";
  std::optional<double> lr;
  double l2 = 0;
  int64_t iterations = 0, seed = 0;
  bool quiet = false;

  Dtype element_type() const { return dtype == "float32" ? kFloat32 : kFloat64; }
  double learning_rate(double for_sgd) const { return lr.value_or(optimizer == "sgd" ? for_sgd : 0.005); }
};

inline void add_options(CLI::App& app, TutorialOptions& options, const std::string& lr_for_sgd) {
  app.add_option("--optimizer", options.optimizer, "How the weights are updated")
      ->check(CLI::IsMember({"sgd", "adam", "rmsprop"}))
      ->capture_default_str();
  app.add_option("--lr", options.lr, "Learning rate [" + lr_for_sgd + "; adam and rmsprop: 0.005]")
      ->check(kPositive);
  app.add_option("--iterations", options.iterations, "How often the weights are updated")
      ->check(kPositive)
      ->capture_default_str();
  app.add_option("--l2", options.l2, "Weight decay: this times the weights is added to their gradients")
      ->check(kNotNegative)
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Of the initial weights, as np.random.seed takes it")
      ->check(number_check("in [0, 2^32)", [](double v) { return v >= 0 && v < 4294967296; }))
      ->capture_default_str();
  app.add_option("--dtype", options.dtype, "Precision of all numbers")
      ->check(CLI::IsMember({"float64", "float32"}))
      ->capture_default_str();
  app.add_option("--out", options.out, "Folder for the pictures")->capture_default_str();
  app.add_flag("--quiet", options.quiet, "No costs and no progress bar");
}

struct PlanarOptions : TutorialOptions {
  int64_t hidden = 4;
  std::string activation = "tanh", output = "sigmoid", data = "flower";
  PlanarOptions() {
    iterations = 10000;
    seed = 2;
  }
};

inline void add_options(CLI::App& app, PlanarOptions& options) {
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
}

struct CatsOptions : TutorialOptions {
  std::string data;
  std::vector<int64_t> layers = {kCatPixels, 20, 7, 5, 1};
  double clip = 0, dropout = 0;
  CatsOptions() {
    iterations = 2500;
    seed = 1;
  }
};

inline void add_options(CLI::App& app, CatsOptions& options) {
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
  app.parse_complete_callback([&options] {
    const std::vector<int64_t>& sizes = options.layers;
    if (sizes.size() < 2 || sizes.front() != kCatPixels || sizes.back() != 1)
      throw CLI::ValidationError("--layers", fmt::format("must begin with {}, the pixels, and end with 1: {}",
                                                         kCatPixels, fmt::join(sizes, ",")));
  });
}

/// main() of a tutorial: reads the options and runs the tutorial. Returns 2 after bad options and 1 after
/// another error, with the reason on stderr.
inline int run_program(CLI::App& app, int argc, char** argv, const std::function<void()>& tutorial) {
  try {
    app.parse(argc, argv);
    tutorial();
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", std::filesystem::path(argv[0]).filename().string(), error.what());
    return 1;
  }
}

}  // namespace gradus::examples
