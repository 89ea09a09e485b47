#include <common/tanh_mistake.h>
#include <gmock/gmock.h>
#include <gradus/board.h>
#include <gradus/gradus.h>
#include <gradus/text_plot.h>
#include <gradus/words.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <set>
#include <sstream>

#include "needs.h"

// `gradus lesson`: the lessons, what they are written on, and the program.
namespace gradus::examples {
namespace {

using testing::HasSubstr;

TEST(Lessons, EachHasAPlaceAndANameOfItsOwn) {
  std::set<std::string> names;
  int place = 0;
  for (const Lesson* lesson : lessons()) {
    EXPECT_EQ(lesson->place, ++place) << lesson->name;
    EXPECT_TRUE(names.insert(lesson->name).second) << lesson->name;
  }
  EXPECT_GE(place, 10);
}

/// A lesson claims what it says and throws where that does not hold: playing it is its test.
TEST(LessonsSlow, EachPlaysAndClaimsHold) {
  for (const Lesson* lesson : lessons()) {
    testing::internal::CaptureStdout();
    Board board(Board::Pace::AtOnce);
    std::string failure;
    try {
      lesson->play(board);
    } catch (const std::exception& e) {
      failure = e.what();
    }
    std::istringstream text(testing::internal::GetCapturedStdout());
    EXPECT_EQ(failure, "") << lesson->name;
    int lines = 0, steps = 0;
    for (std::string line; std::getline(text, line); lines++) {
      EXPECT_LE(width(line), 80U) << lesson->name << ": " << line;
      EXPECT_EQ(line.find_first_of("\x1b\r\t"), std::string::npos) << lesson->name << ": " << line;
      EXPECT_FALSE(line.ends_with(' ')) << lesson->name << ": " << line;
      EXPECT_EQ(line.find("nan"), std::string::npos) << lesson->name << ": " << line;
      steps += line.starts_with(fmt::format("{}. ", steps + 1));
    }
    EXPECT_GE(steps, 4) << lesson->name;
    EXPECT_GE(lines, 40) << lesson->name;
  }
}

TEST(Board, AClaimThatDoesNotHoldIsAnError) {
  const Board board(Board::Pace::AtOnce);
  EXPECT_NO_THROW(board.claim(true, "so"));
  EXPECT_THROW(board.claim(false, "so"), Error);
}

TEST(Board, GradientsThatDifferAreAnError) {
  Board board(Board::Pace::AtOnce);
  const Tensor g = tensor({1., -2.}, kFloat64);
  EXPECT_THROW(board.compare({{"dw", g, g * (1 + 1e-9)}}), Error);
  EXPECT_THROW(board.compare({{"dw", g, g.reshape({2, 1})}}), Error);
  EXPECT_THROW(board.compare({{"dw", g * NAN, g}}), Error);
  testing::internal::CaptureStdout();
  board.compare({{"dw", g, g}});
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              HasSubstr("    dw         [2]                   -2          -2           0\n"));
}

TEST(Board, MatricesShowFiveColumnsFromTheFirstToTheLast) {
  Board board(Board::Pace::AtOnce);
  testing::internal::CaptureStdout();
  board.matrix("x", arange(400).to(kFloat64).reshape({1, 400}));
  EXPECT_EQ(testing::internal::GetCapturedStdout(),
            "    x [1, 400], of its columns 0, 99, 199, 299, 399:\n"
            "          0   99  199  299  399\n\n");
}

TEST(Words, AreWrapped) {
  EXPECT_EQ(wrapped("a bc def g", 4), "a bc\ndef\ng\n");
  EXPECT_EQ(wrapped("σσσ σσσ", 7), "σσσ σσσ\n");
  EXPECT_EQ(wrapped("longer than that", 3, "  "), "  longer\n  than\n  that\n");
}

TEST(TextPlot, DrawsPowersWhereTheyBelong) {
  const std::string plot = text_plot({{'o', {1e-6, 1e-3, 1}, {1, 1e-3, 1e-6}}}, "h", "error");
  std::vector<std::pair<size_t, size_t>> marks;
  std::istringstream text(plot);
  size_t row = 0;
  for (std::string line; std::getline(text, line); row++)
    if (row > 0)
      for (size_t c = line.find('o'); c != std::string::npos; c = line.find('o', c + 1))
        marks.emplace_back(row, c);
  ASSERT_EQ(marks.size(), 3U) << plot;
  EXPECT_NEAR(static_cast<double>(marks[1].first), (static_cast<double>(marks[0].first + marks[2].first)) / 2,
              0.6);
  EXPECT_NEAR(static_cast<double>(marks[1].second),
              (static_cast<double>(marks[0].second + marks[2].second)) / 2, 0.6);
  EXPECT_LT(marks[0].second, marks[2].second);
  EXPECT_THROW(text_plot({{'o', {0, 1}, {1, NAN}}}, "h", "error"), Error);
}

TEST(TanhMistake, TheTutorialsGradientIsRefusedAndEachRepairAccepted) {
  const TanhMistake mistake;
  EXPECT_FALSE(check_handmade(as_printed, Output::Tanh, mistake.start, mistake.x, mistake.y));
  const GradcheckReport wrong =
      check_handmade(as_printed, Output::Tanh, mistake.elsewhere, mistake.x, mistake.y);
  EXPECT_FALSE(wrong);
  for (const GradcheckInput& in : wrong.inputs) EXPECT_GT(in.error(), 0.1) << in.name;
  const std::vector<Repair> all = repairs(mistake.y);
  EXPECT_EQ(all.size(), 3U);
  for (const Repair& r : all) {
    EXPECT_TRUE(check_handmade(r.cost, r.output, mistake.start, mistake.x, r.labels)) << r.what;
    EXPECT_TRUE(check_handmade(r.cost, r.output, mistake.elsewhere, mistake.x, r.labels)) << r.what;
  }
}

TEST(GradusProgram, ListsItsLessons) {
  GRADUS_SKIP_WITHOUT("gradus");
  const Outcome list = run_program("gradus", "lesson");
  EXPECT_EQ(list.code, 0);
  for (const Lesson* lesson : lessons()) {
    EXPECT_THAT(list.text, HasSubstr(lesson->name));
    EXPECT_THAT(list.text, HasSubstr(lesson->title));
  }
}

TEST(GradusProgram, PlaysALessonByNameAndByNumber) {
  GRADUS_SKIP_WITHOUT("gradus");
  const Outcome by_name = run_program("gradus", "lesson chain-rule"),
                by_number = run_program("gradus", "lesson 1 --all");
  EXPECT_EQ(by_name.code, 0);
  EXPECT_THAT(by_name.text, HasSubstr("6. When ways meet, gradients add"));
  EXPECT_EQ(by_number.text, by_name.text);
}

/// Plays a lesson on a terminal of its own, where `typed` is typed.
Outcome played_on_terminal(const std::string& lesson, const std::string& typed) {
  const std::string program = path_of_program("gradus");
  int terminal;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child < 0) throw std::runtime_error("forkpty");
  if (child == 0) {
    execl(program.c_str(), "gradus", "lesson", lesson.c_str(), nullptr);
    _exit(127);
  }
  if (write(terminal, typed.data(), typed.size()) < 0) throw std::runtime_error("write");
  Outcome outcome{};
  std::array<char, 4096> part;
  // Reading fails when the program has left the terminal.
  for (ssize_t n = 0; (n = read(terminal, part.data(), part.size())) > 0;)
    outcome.text.append(part.data(), static_cast<size_t>(n));
  close(terminal);
  int status = 0;
  waitpid(child, &status, 0);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

TEST(GradusProgram, WaitsForEnterOnATerminal) {
  GRADUS_SKIP_WITHOUT("gradus");
  GRADUS_SKIP_WITHOUT(terminal());
  const Outcome left = played_on_terminal("chain-rule", "\nq\n");
  EXPECT_EQ(left.code, 0);
  EXPECT_THAT(left.text, HasSubstr("(Enter: go on, q: leave)"));
  EXPECT_THAT(left.text, HasSubstr("2. Local"));
  EXPECT_EQ(left.text.find("3. Backward"), std::string::npos) << left.text;
  const Outcome all = played_on_terminal("chain-rule", std::string(10, '\n'));
  EXPECT_EQ(all.code, 0);
  EXPECT_THAT(all.text, HasSubstr("7. To try"));
}

TEST(GradusProgram, RefusesWhatItDoesNotKnow) {
  GRADUS_SKIP_WITHOUT("gradus");
  const std::pair<const char*, const char*> cases[] = {
      {"lesson chainrule", "no such lesson: 'chainrule' (did you mean 'chain-rule'?)"},
      {"lesson 11", "no such lesson: '11'"},
      {"lesson 1x", "no such lesson: '1x'"},
      {"lesson --all", "--all requires NAME"},
      {"lesson tanh numeric", "not expected: numeric"},
      {"leson", "leson"},
      {"--verbose", "--verbose"},
  };
  for (const auto& [arguments, message] : cases) {
    const Outcome outcome = run_program("gradus", arguments);
    EXPECT_EQ(outcome.code, 2) << arguments << outcome.text;
    EXPECT_THAT(outcome.text, HasSubstr(message));
  }
}

TEST(GradusProgram, EveryCommandHasHelpWithAnExample) {
  GRADUS_SKIP_WITHOUT("gradus");
  const Outcome alone = run_program("gradus", ""), help = run_program("gradus", "--help");
  EXPECT_EQ(alone.code, 0);
  EXPECT_EQ(help.code, 0);
  EXPECT_EQ(alone.text, help.text);
  for (const char* command : {"lesson", "check", "train", "graph"}) {
    EXPECT_THAT(help.text, HasSubstr(command));
    const Outcome of_command = run_program("gradus", std::string(command) + " --help");
    EXPECT_EQ(of_command.code, 0);
    EXPECT_THAT(of_command.text, HasSubstr("Example"));
    EXPECT_THAT(of_command.text, HasSubstr(std::string("gradus ") + command));
  }
}

}  // namespace
}  // namespace gradus::examples
