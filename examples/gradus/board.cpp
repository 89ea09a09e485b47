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
constexpr int64_t kNumbers = 5;

std::vector<const Lesson*>& registered() {
  static std::vector<const Lesson*> all;
  return all;
}

/// How the numbers of one matrix are written: integers as such, others with five digits of the largest one.
class Style {
 public:
  explicit Style(const Tensor& x) {
    const std::vector<double> values = x.to_vector();
    if (std::ranges::all_of(values, [](double v) { return v == std::floor(v); })) return;
    const double largest = max(abs(x)).item();
    decimals_ =
        largest < 1e-4 ? kScientific : std::max(0, 4 - static_cast<int>(std::floor(std::log10(largest))));
  }
  std::string operator()(double v) const {
    if (decimals_ == kScientific) return fmt::format("{:.4e}", v);
    const std::string text = fmt::format("{:.{}f}", v, decimals_);
    return text.find_first_of("123456789") == std::string::npos && v < 0 ? text.substr(1) : text;
  }

 private:
  static constexpr int kScientific = -1;
  int decimals_ = 0;
};

/// What stands to the right in its column.
bool is_number(const std::string& cell) {
  const size_t digit = cell.find_first_of("0123456789");
  return cell.empty() || cell == "NaN" || cell == "inf" || digit == 0 || (cell[0] == '-' && digit == 1);
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
  std::vector<bool> numbers(rows[0].size(), true);
  for (size_t i = 0; i < rows.size(); i++)
    for (size_t k = 0; k < rows[i].size(); k++) {
      widths[k] = std::max(widths[k], width(rows[i][k]));
      if (i > 0 && !is_number(rows[i][k])) numbers[k] = false;
    }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t k = 0; k < row.size(); k++) line += (k ? "   " : "") + padded(row[k], widths[k], !numbers[k]);
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  show(text);
}

void Board::matrix(const std::string& name, const Tensor& x) {
  const Tensor m = x.detach().reshape({x.dim() < 2 ? 1 : x.size(0), -1});
  const int64_t last = m.size(1) - 1;
  std::vector<int64_t> columns;
  for (int64_t k = 0; k < std::min(m.size(1), kNumbers); k++)
    columns.push_back(last < kNumbers ? k : k * last / (kNumbers - 1));

  const std::string label = fmt::format("{} {}", name, x.shape());
  std::string text =
      last < kNumbers ? "" : fmt::format("{}, of its columns {}:\n", label, fmt::join(columns, ", "));
  const std::string lead = text.empty() ? label + " = " : "  ";
  const Style style(m);
  std::vector<std::string> cells;
  size_t widest = 0;
  for (int64_t i = 0; i < m.size(0); i++)
    for (const int64_t j : columns) {
      cells.push_back(style(m.at({i, j})));
      widest = std::max(widest, cells.back().size());
    }
  for (size_t k = 0; k < cells.size(); k++) {
    const bool starts = k % columns.size() == 0, ends = (k + 1) % columns.size() == 0;
    if (starts) text += k == 0 ? lead : std::string(width(lead), ' ');
    text += "  " + padded(cells[k], widest, false) + (ends ? "\n" : "");
  }
  show(text);
}

void Board::compare(const std::vector<Derived>& gradients) {
  std::vector<std::vector<std::string>> rows = {
      {"gradient", "shape", "largest, by hand", "by Gradus", "differ by"}};
  for (const auto& [name, by_hand, by_gradus] : gradients) {
    claim(by_hand.shape() == by_gradus.shape(), fmt::format("{} by hand has the shape of Gradus'", name));
    const Tensor sizes = abs(by_gradus.flatten());
    const Shape at = {argmax(sizes, 0).item<int64_t>()};
    const double difference = max(abs(by_hand - by_gradus)).item();
    rows.push_back({name, by_hand.shape().str(), fmt::format("{:.10g}", by_hand.flatten().at(at)),
                    fmt::format("{:.10g}", by_gradus.flatten().at(at)), small(difference)});
    claim(difference <= 1e-10 * sizes.at(at), fmt::format("{} by hand is that of Gradus", name));
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

std::string number(double value) { return fmt::format("{:.6g}", value + 0.0); }
std::string small(double value) { return value == 0 ? "0" : fmt::format("{:.1e}", value); }

}  // namespace gradus::examples
