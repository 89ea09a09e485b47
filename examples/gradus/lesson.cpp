#include <fmt/format.h>

#include <memory>

#include "commands.h"

namespace gradus::examples {

void add_lesson(CLI::App& program, Run& run) {
  struct Options {
    std::string name;
    bool all = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("lesson", "Lists the lessons, or plays one");
  command->add_option("NAME", options->name, "The lesson to play");
  command->add_flag("--all", options->all, "All steps at once, without waiting for Enter");
  command->footer("Example: gradus lesson chain-rule");
  command->callback([options, &run] {
    run = [options] {
      fmt::print("There is no lesson yet.\n");
      return 0;
    };
  });
}

}  // namespace gradus::examples
