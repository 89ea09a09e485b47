#include "conformance.h"

#include <common/file.h>
#include <common/npy.h>
#include <gmock/gmock.h>
#include <gradus/autograd/ops/create.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "needs.h"

namespace gradus::conformance {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

void write_array(const fs::path& path, const std::vector<double>& values, const Shape& shape) {
  examples::Array array{kFloat64, shape, std::vector<std::byte>(values.size() * sizeof(double))};
  std::memcpy(array.data.data(), values.data(), array.data.size());
  examples::write_npy(path.string(), array);
}

/// Corrupts an array: another value in the last place, and a file as well-formed as before.
void add_to_last(const fs::path& path, double by) {
  examples::Array array = examples::read_npy(path.string());
  std::byte* last = array.data.data() + array.data.size() - sizeof(double);
  double value;
  std::memcpy(&value, last, sizeof value);
  value += by;
  std::memcpy(last, &value, sizeof value);
  examples::write_npy(path.string(), array);
}

/// y = x² with both orders, a script, an optimizer, a training run of two steps and a gain, all done by hand.
constexpr const char* kManifest = R"({"cases": [
  {"name": "square", "kind": "op", "tier": 1, "dir": "c", "tol": {"rtol": 1e-9, "atol": 1e-11},
   "inputs": [{"name": "x", "file": "x.npy", "requires_grad": true, "grad": "grad.npy"}],
   "program": [{"op": "square", "in": ["x"], "attrs": {}, "out": ["y"]}],
   "outputs": [{"name": "y", "file": "y.npy", "grad_output": "g.npy"}],
   "second": {"v": [{"of": "x", "file": "v.npy"}], "grad_grad": [{"of": "x", "file": "gg.npy"}],
              "grad_go": [{"of": "y", "file": "ggo.npy"}]}},
  {"name": "steps", "kind": "script", "tier": 2, "dir": "c",
   "inputs": [{"name": "x", "file": "x.npy", "requires_grad": true}],
   "steps": [{"do": "op", "op": "square", "in": ["x"], "attrs": {}, "out": ["y"]},
             {"do": "expect_error", "step": {"do": "backward", "of": "y"}, "why": "no gradient"},
             {"do": "expect_value", "of": "y", "file": "y.npy"},
             {"do": "repeat", "times": 2, "steps": [{"do": "op", "op": "sum", "in": ["y"], "attrs": {"dim": null}, "out": ["s"]}]},
             {"do": "backward", "of": "s"}, {"do": "expect_grad", "of": "x", "file": "two_x.npy"},
             {"do": "expect_flag", "of": "y", "flag": "is_leaf", "value": false}]},
  {"name": "descent", "kind": "optim", "tier": 1, "dir": "c", "optimizer": "SGD", "args": {"lr": 0.5}, "steps": 2,
   "no_grad_for_param1_at_steps": [],
   "params": [{"shape": [3], "start": "x.npy", "grads": "gs.npy", "expected": "xs.npy"}]},
  {"name": "training", "kind": "train", "tier": 1, "dir": "c", "optimizer": "SGD", "args": {"lr": 0.25},
   "data": [], "iterations": 2, "record_every": 1, "losses": "losses.npy", "loss": "s", "check": ["losses", "params"],
   "program": [{"op": "square", "in": ["x"], "out": ["y"]}, {"op": "sum", "in": ["y"], "out": ["s"]}],
   "params": [{"name": "x", "start": "x.npy", "grad_at_0": "two_x.npy", "final": "final.npy"}]},
  {"name": "gain", "kind": "gain", "tier": 3, "dir": "c", "nonlinearity": "tanh", "param": null, "gain": 1.6666666666666667},
  {"name": "unknown op", "kind": "op", "tier": 3, "dir": "c", "inputs": [], "outputs": [],
   "program": [{"op": "no_such_op", "in": [], "attrs": {}, "out": []}]},
  {"name": "unknown kind", "kind": "sched", "tier": 3, "dir": "c", "scheduler": "StepLR"}
]})";

const std::vector<std::string> kExpected = {"grad", "y", "gg", "ggo", "two_x", "xs", "losses", "final"};

void write_corpus(const fs::path& folder) {
  examples::write_file((folder / "manifest.json").string(), std::string_view(kManifest));
  const fs::path c = folder / "c";
  write_array(c / "x.npy", {1, -2, 3}, {3});
  write_array(c / "y.npy", {1, 4, 9}, {3});
  write_array(c / "g.npy", {1, 10, 100}, {3});
  write_array(c / "grad.npy", {2, -40, 600}, {3});
  write_array(c / "v.npy", {2, 3, 5}, {3});
  write_array(c / "gg.npy", {4, 60, 1000}, {3});
  write_array(c / "ggo.npy", {4, -12, 30}, {3});
  write_array(c / "two_x.npy", {2, -4, 6}, {3});
  write_array(c / "gs.npy", {2, 2, 2, 4, 4, 4}, {2, 3});
  write_array(c / "xs.npy", {0, -3, 2, -2, -5, 0}, {2, 3});
  write_array(c / "losses.npy", {14, 3.5, 0.875}, {3});
  write_array(c / "final.npy", {0.25, -0.5, 0.75}, {3});
}

TEST(Conformance, EveryKindPassesByHand) {
  const TemporaryFolder folder;
  write_corpus(folder.path());
  std::ostringstream out;
  const Counts all = run_folder(folder.path(), {.list_skipped = true}, out);
  EXPECT_EQ(all.passed, 5) << out.str();
  EXPECT_EQ(all.failed, 0) << out.str();
  EXPECT_EQ(all.skipped, 2);
  EXPECT_EQ(out.str(),
            "skipped unknown op: no op 'no_such_op'\nskipped unknown kind: no kind 'sched': StepLR\n");

  std::ostringstream first;
  const Counts tier1 = run_folder(folder.path(), {.tier = 1}, first);
  EXPECT_EQ(tier1.passed, 3);
  EXPECT_EQ(tier1.skipped, 0);
}

TEST(Conformance, ACorruptedExpectationFails) {
  for (const std::string& name : kExpected) {
    const TemporaryFolder folder;
    write_corpus(folder.path());
    add_to_last(folder / ("c/" + name + ".npy"), 1e-3);
    std::ostringstream out;
    const Counts counts = run_folder(folder.path(), {}, out);
    const int users = name == "y" || name == "two_x" ? 2 : 1;
    EXPECT_EQ(counts.failed, users) << name << "\n" << out.str();
    EXPECT_EQ(counts.passed, 5 - users) << name;
    EXPECT_THAT(out.str(), HasSubstr("[2]: got ")) << name;
  }
}

TEST(Conformance, WhatIsUnreadableIsNoVerdict) {
  const auto message = [](const fs::path& path) -> std::string {
    std::ostringstream out;
    try {
      run_folder(path, {}, out);
    } catch (const CorpusError& e) {
      return e.what();
    }
    return "nothing was thrown";
  };
  const TemporaryFolder folder;
  EXPECT_THAT(message(folder.path()), HasSubstr("manifest.json: cannot be read"));
  examples::write_file(folder / "manifest.json", std::string_view("{\"cases\": [}"));
  EXPECT_THAT(message(folder.path()), HasSubstr("malformed JSON"));
  examples::write_file(folder / "manifest.json", std::string_view("{\"cases\": [{\"name\": \"a\"}]}"));
  EXPECT_THAT(message(folder.path()), HasSubstr("case 'a'"));
  write_corpus(folder.path());
  fs::resize_file(folder / "c/y.npy", 130);
  EXPECT_THAT(message(folder.path()), HasSubstr("y.npy"));
  fs::remove(folder / "c/y.npy");
  EXPECT_THAT(message(folder.path()), HasSubstr("y.npy"));
}

TEST(Conformance, ComparesAsTheFormatSays) {
  const double inf = INFINITY, nan = NAN;
  const auto differs = [](double got, double want) {
    return !difference(tensor({got}, kFloat64), tensor({want}, kFloat64), 1e-3, 1e-6).empty();
  };
  EXPECT_FALSE(differs(nan, nan));
  EXPECT_FALSE(differs(inf, inf));
  EXPECT_FALSE(differs(-0.0, 0.0));
  EXPECT_FALSE(differs(1000.9, 1000));
  EXPECT_TRUE(differs(1001.1, 1000));
  EXPECT_TRUE(differs(inf, -inf));
  EXPECT_TRUE(differs(1e308, inf));
  EXPECT_TRUE(differs(inf, 1e308));
  EXPECT_TRUE(differs(nan, 0));
  EXPECT_TRUE(differs(0, nan));
  EXPECT_EQ(difference(zeros({2}), zeros({2, 1}), 0, 0), "got shape [2], want [2, 1]");
  EXPECT_EQ(difference(zeros({2}), zeros({2}, kFloat64), 0, 0), "got float32, want float64");
  EXPECT_EQ(difference(tensor({{1, 2}, {3, 4}}), tensor({{1, 2}, {5, 4}}), 9, 9), "[1, 0]: got 3, want 5");
  EXPECT_EQ(difference({}, zeros({2}), 0, 0), "missing");
}

/// Of the corpus that GRADUS_CORPUS names: tier 1 as it is, and one case of it with one wrong element.
class ConformanceCorpus : public testing::Test {
 protected:
  void SetUp() override {
    GRADUS_SKIP_WITHOUT(environment("GRADUS_CORPUS"));
    corpus = std::getenv("GRADUS_CORPUS");
  }
  fs::path corpus;
};

TEST_F(ConformanceCorpus, TierOneIsWhole) {
  std::ostringstream out;
  const Counts counts = run_folder(corpus, {.tier = 1, .list_skipped = true}, out);
  EXPECT_EQ(counts.failed, 0) << out.str();
  EXPECT_EQ(counts.skipped, 0) << out.str();
  EXPECT_GT(counts.passed, 0);
}

TEST_F(ConformanceCorpus, OneCorruptedCaseIsOneFailure) {
  GRADUS_SKIP_WITHOUT(fs::exists(corpus / "exp_basic"), "a corpus with the case exp_basic");
  const TemporaryFolder folder;
  fs::copy(corpus / "exp_basic", folder / "exp_basic", fs::copy_options::recursive);
  examples::write_file(folder / "manifest.json", std::string_view(R"({"cases": [
    {"name": "exp_basic", "kind": "op", "tier": 1, "dir": "exp_basic", "tol": {"rtol": 1e-9, "atol": 1e-11},
     "program": [{"op": "exp", "in": ["in0"], "attrs": {}, "out": ["out0"]}],
     "inputs": [{"name": "in0", "file": "in0.npy", "requires_grad": true, "grad": "grad_in0.npy"}],
     "outputs": [{"name": "out0", "file": "out_out0.npy", "grad_output": "go_out0.npy"}]}]})"));
  std::ostringstream out;
  EXPECT_EQ(run_folder(folder.path(), {}, out).passed, 1) << out.str();

  add_to_last(folder / "exp_basic/grad_in0.npy", 1e-3);
  const Counts counts = run_folder(folder.path(), {}, out);
  EXPECT_EQ(counts.failed, 1);
  EXPECT_EQ(counts.passed, 0);
  EXPECT_THAT(out.str(), HasSubstr("FAILED exp_basic: gradient of in0: [2, 3]: got "));
}

}  // namespace
}  // namespace gradus::conformance
