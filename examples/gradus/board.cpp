#include "board.h"

#include <fmt/color.h>
#include <gradus/autograd/ops/elementwise.h>
#include <gradus/autograd/ops/reduce.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>

#include "words.h"

namespace gradus::examples {
namespace {

constexpr size_t kColumns = 78;
constexpr int64_t kRows = 4, kNumbers = 5;

std::vector<const Lesson*>& registered() {
  static std::vector<const Lesson*> all;
  return all;
}

std::string padded(const std::string& cell, size_t to, bool left) {
  const std::string space(to - std::min(to, width(cell)), ' ');
  return left ? cell + space : space + cell;
}

}  // namespace

void Board::step(std::string_view title) {
  if (pace_ == Pace::OnEnter && step_ > 0) {
    fmt::print("  (Enter: go on, q: leave) ");
    std::fflush(stdout);
    std::string answer;
    if (!std::getline(std::cin, answer) || answer.starts_with('q')) throw Left{};
    fmt::print("\x1b[A\x1b[2K\r");  // the question goes
  }
  const std::string line = fmt::format("{}. {}", ++step_, title);
  if (isatty(STDOUT_FILENO))
    fmt::print(fmt::emphasis::bold, "{}\n\n", line);
  else
    fmt::print("{}\n\n", line);
}

void Board::paragraph(const std::string& text) { fmt::print("{}\n", wrapped(text, kColumns)); }

void Board::show(std::string_view lines) {
  while (!lines.empty()) {
    const size_t end = std::min(lines.find('\n'), lines.size());
    fmt::print("{}{}\n", end > 0 ? "    " : "", lines.substr(0, end));
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
  fmt::print("\n");
}

void Board::table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows[0].size());
  for (const auto& row : rows)
    for (size_t k = 0; k < row.size(); k++) widths[k] = std::max(widths[k], width(row[k]));
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t k = 0; k < row.size(); k++) line += (k ? "   " : "") + padded(row[k], widths[k], k == 0);
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  show(text);
}

void Board::matrix(const std::string& name, const Tensor& x) {
  const Tensor m = x.detach().reshape({x.dim() < 2 ? 1 : x.size(0), -1});
  const int64_t rows = std::min(m.size(0), kRows), columns = std::min(m.size(1), kNumbers);
  std::vector<std::vector<std::string>> cells;
  for (int64_t i = 0; i < rows; i++) {
    cells.push_back({i == 0 ? fmt::format("{} {} =", name, x.shape()) : ""});
    for (int64_t j = 0; j < columns; j++) cells.back().push_back(number(m.at({i, j})));
    if (columns < m.size(1)) cells.back().emplace_back(i == 0 ? "…" : "");
  }
  if (rows < m.size(0)) cells.push_back({"", "…"});
  for (auto& row : cells) row.resize(cells[0].size());
  table(cells);
}

void Board::compare(const std::vector<Derived>& gradients) {
  std::vector<std::vector<std::string>> rows = {
      {"gradient", "shape", "first by hand", "first by Gradus", "largest difference"}};
  for (const auto& [name, by_hand, by_gradus] : gradients) {
    const double difference = max(abs(by_hand - by_gradus)).item(), largest = max(abs(by_gradus)).item();
    rows.push_back({name, by_hand.shape().str(), fmt::format("{:.9g}", by_hand.flatten().at({0})),
                    fmt::format("{:.9g}", by_gradus.flatten().at({0})), small(difference)});
    claim(by_hand.shape() == by_gradus.shape() && difference <= 1e-10 * largest,
          fmt::format("{} by hand is that of Gradus", name));
  }
  table(rows);
}

void Board::claim(bool holds, std::string_view what) const {
  if (!holds) fail("lesson: this should be so, and is not: {}", what);
}

Lesson::Lesson(int place_, const char* name_, const char* title_, void (*play_)(Board&))
    : place(place_), name(name_), title(title_), play(play_) {
  auto& all = registered();
  all.insert(std::ranges::upper_bound(all, place, {}, &Lesson::place), this);
}

const std::vector<const Lesson*>& lessons() { return registered(); }

std::string number(double value) { return fmt::format("{:.6g}", value); }
std::string small(double value) { return value == 0 ? "0" : fmt::format("{:.1e}", value); }

}  // namespace gradus::examples
