#pragma once
#include <common/cats.h>

#include <optional>

namespace gradus::examples {

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

struct PlanarOptions : TutorialOptions {
  int64_t hidden = 4;
  std::string activation = "tanh", output = "sigmoid", data = "flower";
  PlanarOptions() {
    iterations = 10000;
    seed = 2;
  }
};

struct CatsOptions : TutorialOptions {
  std::string data;
  std::vector<int64_t> layers = {kCatPixels, 20, 7, 5, 1};
  double clip = 0, dropout = 0;
  CatsOptions() {
    iterations = 2500;
    seed = 1;
  }
};

/// main() of a tutorial: reads the options and runs the tutorial; for PlanarOptions and CatsOptions. Returns
/// 2 after bad options and 1 after another error, with the reason on stderr.
template <class Options>
int run_program(const char* description, int argc, char** argv, void (*tutorial)(const Options&));

}  // namespace gradus::examples
