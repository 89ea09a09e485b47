#include <fmt/format.h>
#include <gradus/autograd/check/gradcheck.h>

#include <algorithm>
#include <memory>

#include "check_file.h"
#include "commands.h"
#include "functions.h"
#include "words.h"

namespace gradus::examples {
namespace {

constexpr const char* kFormat = R"(A file has one statement a line; # starts a comment.
  input NAME = VALUE       a number, [[1, 2], [3, 4]], or "file.npy"
  let NAME = EXPRESSION    a step of the computation
  function EXPRESSION      what is differentiated; it gives one number
  gradient NAME = VALUE    the claim for an input or let; an expression, too
  tolerance NUMBER         how far a claim may be off [1e-5]

Example, homework.txt:
  input x = [[1, 2], [3, 4], [5, 6]]
  input y = [[0], [1], [1]]
  input w = [[0.1], [-0.2]]
  input b = 0.3
  let a = sigmoid(x @ w + b)
  function mean((a - y)^2)
  gradient w = x.T @ (2 * (a - y) * a * (1 - a)) / 3

  $ gradus check homework.txt

Exit code: 0 right, 1 wrong, 2 the file cannot be read or checked.
docs/gradus.md describes the format in full.)";

/// The functions that expressions may call, with their keywords.
void list_functions() {
  for (const Function& f : functions()) {
    const std::string arguments =
        f.signature.empty() ? fmt::format("  {}", fmt::join(f.keywords, ", ")) : f.signature;
    fmt::print("{}{}\n", f.name, arguments == "  " ? "" : arguments);
  }
}

int check(const std::string& path) {
  try {
    const CheckFile file = read_check_file(path);
    GradcheckOptions options{.names = file.names, .sizes = file.sizes};
    if (file.tolerance) options.atol = options.rtol = *file.tolerance;
    const GradcheckReport report = check_gradient(file.function, file.point, file.claims, options);
    const bool wrong = std::ranges::any_of(report.inputs, [](const auto& in) { return !in.ok(); });
    if (!report && !wrong) fail("{}: {}", path, report.reason);
    fmt::print("{}: the function is {:.8g}\n{}", path, file.value, report);
    return report ? 0 : 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "gradus: {}\n", error.what());
    return 2;
  }
}

}  // namespace

void add_check(CLI::App& program, Run& run) {
  struct Options {
    std::string file;
    bool functions = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("check", "Compares claimed gradients with numeric ones");
  CLI::Option* file = command->add_option("FILE", options->file, "The function and the claimed gradients");
  command->add_flag("--functions", options->functions, "Lists the functions that expressions may call");
  command->footer(kFormat);
  command->callback([options, file, &run] {
    if (!options->functions && !*file) throw CLI::RequiredError("FILE");
    run = [options] {
      if (!options->functions) return check(options->file);
      list_functions();
      return 0;
    };
  });
}

}  // namespace gradus::examples
