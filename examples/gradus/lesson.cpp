#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <memory>

#include "board.h"
#include "commands.h"
#include "words.h"

namespace gradus::examples {
namespace {

void list_lessons() {
  for (const Lesson* lesson : lessons())
    fmt::print("{:>3}  {:<18}  {}\n", lesson->place, lesson->name, lesson->title);
  fmt::print("\n`gradus lesson NAME` plays one.\n");
}

/// The lesson of this name, or of this place.
const Lesson* find_lesson(const std::string& name) {
  int place = 0;
  std::from_chars(name.data(), name.data() + name.size(), place);
  for (const Lesson* lesson : lessons())
    if (name == lesson->name || (place == lesson->place && name == std::to_string(place))) return lesson;
  return nullptr;
}

int play(const std::string& name, bool all) {
  const Lesson* lesson = find_lesson(name);
  if (!lesson) {
    std::vector<std::string> names;
    for (const Lesson* l : lessons()) names.emplace_back(l->name);
    fmt::print(stderr, "gradus: no such lesson: '{}'{}; `gradus lesson` lists them\n", name,
               did_you_mean(name, names));
    return 2;
  }
  Board board(!all && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) ? Board::Pace::OnEnter
                                                                    : Board::Pace::AtOnce);
  fmt::print("{}\n\n", lesson->title);
  try {
    lesson->play(board);
  } catch (const Board::Left&) {
    fmt::print("\n");
  }
  return 0;
}

}  // namespace

void add_lesson(CLI::App& program, Run& run) {
  struct Options {
    std::string name;
    bool all = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("lesson", "Lists the lessons, or plays one");
  CLI::Option* name = command->add_option("NAME", options->name, "The lesson to play, by its name or number");
  command
      ->add_flag("--all", options->all, "All steps at once; otherwise, on a terminal, each waits for Enter")
      ->needs(name);
  command->footer("Example: gradus lesson chain-rule");
  command->callback([options, &run] {
    run = [options] {
      if (!options->name.empty()) return play(options->name, options->all);
      list_lessons();
      return 0;
    };
  });
}

}  // namespace gradus::examples
