// A training step recorded once and run again: the same kernels on the same memory, without the graph.
#include <common/datasets.h>
#include <gradus/gradus.h>

#include <algorithm>
#include <chrono>

using namespace gradus;

namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// The moons in batches of 50 points, and a network that learns them.
struct Training {
  static constexpr int64_t kBatch = 50;
  nn::Sequential model;
  optim::Adam optimizer;
  Tensor points, labels;  // all
  Tensor x, y;            // a batch
  Tensor loss;

  explicit Training(const examples::Dataset& data)
      : model{nn::Linear(2, 16), nn::Tanh(), nn::Linear(16, 1)},
        optimizer(nn::parameters(model), {.lr = 0.02}),
        points(tensor(data.x, {data.samples, 2})),
        labels(tensor(data.y, {data.samples, 1})),
        x(empty({kBatch, 2})),
        y(empty({kBatch, 1})) {}

  /// New input goes into the old tensors: a replay reads them again.
  void load(int64_t batch) {
    const int64_t first = batch * kBatch % points.size(0);
    x.copy_(points.slice(0, first, first + kBatch));
    y.copy_(labels.slice(0, first, first + kBatch));
  }
  void step() {
    optimizer.zero_grad();
    loss = binary_cross_entropy_with_logits(model(x), y);
    loss.backward();
    optimizer.step();
  }
};

}  // namespace

int main() {
  const examples::Dataset moons = examples::make_moons(200, 0.15);
  constexpr int kBatches = 2000, kWarmup = 2;

  // Step by step. The first batch comes three times, as it will below.
  manual_seed(1);
  Training eager(moons);
  double start = seconds();
  for (int i = -kWarmup; i < kBatches; i++) {
    eager.load(std::max(i, 0));
    eager.step();
  }
  const double eager_time = seconds() - start;

  // Recorded: two steps to warm up, one that is taken down, then replays. What changes from step to step is
  // loaded outside; the learning rate and Adam's step count go on by themselves.
  manual_seed(1);
  Training recorded(moons);
  start = seconds();
  recorded.load(0);
  Replay step = record([&] { recorded.step(); }, kWarmup);
  for (int i = 1; i < kBatches; i++) {
    recorded.load(i);
    step();
  }
  const double replay_time = seconds() - start;

  fmt::print("{} steps, one by one:    {:6.1f} ms   loss {:.6f}\n", kBatches + kWarmup, eager_time * 1e3,
             eager.loss.item());
  fmt::print("recorded and replayed:     {:6.1f} ms   loss {:.6f}   {} kernels a step\n", replay_time * 1e3,
             recorded.loss.item(), step.kernels());

  // The same bits, not only about the same numbers.
  const Tensors a = nn::parameters(eager.model), b = nn::parameters(recorded.model);
  for (size_t i = 0; i < a.size(); i++)
    if (a[i].to_vector() != b[i].to_vector()) return 1;
  fmt::print("All parameters are equal to the last bit.\n");
  return recorded.loss.item() < 0.1 ? 0 : 1;
}
