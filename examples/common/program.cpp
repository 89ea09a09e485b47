#include <common/command_line.h>
#include <fmt/format.h>

#include <cmath>
#include <filesystem>

namespace gradus::examples {
namespace {

// CLI11's own checks let NaN pass.
CLI::Validator number_check(const char* words, bool (*good)(double)) {
  return {[=](const std::string& text) {
            double value = 0;
            const bool ok = CLI::detail::lexical_cast(text, value) && std::isfinite(value) && good(value);
            return ok ? "" : fmt::format("must be {}: {}", words, text);
          },
          ""};
}
const CLI::Validator kNotNegative = number_check("at least 0", [](double v) { return v >= 0; });

void add_options(CLI::App& app, TutorialOptions& options, const std::string& lr_for_sgd) {
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

}  // namespace

const CLI::Validator kPositive = number_check("above 0", [](double v) { return v > 0; });

void add_options(CLI::App& app, PlanarOptions& options) {
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

void add_options(CLI::App& app, CatsOptions& options) {
  app.add_option("--data", options.data, "Folder of train_catvnoncat.h5 and test_catvnoncat.h5")
      ->envname("GRADUS_DATA");
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
    if (options.data.empty()) throw CLI::RequiredError("--data, or GRADUS_DATA in the environment,");
    const std::vector<int64_t>& sizes = options.layers;
    if (sizes.size() < 2 || sizes.front() != kCatPixels || sizes.back() != 1)
      throw CLI::ValidationError("--layers", fmt::format("must begin with {}, the pixels, and end with 1: {}",
                                                         kCatPixels, fmt::join(sizes, ",")));
  });
}

int run_program(CLI::App& app, int argc, char** argv, const std::function<void()>& program) {
  try {
    app.parse(argc, argv);
    program();
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", std::filesystem::path(argv[0]).filename().string(), error.what());
    return 1;
  }
}

template <class Options>
int run_program(const char* description, int argc, char** argv, void (*tutorial)(const Options&)) {
  Options options;
  CLI::App app(description);
  add_options(app, options);
  return run_program(app, argc, argv, [&] { tutorial(options); });
}
template int run_program(const char*, int, char**, void (*)(const PlanarOptions&));
template int run_program(const char*, int, char**, void (*)(const CatsOptions&));

}  // namespace gradus::examples
