#pragma once
#include <fcntl.h>
#include <gradus/autograd/base/pool.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <string>
#include <utility>

#include "program.h"

namespace gradus {

/// What a test needs beside the library, and whether it is there.
struct Need {
  bool there;
  std::string what;

  Need(bool there, std::string what) : there(there), what(std::move(what)) {}
  /// A program of ours, which may not have been built.
  Need(const std::string& program)
      : Need(std::filesystem::exists(path_of_program(program)), "the program " + program) {}
  Need(const char* program) : Need(std::string(program)) {}
};

/// Where a test of what is not there would fail, or compare nothing, it is skipped; it never passes. The one
/// way in which tests say what they need: GRADUS_SKIP_WITHOUT(graphviz());
#define GRADUS_SKIP_WITHOUT(...) \
  if (const ::gradus::Need need(__VA_ARGS__); !need.there) GTEST_SKIP() << "needs " << need.what

/// A variable of the environment, a folder's name mostly.
inline Need environment(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return {value && *value, name + " in the environment"};
}

/// A Graphviz that writes SVG: its plugins may be missing.
inline Need graphviz() {
  static const std::string drawn = run_command("echo 'digraph { a -> b }' | dot -Tsvg").text;
  return {drawn.find("</svg>") != std::string::npos, "Graphviz, to write SVG"};
}

/// Empty where Chromium is not installed.
inline std::string path_of_chromium() {
  const char* path = std::getenv("PATH");
  std::stringstream folders(path ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');)
    for (const char* name : {"/chromium", "/chromium-browser", "/google-chrome"})
      if (access((folder + name).c_str(), X_OK) == 0) return folder + name;
  return "";
}
inline Need chromium() { return {!path_of_chromium().empty(), "Chromium"}; }

/// Pseudo-terminals, which a chroot without /dev/pts does not give out.
inline Need terminal() {
  const int controller = posix_openpt(O_RDWR | O_NOCTTY);
  bool there = controller >= 0 && grantpt(controller) == 0 && unlockpt(controller) == 0;
  if (there) {
    const int end = open(ptsname(controller), O_RDWR | O_NOCTTY);
    there = end >= 0;
    if (there) close(end);
  }
  if (controller >= 0) close(controller);
  return {there, "pseudo-terminals"};
}

/// Memory as programs have it: sanitizers keep what is freed, and abort where there is none.
inline Need plain_memory() { return {!pool::kBypassed, "memory without a sanitizer"}; }

}  // namespace gradus
