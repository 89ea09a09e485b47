// gradus: a command for lessons about backpropagation.
#include <common/command_line.h>

#include "commands.h"

using namespace gradus::examples;

int main(int argc, char** argv) {
  CLI::App program("Lessons, checks and pictures of backpropagation.");
  program.require_subcommand(0, 1);
  program.footer("`gradus COMMAND --help` says more, with an example.");
  Run run = [&] {
    fmt::print("{}", program.help());
    return 0;
  };
  add_lesson(program, run);
  add_check(program, run);
  add_train(program, run);
  add_graph(program, run);

  int code = 0;
  const int failed = run_program(program, argc, argv, [&] { code = run(); });
  return failed ? failed : code;
}
