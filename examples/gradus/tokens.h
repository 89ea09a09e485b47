#pragma once
#include <gradus/autograd/base/error.h>

#include <string>
#include <vector>

/// The words of a check file.
namespace gradus::examples {

/// Where a token starts; both count from 1, columns in characters.
struct Place {
  int line, column;
};

struct Token {
  enum class Kind { Name, Number, Text, Symbol, NewLine, End };
  Kind kind;
  std::string text;  // of a Text what stands between the quotes
  double value;      // of a Number
  Place place;

  bool is(std::string_view symbol) const { return kind == Kind::Symbol && text == symbol; }
  /// As an error names it.
  std::string described() const;
};

/// Throws FileError `path:line:column: message`.
template <class... Args>
[[noreturn]] void refuse(const std::string& path, Place at, fmt::format_string<Args...> text,
                         Args&&... args) {
  fail<FileError>("{}:{}:{}: {}", path, at.line, at.column,
                  fmt::vformat(text, fmt::make_format_args(args...)));
}

/// The tokens of a file's text, an End last. Within brackets a line break is no token; `#` starts a comment.
std::vector<Token> tokenize(const std::string& path, std::string_view text);

}  // namespace gradus::examples
