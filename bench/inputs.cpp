#include "inputs.h"

#include <common/datasets.h>
#include <gradus/autograd/base/random.h>

#include <cmath>

namespace bench {
namespace {

std::vector<double> normal(gradus::NumpyRandom& random, int64_t out, int64_t in, double scale) {
  std::vector<double> weight = random.randn(out * in);
  for (double& w : weight) w *= scale;
  return weight;
}
std::vector<double> layer(gradus::NumpyRandom& random, int64_t out, int64_t in) {
  return normal(random, out, in, 1 / std::sqrt(static_cast<double>(in)));
}

}  // namespace

Inputs planar_inputs() {
  const auto flower = gradus::examples::load_planar_dataset();
  Inputs inputs{{"planar_X", flower.x}, {"planar_Y", flower.y}};
  auto random = gradus::numpy_random(2);
  inputs["planar_W1"] = normal(random, 4, 2, 0.01);
  inputs["planar_W2"] = normal(random, 1, 4, 0.01);
  return inputs;
}

Inputs cats_inputs(const std::string& folder) {
  const auto train = gradus::examples::load_cats(folder).train;
  Inputs inputs{{"cats_X", train.x}, {"cats_Y", train.y}};
  auto random = gradus::numpy_random(1);
  const int64_t sizes[] = {12288, 20, 7, 5, 1};
  for (int l = 1; l < 5; l++) inputs["cats_W" + std::to_string(l)] = layer(random, sizes[l], sizes[l - 1]);
  return inputs;
}

Inputs mlp_inputs() {
  auto random = gradus::numpy_random(3);
  Inputs inputs{{"mlp_X", normal(random, 64, 784, 1)}};
  for (int i = 0; i < 64; i++) inputs["mlp_Y"].push_back(i % 10);
  const int64_t sizes[] = {784, 512, 512, 10};
  for (int l = 1; l < 4; l++) inputs["mlp_W" + std::to_string(l)] = layer(random, sizes[l], sizes[l - 1]);
  return inputs;
}

}  // namespace bench
