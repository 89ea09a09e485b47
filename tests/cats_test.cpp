#include <common/file.h>
#include <common/hdf5.h>
#include <common/training.h>
#include <fmt/format.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/loss.h>
#include <gradus/nn/linear.h>
#include <gradus/nn/module.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>

#include "needs.h"
#include "text_support.h"

// The numbers are those of the tutorial's own NumPy program: NumPy 1.24 in float64.
namespace gradus::examples {
namespace {

Need cat_pictures() {
  return {reads_hdf5() && environment("GRADUS_DATA").there, "libhdf5, and GRADUS_DATA in the environment"};
}

// Every 100 iterations, and after the last.
const std::vector<double> kCatsCosts = {
    0.7717493284237686,  0.6720534400822913,  0.6482632048575212,  0.6115068816101354,  0.567047326836611,
    0.5401376634547801,  0.5279299569455267,  0.46547737717668514, 0.3691258524959279,  0.39174697434805344,
    0.31518698886006163, 0.27269984417893844, 0.23741853400268137, 0.19960120532208644, 0.18926300388463305,
    0.1611885466582775,  0.14821389662363316, 0.1377748781297294,  0.1297401754919012,  0.12122535068005212,
    0.11382060668633709, 0.10783928526254132, 0.10285466069352679, 0.10089745445261787, 0.09287821526472397,
    0.08841251177615041};

/// The tutorial's network on its pictures, as examples/05_cats.cpp makes it.
struct CatNetwork {
  Tensor x, y, test_x, test_y;
  nn::Sequential network = make_network({12288, 20, 7, 5, 1}, "relu", kFloat64);

  CatNetwork() {
    const Cats cats = load_cats(std::getenv("GRADUS_DATA"));
    x = inputs(cats.train, kFloat64), y = labels(cats.train, kFloat64);
    test_x = inputs(cats.test, kFloat64), test_y = labels(cats.test, kFloat64);
    init_as_numpy(network, 1, [](double r, double fan_in) { return r / std::sqrt(fan_in); });
  }
  Tensor cost() const { return binary_cross_entropy(sigmoid(network(x)), y); }

  /// Trains and compares the costs with kCatsCosts from `first` iterations on.
  void train_and_compare(int64_t first, int64_t iterations) {
    const CostCurve curve = train(nn::parameters(network), [this] { return cost(); },
                                  {.lr = 0.0075, .iterations = iterations, .record_every = 100});
    ASSERT_EQ(static_cast<int64_t>(curve.costs.size()), iterations / 100 + 1);
    for (size_t i = 0; i < curve.costs.size(); i++) {
      const double expected = kCatsCosts.at(static_cast<size_t>(first / 100) + i);
      EXPECT_NEAR(curve.costs[i], expected, 1e-6 * expected) << "after " << first + curve.iterations[i];
    }
  }
  void expect_accuracies(double train, double test) {
    EXPECT_NEAR(accuracy(sigmoid(network(x)), y), train, 1e-12);
    EXPECT_NEAR(accuracy(sigmoid(network(test_x)), test_y), test, 1e-12);
  }
};

TEST(CatsTutorial, StartsFromTheTutorialsWeights) {
  GRADUS_SKIP_WITHOUT(cat_pictures());
  CatNetwork cats;
  const Tensor& w1 = cats.network.get<nn::Linear>(0).weight;
  EXPECT_EQ(w1.slice(1, 0, 5)[0].to_vector(),
            (std::vector{0.014653378640123331, -0.0055187145328023605, -0.004764689114807226,
                         -0.009679355044279483, 0.007806926996083735}));
  const double sums[] = {7.373509610089012,  0, -1.466201670703895, 0,
                         1.6281275311147785, 0, 1.0131853302225116, 0};
  const Tensors parameters = nn::parameters(cats.network);
  for (size_t i = 0; i < parameters.size(); i++) EXPECT_NEAR(parameters[i].sum().item(), sums[i], 1e-11) << i;
}

TEST(CatsTutorial, FirstCostAndGradientsAreTheTutorials) {
  GRADUS_SKIP_WITHOUT(cat_pictures());
  CatNetwork cats;
  const Tensor cost = cats.cost();
  EXPECT_NEAR(cost.item(), kCatsCosts[0], 1e-14);
  cost.backward();
  const auto grad = [&](size_t i) { return nn::parameters(cats.network)[i].grad(); };
  EXPECT_NEAR(grad(0).sum().item(), 626.4278747456781, 1e-9);
  EXPECT_NEAR(std::sqrt(square(grad(0)).sum().item()), 6.16034754502858, 1e-12);
  const std::vector<double> w4 = {0.02203237999252514, 0.007995331081221326, 0.053569738213371354,
                                  0.08891858827829911, 0};
  for (int64_t i = 0; i < 5; i++) EXPECT_NEAR(grad(6).at({0, i}), w4[static_cast<size_t>(i)], 1e-14) << i;
  EXPECT_NEAR(grad(7).item(), 0.24655495260645682, 1e-14);
}

TEST(CatsTutorialSlow, FirstTwoHundredIterationsMatch) {
  GRADUS_SKIP_WITHOUT(cat_pictures());
  CatNetwork().train_and_compare(0, 200);
}

TEST(CatsTutorialSlow, LongTheWholeRunMatches) {
  GRADUS_SKIP_WITHOUT(cat_pictures());
  GRADUS_SKIP_WITHOUT(environment("GRADUS_LONG"));
  CatNetwork cats;
  cats.train_and_compare(0, 2000);
  cats.expect_accuracies(205.0 / 209, 0.80);
  cats.train_and_compare(2000, 500);
  cats.expect_accuracies(206.0 / 209, 0.80);
}

const std::string kCatsProgram = "05_cats";

/// The output of the program on `folder`, which must make it end with 1.
std::string error_on(const TemporaryFolder& folder, const std::string& options = "") {
  const Outcome outcome = run_program(
      kCatsProgram, "--iterations 1 --out " + folder / "out" + " --data " + folder.path() + " " + options);
  EXPECT_EQ(outcome.code, 1) << outcome.text;
  return outcome.text;
}

TEST(CatsProgram, BadFilesAreNamed) {
  GRADUS_SKIP_WITHOUT(cat_pictures());
  GRADUS_SKIP_WITHOUT(kCatsProgram);
  const TemporaryFolder folder;
  const std::string train = folder / "train_catvnoncat.h5", test = folder / "test_catvnoncat.h5";
  const std::string whole_test = std::getenv("GRADUS_DATA") + std::string("/test_catvnoncat.h5");
  std::string text = error_on(folder);
  EXPECT_TRUE(contains(text, train + ": no such file")) << text;

  const std::vector<std::byte> whole =
      read_file("test", std::getenv("GRADUS_DATA") + std::string("/train_catvnoncat.h5"));
  std::filesystem::copy_file(whole_test, test);
  write_file(train, std::span(whole).first(whole.size() / 2));
  text = error_on(folder);
  EXPECT_TRUE(contains(text, train) && contains(text, "truncated")) << text;

  std::filesystem::copy_file(whole_test, train, std::filesystem::copy_options::overwrite_existing);
  text = error_on(folder);
  EXPECT_TRUE(contains(text, train + ": dataset 'train_set_x': not found")) << text;

  // The shape as the file holds it, 209 x 64 x 64 x 3, with another height.
  std::vector<std::byte> narrow = whole;
  const int64_t shape[] = {209, 64, 64, 3}, height = 32;
  void* at = memmem(narrow.data(), narrow.size(), shape, sizeof shape);
  ASSERT_NE(at, nullptr);
  std::memcpy(static_cast<std::byte*>(at) + sizeof height, &height, sizeof height);
  write_file(train, narrow);
  text = error_on(folder);
  EXPECT_TRUE(contains(text, "found uint8 [209, 32, 64, 3], expected uint8 [-1, 64, 64, 3]")) << text;
  EXPECT_FALSE(std::filesystem::exists(folder / "out")) << "nothing is written after an error";
}

TEST(CatsProgram, EveryOptionTrains) {
  GRADUS_SKIP_WITHOUT(cat_pictures());
  GRADUS_SKIP_WITHOUT(kCatsProgram);
  const TemporaryFolder folder;
  for (const char* options :
       {"--layers 12288,1", "--layers 12288,4,3,1 --dropout 0.2 --clip 1e-8 --l2 0.1",
        "--dtype float32 --optimizer adam --layers 12288,5,1", "--optimizer rmsprop --quiet"}) {
    const Outcome outcome =
        run_program(kCatsProgram, fmt::format("--iterations 3 --data {} --out {} {}",
                                              std::getenv("GRADUS_DATA"), folder / "out", options));
    EXPECT_EQ(outcome.code, 0) << options << '\n' << outcome.text;
    EXPECT_TRUE(contains(outcome.text, "Accuracy: train 0.")) << outcome.text;
    for (const char* name : {"out/cats_cost.svg", "out/cats_mislabelled.svg"})
      EXPECT_TRUE(std::filesystem::remove(folder / name)) << name << " after " << options;
  }
}

TEST(Training, RefusesCountsThatNothingCanBeCountedBy) {
  const Tensor w = tensor({1.}).requires_grad_();
  for (const TrainingOptions& bad : {TrainingOptions{.lr = 1, .iterations = -1},
                                     {.lr = 1, .iterations = 3, .record_every = 0},
                                     {.lr = 1, .iterations = 3, .print_every = 0}})
    EXPECT_TRUE(contains(error_of([&] {
                           train(
                               {w}, [&] { return square(w).sum(); }, bad);
                         }),
                         "record_every and print_every at least 1"));
}

// Every program of the cats finds them where the environment says, unless --data says otherwise.
TEST(CatsProgram, TheEnvironmentNamesTheFolder) {
  for (const auto& [program, command] :
       std::map<std::string, const char*>{{kCatsProgram, ""}, {"gradus", " train cats"}}) {
    GRADUS_SKIP_WITHOUT(program);
    const std::string run = "'" + path_of_program(program) + "'" + command;
    for (const char* without : {"env -u GRADUS_DATA ", "GRADUS_DATA= "}) {
      const Outcome outcome = run_command(without + run);
      EXPECT_EQ(outcome.code, 2) << outcome.text;
      EXPECT_TRUE(contains(outcome.text, "--data, or GRADUS_DATA in the environment, is required"))
          << outcome.text;
    }
    if (!reads_hdf5()) continue;
    const TemporaryFolder folder;
    const std::string there = "GRADUS_DATA=/nowhere " + run + " --out " + folder / "out";
    EXPECT_TRUE(contains(run_command(there).text, "/nowhere/train_catvnoncat.h5: no such file"));
    EXPECT_TRUE(contains(run_command(there + " --data /elsewhere").text,
                         "/elsewhere/train_catvnoncat.h5: no such file"));
  }
}

TEST(CatsProgram, BadOptionsAreRefused) {
  GRADUS_SKIP_WITHOUT(kCatsProgram);
  const auto expect_refused = [](const std::string& options, const std::string& reason) {
    const Outcome outcome = run_program(kCatsProgram, options);
    EXPECT_EQ(outcome.code, 2) << outcome.text;
    EXPECT_TRUE(contains(outcome.text, reason)) << outcome.text;
  };
  expect_refused("--data . --clip 0.5", "--clip: must be in [0, 0.5): 0.5");
  expect_refused("--data . --dropout 1", "--dropout: must be in [0, 1): 1");
  expect_refused("--data . --layers 12288,0,1", "--layers: must be above 0: 0");
  expect_refused("--data . --layers 12287,20,1",
                 "--layers: must begin with 12288, the pixels, and end with 1");
  expect_refused("--data . --layers 12288,20,2",
                 "--layers: must begin with 12288, the pixels, and end with 1");
}

}  // namespace
}  // namespace gradus::examples
