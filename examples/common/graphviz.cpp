#include <common/file.h>
#include <common/graphviz.h>
#include <gradus/autograd/base/error.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace gradus::examples {
namespace {

File temporary_file() {
  File file(std::tmpfile());
  if (!file) fail<FileError>("draw_dot: no temporary file: {}", std::generic_category().message(errno));
  return file;
}

std::string contents(std::FILE* file) {
  std::rewind(file);
  std::string text;
  std::array<char, 4096> part;
  while (const size_t n = std::fread(part.data(), 1, part.size(), file)) text.append(part.data(), n);
  return text;
}

struct Outcome {
  int code;
  std::string out, error;
};

/// Runs `dot` with an argument on `input`; code -1 says that it is not there.
Outcome run_dot(const char* argument, const std::string& input) {
  const File in = temporary_file(), out = temporary_file(), error = temporary_file();
  if (std::fwrite(input.data(), 1, input.size(), in.get()) != input.size() || std::fflush(in.get()) != 0)
    fail<FileError>("draw_dot: the temporary file can't be written");
  std::rewind(in.get());
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fileno(in.get()), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fileno(out.get()), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fileno(error.get()), STDERR_FILENO);
  std::string words[] = {"dot", argument};
  char* const argv[] = {words[0].data(), words[1].data(), nullptr};
  pid_t child = 0;
  const int failed = posix_spawnp(&child, "dot", &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed) return {-1, "", std::generic_category().message(failed)};
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 1, contents(out.get()), contents(error.get())};
}

/// The number after `name="` in an element.
double number_after(const std::string& text, const std::string& name, size_t from) {
  const size_t at = text.find(name + "=\"", from);
  return at == std::string::npos ? 0 : std::strtod(text.c_str() + at + name.size() + 2, nullptr);
}

}  // namespace

// Its version would not tell: the plugins that write may be missing.
bool has_graphviz() {
  const Outcome outcome = run_dot("-Tsvg", "digraph { a -> b }");
  return outcome.code == 0 && outcome.out.find("<svg ") != std::string::npos;
}

Drawing draw_dot(const std::string& dot, const std::string& title) {
  const Outcome outcome = run_dot("-Tsvg", dot);
  if (outcome.code == -1)
    fail(
        "graphviz: the program 'dot' can't be started ({}); install the package graphviz, or take the graph "
        "as "
        "DOT",
        outcome.error);
  const size_t svg = outcome.out.find("<svg "), inner = outcome.out.find('>', svg);
  if (outcome.code != 0 || svg == std::string::npos || inner == std::string::npos)
    fail("graphviz: dot ended with exit code {}: {}", outcome.code, outcome.error);
  Drawing drawing{std::ceil(number_after(outcome.out, "width", svg)),
                  std::ceil(number_after(outcome.out, "height", svg)), title};
  const std::string elements = outcome.out.substr(inner + 1, outcome.out.rfind("</svg>") - inner - 1);
  // Titles of nodes would be read out as if they said something; names come again in other graphs of a page.
  std::string clean;
  for (size_t at = 0; at < elements.size();) {
    if (elements.compare(at, 4, "<!--") == 0)
      at = elements.find("-->", at) + 3;
    else if (elements.compare(at, 7, "<title>") == 0)
      at = elements.find("</title>", at) + 8;
    else if (elements.compare(at, 5, " id=\"") == 0)
      at = elements.find('"', at + 5) + 1;
    else if (elements[at] == '\n' && (clean.empty() || clean.back() == '\n'))
      at++;
    else
      clean += elements[at++];
  }
  const double top = title.empty() ? 0 : 28, height = drawing.height;
  drawing.height += top;
  drawing.width = std::max(drawing.width, 16 + 13 * width_of(title));
  drawing.text(8, 20, title, R"(class="ink")");
  drawing.add("<svg class=\"dot\" y=\"{:.0f}\" width=\"{:.0f}\" height=\"{:.0f}\">{}</svg>\n", top,
              drawing.width, height, clean);
  return drawing;
}

}  // namespace gradus::examples
