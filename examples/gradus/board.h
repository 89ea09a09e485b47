#pragma once
#include <fmt/format.h>
#include <gradus/autograd/core/tensor.h>

#include <string>
#include <vector>

/// The lessons of `gradus lesson`. A lesson is one file of the folder lessons/, which ends in a Lesson:
///
///     void chain_rule(Board& board) {
///       board.step("Forward");
///       board.say("u = a b = {}", …);
///     }
///     const Lesson chain_rule_lesson(1, "chain-rule", "The chain rule on a graph", chain_rule);
///
/// Every number that it shows is computed when it is played, and what it says about numbers it claims.
namespace gradus::examples {

/// A gradient that a lesson derives, and Gradus'.
struct Derived {
  std::string name;
  Tensor by_hand, by_gradus;
};

/// What a lesson is written on: stdout, 80 columns wide.
class Board {
 public:
  enum class Pace { AtOnce, OnEnter };
  explicit Board(Pace pace) : pace_(pace) {}

  /// Thrown by step() when the reader leaves.
  struct Left {};

  /// Begins a step. OnEnter waits before all but the first.
  void step(std::string_view title);
  /// A paragraph, wrapped.
  template <class... Args>
  void say(fmt::format_string<Args...> text, Args&&... args) {
    paragraph(fmt::vformat(text, fmt::make_format_args(args...)));
  }
  /// Lines as they stand, indented.
  void show(std::string_view lines);
  /// Rows of cells, the first one the headings. Columns of numbers are set right, others left.
  void table(const std::vector<std::vector<std::string>>& rows);
  /// `name [2, 3] =` and the numbers, of five columns where there are more, from the first to the last.
  void matrix(const std::string& name, const Tensor& x);
  /// The gradients side by side: of each the largest number. The largest difference must be rounding: at most
  /// 1e-10 of that number.
  void compare(const std::vector<Derived>& gradients);
  /// Error `lesson: this should be so, and is not: …` where something that a lesson says does not hold.
  void claim(bool holds, std::string_view what) const;

 private:
  void paragraph(const std::string& text);

  Pace pace_;
  int step_ = 0;
};

struct Lesson {
  Lesson(int place, const char* name, const char* title, void (*play)(Board&));

  int place;
  const char *name, *title;
  void (*play)(Board&);
};
/// All of them, in the order of their places.
const std::vector<const Lesson*>& lessons();

/// The number with six significant digits.
std::string number(double value);
/// "1.2e-16"
std::string small(double value);

}  // namespace gradus::examples
