#include <gradus/autograd/base/pool.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/loss.h>
#include <gradus/nn/activation.h>
#include <gradus/nn/linear.h>
#include <gradus/nn/module.h>
#include <gradus/nn/sequential.h>
#include <gradus/optim/sgd.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "needs.h"

namespace gradus {
namespace {

int64_t status_kib(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind(name + ":", 0) == 0) return std::atol(line.c_str() + name.size() + 1);
  return 0;
}

/// Peak resident memory in KiB, from now on where `reset`; without the pages of code that grow meanwhile.
int64_t peak_kib(bool reset) {
  if (reset) std::ofstream("/proc/self/clear_refs") << 5;
  return status_kib("VmHWM") - status_kib("RssFile");
}

TEST(Memory, TheCatNetTakesHalfAgainOfItsDataParametersAndActivations) {
  GRADUS_SKIP_WITHOUT(plain_memory());
  const std::vector<int64_t> widths{12288, 20, 7, 5, 1};
  int64_t elements = 209 * widths[0];
  for (size_t i = 1; i < widths.size(); i++) elements += widths[i] * (widths[i - 1] + 1) + 209 * widths[i];
  // What earlier tests gave back would be taken again, and not count.
  Tensors held;
  for (int i = 0; i < 8; i++) held.push_back(full({209, widths[0]}, 1));
  malloc_trim(0);
  const int64_t before = peak_kib(true);
  nn::Sequential model{nn::Linear(12288, 20), nn::ReLU(), nn::Linear(20, 7), nn::ReLU(),
                       nn::Linear(7, 5),      nn::ReLU(), nn::Linear(5, 1),  nn::Sigmoid()};
  const Tensor x = full({209, widths[0]}, 0.5), target = zeros({209, 1});
  optim::SGD optimizer(nn::parameters(model), {.lr = 0.0075});
  for (int i = 0; i < 5; i++) {
    optimizer.zero_grad();
    binary_cross_entropy(model(x), target).backward();
    optimizer.step();
  }
  const int64_t least = elements * 4 / 1024, taken = peak_kib(false) - before;
  EXPECT_GE(taken, least / 2) << "it was not measured";
  EXPECT_LE(taken, least * 3 / 2);
}

}  // namespace
}  // namespace gradus
