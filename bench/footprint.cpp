#include "footprint.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <sstream>
#include <stdexcept>

#include "program.h"

namespace bench {
namespace fs = std::filesystem;

double seconds_of(std::vector<std::string> command) {
  std::vector<char*> arguments;
  for (std::string& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  const double start = now();
  pid_t child = 0;
  const int error = posix_spawnp(&child, arguments[0], &files, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  int status = 0;
  if (error || waitpid(child, &status, 0) != child || status != 0)
    throw std::runtime_error(fmt::format("failed: {}", fmt::join(command, " ")));
  return now() - start;
}

std::string output_of(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) throw std::runtime_error("cannot run: " + command);
  std::string output;
  for (int byte; (byte = std::fgetc(pipe)) != EOF;) output += static_cast<char>(byte);
  if (const int status = pclose(pipe))
    throw std::runtime_error(fmt::format("failed with wait status {}: {}", status, output));
  return output;
}

std::vector<fs::path> libraries_of(const fs::path& program) {
  std::vector<fs::path> libraries;
  std::istringstream lines(output_of(fmt::format("ldd '{}'", program.string())));
  for (std::string line; std::getline(lines, line);) {
    const size_t path = line.find("=> /"), end = line.find(" (");
    if (path != std::string::npos && end != std::string::npos)
      libraries.push_back(fs::canonical(line.substr(path + 3, end - path - 3)));
  }
  return libraries;
}

double bytes_of(const fs::path& program) {
  double bytes = static_cast<double>(fs::file_size(program));
  for (const fs::path& library : libraries_of(program)) {
    const std::string name = library.filename().string();
    bool of_every_program = false;
    for (const char* known : {"libc.", "libm.", "libmvec.", "libpthread.", "libdl.", "librt.", "libstdc++.",
                              "libgcc_s.", "ld-linux"})
      of_every_program |= name.rfind(known, 0) == 0;
    if (!of_every_program) bytes += static_cast<double>(fs::file_size(library));
  }
  return bytes;
}

}  // namespace bench
