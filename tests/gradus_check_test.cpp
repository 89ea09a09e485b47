#include <common/npy.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gradus/check_file.h>
#include <gradus/expression.h>
#include <gradus/functions.h>
#include <gradus/gradus.h>
#include <gradus/words.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "needs.h"

// `gradus check`: expressions, files, and the program.
namespace gradus::examples {
namespace {

using testing::HasSubstr;

// ---- expressions

const Values kValues = {{"x", tensor({{1., 2.}, {3., 4.}}, kFloat64)},
                        {"w", tensor({{0.5}, {-1.}}, kFloat64)},
                        {"b", tensor(0.25, kFloat64)}};

Tensor value_of(const std::string& text) {
  const std::string path = "test";
  Reader reader(path, tokenize(path, text));
  const Expression e = reader.expression({"x", "w", "b"});
  reader.expect_end_of_line();
  return e(kValues);
}

void expect_value(const std::string& text, const Tensor& expected) {
  const Tensor found = value_of(text);
  ASSERT_EQ(found.shape(), expected.shape()) << text;
  EXPECT_EQ(found.to_vector(), expected.to_vector()) << text;
}

TEST(CheckExpression, ComputesWhatItSays) {
  const Tensor x = kValues.at("x"), w = kValues.at("w"), b = kValues.at("b");
  expect_value("x @ w + b", matmul(x, w) + b);
  expect_value("mean((sigmoid(x @ w + b) - 1)^2)", square(sigmoid(matmul(x, w) + b) - 1).mean());
  expect_value("2 + 3 * 4 ^ 2 ^ 0.5", tensor(2 + 3 * std::pow(4, std::pow(2, 0.5)), kFloat64));
  expect_value("-2 ** 2", tensor(-4., kFloat64));
  expect_value("2 ^ -1", tensor(0.5, kFloat64));
  expect_value("7 - 2 - 1", tensor(4., kFloat64));
  expect_value("8 / 4 / 2 * 3", tensor(3., kFloat64));
  expect_value("--3", tensor(3., kFloat64));
  expect_value("x.T.T", x);
  expect_value("x.T @ w", matmul(x.t(), w));
  expect_value("(x > 2) * x", (x > 2) * x);
  expect_value("sum(x, dim=0, keepdim=True)", x.sum({0}, true));
  expect_value("reshape(x, shape=[4, -1])", x.reshape({4, 1}));
  expect_value("where(x > 1, x, -x)", where(x > 1, x, -x));
  expect_value("max(x)", tensor(4., kFloat64));
  expect_value("binary_cross_entropy(sigmoid(x), x / 4, reduction=\"sum\")",
               binary_cross_entropy(sigmoid(x), x / 4, {}, Reduction::Sum));
  expect_value("[[1, -2], [3e0, .5]]", tensor({{1., -2.}, {3., 0.5}}, kFloat64));
  expect_value("[[1. -2.]\n [3.  0.5]]", tensor({{1., -2.}, {3., 0.5}}, kFloat64));
  expect_value("sum(x,\n  dim=1)  # over rows", x.sum({1}));
  expect_value("\xef\xbb\xbfx\r\n", x);
}

TEST(CheckExpression, EveryFunctionThatIsListedCanBeCalled) {
  // Each row of the op table with the tensors of its first sample; its keywords are numbers, lists and words.
  int called = 0;
  for (const OpRow& row : op_table()) {
    if (!find_function(row.name)) continue;
    const OpSample sample = row.samples()[0];
    Values values;
    std::set<std::string> names;
    std::string text;
    for (const Tensor& x : sample.inputs) {
      const std::string name = fmt::format("x{}", names.size());
      names.insert(name);
      values[name] = x;
      text += (text.empty() ? "" : ", ") + name;
    }
    for (const auto& [keyword, value] : sample.attrs.values()) {
      const std::string written =
          value.index() == 0   ? fmt::format("{}", std::get<double>(value))
          : value.index() == 1 ? fmt::format("[{}]", fmt::join(std::get<std::vector<double>>(value), ", "))
                               : '"' + std::get<std::string>(value) + '"';
      text += fmt::format(", {}={}", keyword, written);
    }
    const std::string path = "test";
    Reader reader(path, tokenize(path, fmt::format("{}({})", row.name, text)));
    const Tensor found = reader.expression(names)(values),
                 expected = row.call(sample.inputs, sample.attrs)[0];
    EXPECT_EQ(found.to_vector(), expected.to_vector()) << row.name;
    called++;
  }
  EXPECT_GT(called, 60);
}

TEST(CheckExpression, NothingThatWorksInPlaceCanBeCalled) {
  for (const OpRow& row : op_table())
    if (std::string_view(row.name).ends_with('_')) {
      EXPECT_EQ(find_function(row.name), nullptr) << row.name;
    }
}

TEST(CheckExpression, SuggestsTheNearestName) {
  EXPECT_EQ(did_you_mean("sigmiod", {"tanh", "sigmoid"}), " (did you mean 'sigmoid'?)");
  EXPECT_EQ(did_you_mean("w1", {"b1", "W1"}), " (did you mean 'W1'?)");
  EXPECT_EQ(did_you_mean("z", {"x", "y"}), "");
  EXPECT_EQ(did_you_mean("convolution", {"sum", "mean"}), "");
}

// ---- files

/// A folder with one check file in it.
class CheckFiles {
 public:
  explicit CheckFiles(const std::string& text) { std::ofstream(path()) << text; }
  std::string path() const { return folder_ / "homework.txt"; }
  const TemporaryFolder& folder() const { return folder_; }
  Outcome run() const { return run_program("gradus", "check " + path()); }

 private:
  TemporaryFolder folder_;
};

const std::string kNeuron =
    "input x = [[1, 2], [3, 4], [5, 6]]\n"
    "input y = [[0], [1], [1]]\n"
    "input w = [[0.1], [-0.2]]\n"
    "input b = 0.3\n"
    "let a = sigmoid(x @ w + b)\n"
    "function mean((a - y)^2)\n";

GradcheckReport report_of(const std::string& text) {
  const CheckFiles files(text);
  const CheckFile file = read_check_file(files.path());
  return check_gradient(file.function, file.point, file.claims, {.names = file.names, .sizes = file.sizes});
}

TEST(CheckFile, RightGradientsOfInputsAndLetsAreAccepted) {
  const GradcheckReport report = report_of(kNeuron +
                                           "let d = 2 * (a - y) / 3   # a step of the backward pass\n"
                                           "gradient a = d\n"
                                           "gradient w = x.T @ (d * a * (1 - a))\n"
                                           "gradient b = sum(d * a * (1 - a))\n"
                                           "gradient x = (d * a * (1 - a)) @ w.T\n");
  EXPECT_TRUE(report) << report.str();
  ASSERT_EQ(report.inputs.size(), 4U);
  for (const GradcheckInput& in : report.inputs) EXPECT_LT(in.error(), 1e-9) << in.name;
}

TEST(CheckFile, AgreesWithAutograd) {
  const CheckFiles files(kNeuron + "gradient w = [[1], [1]]\n");
  const CheckFile file = read_check_file(files.path());
  const Tensor x = tensor({{1., 2.}, {3., 4.}, {5., 6.}}, kFloat64), y = tensor({{0.}, {1.}, {1.}}, kFloat64);
  const Tensor w = tensor({{0.1}, {-0.2}}, kFloat64).requires_grad_();
  const Tensor loss = square(sigmoid(matmul(x, w) + 0.3) - y).mean();
  EXPECT_EQ(file.value, loss.item());
  const Tensor g = grad({loss}, {w})[0];
  EXPECT_TRUE(check_gradient(file.function, file.point, {g}));
  EXPECT_FALSE(check_gradient(file.function, file.point, {1.01 * g}));
}

TEST(CheckFile, WrongGradientsAreNamed) {
  const std::pair<const char*, Finding> cases[] = {
      {"gradient a = -2 * (a - y) / 3", Finding::Sign},
      {"gradient a = 2 * (a - y)", Finding::Size},
      {"gradient b = 2 * (a - y) * a * (1 - a) / 3", Finding::MissingSum},
      {"gradient w = (x.T @ (2 * (a - y) * a * (1 - a)) / 3).T", Finding::Transposed},
      {"gradient w = [[0], [0]]", Finding::NotConnected},
  };
  for (const auto& [claim, finding] : cases) {
    const GradcheckReport report = report_of(kNeuron + claim + "\n");
    EXPECT_FALSE(report) << claim;
    EXPECT_EQ(report.diagnosis().kind, finding) << claim << "\n" << report.str();
  }
}

TEST(CheckFile, TheTutorialsPiecesAreThoseOfTheTutorial) {
  const std::string network =
      "input X = [[1, 2, -1, 0.5], [0.3, -0.7, 1.5, 2]]\n"
      "input Y = [[0, 1, 1, 0]]\n"
      "input W1 = [[0.4 -0.3] [0.8 0.1] [-0.5 0.9]]\n"
      "input b1 = [[0.1], [0], [-0.2]]\n"
      "input W2 = [[1, -0.7, 0.3]]\n"
      "input b2 = [[0.05]]\n";
  const std::string backward =
      "let A1 = tanh(linear_forward(X, W1, b1))\n"
      "let dZ2 = linear_activation_forward(A1, W2, b2, activation=\"sigmoid\") - Y\n"
      "let dZ1 = W2.T @ dZ2 * (1 - A1^2)\n"
      "gradient W2 = dZ2 @ A1.T / 4\n"
      "gradient b2 = sum(dZ2, dim=1, keepdim=True) / 4\n"
      "gradient W1 = dZ1 @ X.T / 4\n"
      "gradient b1 = sum(dZ1, dim=1, keepdim=True) / 4\n";
  const GradcheckReport shallow =
      report_of(network + "function compute_cost(forward_propagation(X, W1, b1, W2, b2), Y)\n" + backward);
  EXPECT_TRUE(shallow) << shallow.str();
  const GradcheckReport deep =
      report_of(network + "function compute_cost(L_model_forward(X, W1, b1, W2, b2), Y)\n" + backward);
  EXPECT_FALSE(deep) << "its hidden layer is relu, not tanh";
}

TEST(CheckFile, ArraysComeFromFilesBesideIt) {
  const CheckFiles files("input x = \"x.npy\"\nfunction sum(x^2)\ngradient x = 2 * x\n");
  std::vector<float> values(600);
  for (size_t i = 0; i < values.size(); i++) values[i] = static_cast<float>(i) / 100;
  const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
  write_npy(files.folder() / "x.npy", {kFloat32, {20, 30}, {bytes, bytes + values.size() * sizeof(float)}});
  const CheckFile file = read_check_file(files.path());
  EXPECT_EQ(file.point[0].dtype(), kFloat64);
  EXPECT_EQ(file.point[0].at({19, 29}), 5.99F);
  EXPECT_TRUE(check_gradient(file.function, file.point, file.claims));
}

TEST(CheckFile, ToleranceIsForRoundedClaims) {
  GRADUS_SKIP_WITHOUT("gradus");
  const std::string rounded = kNeuron + "gradient w = [[-0.668], [-0.772]]\n";
  const CheckFiles strict(rounded), loose(rounded + "tolerance 1e-3\n");
  EXPECT_EQ(strict.run().code, 1);
  EXPECT_EQ(loose.run().code, 0) << loose.run().text;
}

/// What a file is refused for: everything here ends with exit code 2 and this one line.
struct Refused {
  const char* text;
  const char* message;
};
const Refused kRefused[] = {
    {"", "homework.txt: no statement `function EXPRESSION`"},
    {"function sum([1, 2])\n", "homework.txt: no statement `gradient NAME = VALUE`: nothing to check"},
    {"functoin 1\n",
     "homework.txt:1:1: expected a statement (input, let, function, gradient, tolerance), found 'functoin' "
     "(did you mean 'function'?)"},
    {"input = 3\n", "homework.txt:1:7: expected a name, found '='"},
    {"input x 3\n", "homework.txt:1:9: expected '=', found '3'"},
    {"input x =\n",
     "homework.txt:1:10: expected a number, a name, an array, a \"file.npy\" or '(', found the end of the "
     "line"},
    {"input x = 1\ninput x = 2\n", "homework.txt:2:7: 'x' is defined already, in line 1"},
    {"input x = 1e999\n", "homework.txt:1:11: the number 1e999 is out of range"},
    {"input x = 'x.npy\n", "homework.txt:1:11: the quote ' is not closed in this line"},
    {"input é = 1\n", "homework.txt:1:7: unexpected character 'é'"},
    {"# ein Maß\ninput x = $\n", "homework.txt:2:11: unexpected character '$'"},
    {"input x = \x9f\n", "homework.txt:1:11: unexpected byte 0x9f: a check file is text"},
    {"input x = []\n", "homework.txt:1:11: an array without elements"},
    {"input x = [[1, 2], [3]]\n", "homework.txt:1:20: rows of different lengths: 1 here, 2 in the first one"},
    {"input x = [[1, 2], 3]\n", "homework.txt:1:20: expected a row as before, found '3'"},
    {"input x = [1, [2]]\n", "homework.txt:1:15: expected a number as before, found a row"},
    {"input x = [1 - 2]\n", "homework.txt:1:14: expected a number: nothing is computed within an array"},
    {"input x = [1, 2\ninput y = 3\n", "homework.txt:2:1: expected ']' for the '[' of 1:11, found 'input'"},
    {"input x = [[[[[[[[[1]]]]]]]]]\n", "homework.txt:1:19: an array of more than 8 dims"},
    {"input x = \"no.npy\"\n", "/no.npy: No such file or directory"},
    {"input x = nan\n", "homework.txt:1:11: x is NaN"},
    {"input x = [1, inf]\n", "homework.txt:1:11: x is inf at [1]"},
    {"input x = 1\nlet y = z + x\n", "homework.txt:2:9: unknown name 'z'"},
    {"input W1 = 1\nlet y = w1\n", "homework.txt:2:9: unknown name 'w1' (did you mean 'W1'?)"},
    {"input x = 1\nlet y = sigmiod(x)\n",
     "homework.txt:2:9: unknown function 'sigmiod' (did you mean 'sigmoid'?)"},
    {"input x = 1\nlet y = sigmoid\n",
     "homework.txt:2:9: 'sigmoid' is a function: it needs its arguments in brackets"},
    {"input x = 1\nlet y = tanh(x, x)\n",
     "homework.txt:2:9: tanh takes 1 tensor, not 2; of keywords it has none"},
    {"input x = 1\nlet y = matmul(x)\n",
     "homework.txt:2:9: matmul takes 2 tensors, not 1; of keywords it has none"},
    {"input x = 1\nlet y = sum(x, axis=0)\n",
     "homework.txt:2:16: sum has no keyword 'axis': it has dim, keepdim"},
    {"input x = [1, 2]\nlet y = softmax(x)\n", "homework.txt:2:9: softmax: keyword 'dim' is missing"},
    {"input x = [1, 2]\nlet y = sum(x, dim=1e300)\n", "homework.txt:2:20: dim cannot be 1e+300"},
    {"input x = [1, 2]\nlet y = sum(x, dim=1)\n", "homework.txt:2:9: sum: "},
    {"input x = 1\nlet y = x.t\n",
     "homework.txt:2:11: '.t' is not known; .T is the transpose, functions are called as t(x)"},
    {"input x = 1\nlet y = 2x\n",
     "homework.txt:2:10: expected an operator or the end of the line, found 'x'"},
    {"input x = 1\nlet y = (x + 1\nlet z = x\n",
     "homework.txt:3:1: expected ')' for the '(' of 2:9, found 'let'"},
    {"input x = 1\nlet y = x +\n", "homework.txt:2:12: expected a number, a name, an array"},
    {"input x = [[1, 2]]\ninput w = [[1, 2]]\nlet y = x @ w\n",
     "homework.txt:3:11: matmul: inner sizes differ: [1, 2] x [1, 2] (2 != 1)"},
    {"input x = [1, 2]\ninput y = [1, 2, 3]\nlet z = x - y\n", "homework.txt:3:11: sub: "},
    {"input x = [1, 2]\nfunction x\n",
     "homework.txt:2:10: the function must give one number, not [2]: take its sum or mean"},
    {"input x = [1, -2]\nfunction sum(log(x))\n",
     "homework.txt:2:10: at this point nothing can be checked: the function is NaN"},
    {"input x = 1\nfunction x\nfunction x\n", "homework.txt:3:1: a second function: there must be one"},
    {"input x = 1\nfunction x\ngradient y = 1\n", "homework.txt:3:10: unknown name 'y'"},
    {"input x = 1\nfunction x\ngradient x = 1\ngradient x = 1\n",
     "homework.txt:4:10: a second gradient of 'x'"},
    {"input x = 1\nfunction x\nlet y = x\ngradient y = 1\n",
     "homework.txt:4:10: the function does not depend on 'y', which is defined below it"},
    {"input x = [1, 2]\nfunction sum(x)\ngradient x = [1, nan]\n",
     "homework.txt:3:14: the claimed gradient of x is NaN at [1]"},
    {"input x = [1, 2]\nfunction sum(x)\ngradient x = \"g.npy\"\n", "/g.npy: No such file or directory"},
    {"tolerance 0\n", "homework.txt:1:11: expected a number above 0, found 0"},
    {"tolerance small\n", "homework.txt:1:11: expected a number above 0, found 'small'"},
    {"tolerance 1\ntolerance 1\n", "homework.txt:2:1: a second tolerance"},
};

TEST(CheckProgram, RefusesWhatItCannotRead) {
  GRADUS_SKIP_WITHOUT("gradus");
  for (const auto& [text, message] : kRefused) {
    const Outcome outcome = CheckFiles(text).run();
    EXPECT_EQ(outcome.code, 2) << text << outcome.text;
    EXPECT_THAT(outcome.text, HasSubstr(message)) << text;
    EXPECT_EQ(std::ranges::count(outcome.text, '\n'), 1) << "one line: " << outcome.text;
    EXPECT_TRUE(outcome.text.starts_with("gradus: ")) << outcome.text;
  }
}

TEST(CheckProgram, DeepNestingAndLongSumsAreRefused) {
  GRADUS_SKIP_WITHOUT("gradus");
  std::string sum = "input x = 1";
  for (int i = 0; i < 100000; i++) sum += "+1";
  const std::pair<std::string, const char*> cases[] = {
      {"input x = " + std::string(100000, '('), "nested more than 200 levels deep"},
      {"input x = " + std::string(100000, '-'), "nested more than 200 levels deep"},
      {"input x = " + std::string(100000, '['), "an array of more than 8 dims"},
      {sum, "more than 1000 operations in one expression"}};
  for (const auto& [text, message] : cases) {
    const Outcome outcome = CheckFiles(text).run();
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.text, HasSubstr(message));
  }
}

TEST(CheckProgram, TheExitCodeSaysHowItWent) {
  GRADUS_SKIP_WITHOUT("gradus");
  const Outcome right = CheckFiles(kNeuron + "gradient a = 2 * (a - y) / 3\n").run();
  EXPECT_EQ(right.code, 0) << right.text;
  EXPECT_THAT(right.text, HasSubstr("right"));
  const Outcome wrong = CheckFiles(kNeuron + "gradient a = 2 * (y - a) / 3\n").run();
  EXPECT_EQ(wrong.code, 1) << wrong.text;
  EXPECT_THAT(wrong.text, HasSubstr("the sign is flipped"));

  const std::pair<const char*, const char*> unreadable[] = {
      {"check no_such_file", "no_such_file: No such file or directory"},
      {"check /tmp", "/tmp: not a regular file"},
      {"check", "FILE is required"},
      {"check --colour x", "--colour"}};
  for (const auto& [arguments, message] : unreadable) {
    const Outcome outcome = run_program("gradus", arguments);
    EXPECT_EQ(outcome.code, 2) << arguments;
    EXPECT_THAT(outcome.text, HasSubstr(message));
  }
}

TEST(CheckProgram, HelpHasAnExampleThatRuns) {
  GRADUS_SKIP_WITHOUT("gradus");
  const Outcome help = run_program("gradus", "check --help");
  EXPECT_EQ(help.code, 0);
  const size_t from = help.text.find("Example, homework.txt:\n"), to = help.text.find("\n\n  $ gradus");
  ASSERT_NE(from, std::string::npos) << help.text;
  ASSERT_NE(to, std::string::npos) << help.text;
  const Outcome outcome = CheckFiles(help.text.substr(from, to - from).substr(23)).run();
  EXPECT_EQ(outcome.code, 0) << outcome.text;
}

}  // namespace
}  // namespace gradus::examples
