#pragma once
#include <CLI/CLI.hpp>
#include <functional>

/// The subcommands of `gradus`. Each is a file of this folder that adds itself to the program.
namespace gradus::examples {

/// What the chosen subcommand does, once all options are read; returns the exit code.
using Run = std::function<int()>;

/// Adds a subcommand with its options to the program; it sets `run` when it is chosen.
void add_lesson(CLI::App& program, Run& run);
void add_check(CLI::App& program, Run& run);
void add_train(CLI::App& program, Run& run);
void add_graph(CLI::App& program, Run& run);

}  // namespace gradus::examples
