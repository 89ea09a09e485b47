// The second tutorial: a deep network learns to tell pictures of cats from others.
#include <common/cats.h>
#include <common/file.h>
#include <common/program.h>
#include <gradus/gradus.h>

#include <filesystem>

using namespace gradus;
using namespace gradus::examples;

namespace {

void tutorial(const CatsOptions& options) {
  const Cats cats = load_cats(options.data);
  std::filesystem::create_directories(options.out);
  const Dtype dtype = options.element_type();
  const Tensor x = inputs(cats.train, dtype), y = labels(cats.train, dtype);
  const Tensor test_x = inputs(cats.test, dtype), test_y = labels(cats.test, dtype);
  fmt::print("{} pictures to learn from, {} to test; a network {}, {}\n", cats.train.samples,
             cats.test.samples, fmt::join(options.layers, " -> "), options.dtype);

  manual_seed(static_cast<uint64_t>(options.seed));  // for dropout
  CatsNetwork network(options.layers, dtype, options.seed, options.dropout, options.clip);
  const double lr = options.learning_rate(0.0075);
  const CostCurve curve = train(nn::parameters(network), [&] { return network.cost(x, y); },
                                {.optimizer = options.optimizer,
                                 .lr = lr,
                                 .l2 = options.l2,
                                 .iterations = options.iterations,
                                 .record_every = 10,
                                 .print_every = 100,
                                 .title = options.quiet ? "" : "cats"});

  nn::eval(network);
  NoGrad no_grad;
  const Tensor test_a = network(test_x);
  fmt::print("Accuracy: train {:.10f}, test {:.2f}\n", accuracy(network(x), y), accuracy(test_a, test_y));

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
  return run_program("Trains the second tutorial's network on pictures of cats.", argc, argv, tutorial);
}
