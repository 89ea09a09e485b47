#include <gradus/autograd/base/error.h>

#include <memory>

#include "commands.h"

namespace gradus::examples {

void add_check(CLI::App& program, Run& run) {
  const auto file = std::make_shared<std::string>();
  CLI::App* command = program.add_subcommand("check", "Compares claimed gradients with numeric ones");
  command->add_option("FILE", *file, "The function, its inputs, and the claimed gradients")->required();
  command->footer("Example: gradus check homework.txt");
  command->callback([file, &run] {
    run = [file]() -> int { fail<FileError>("check: {}: this command is not written yet", *file); };
  });
}

}  // namespace gradus::examples
