#pragma once
#include <common/program.h>

#include <CLI/CLI.hpp>
#include <functional>

/// The options of programs, as CLI11 reads them.
namespace gradus::examples {

/// For options: a finite number above 0.
extern const CLI::Validator kPositive;

void add_options(CLI::App& app, PlanarOptions& options);
void add_options(CLI::App& app, CatsOptions& options);

/// Reads the options, then calls `program`; returns what main() returns, as the other run_program.
int run_program(CLI::App& app, int argc, char** argv, const std::function<void()>& program);

}  // namespace gradus::examples
