#include "tokens.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "words.h"

namespace gradus::examples {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

class Tokenizer {
 public:
  Tokenizer(const std::string& path, std::string_view text) : path_(path), rest_(text) {}

  std::vector<Token> run() {
    constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";  // with which some editors begin
    if (rest_.starts_with(kByteOrderMark)) rest_.remove_prefix(kByteOrderMark.size());
    while (!rest_.empty()) next();
    add(Token::Kind::NewLine, 0);
    add(Token::Kind::End, 0);
    return std::move(tokens_);
  }

 private:
  void next() {
    const char c = rest_[0];
    if (c == ' ' || c == '\t' || c == '\r') return skip(1);
    if (c == '#') return skip(std::min(rest_.find('\n'), rest_.size()));
    if (c == '\n') return line_break();
    if (is_letter(c))
      return add(Token::Kind::Name, count([](char x) { return is_letter(x) || is_digit(x); }));
    if (is_digit(c) || (c == '.' && rest_.size() > 1 && is_digit(rest_[1]))) return number();
    if (c == '"' || c == '\'') return quoted();
    for (const std::string_view symbol : {"**", "<=", ">=", "==", "!="})
      if (rest_.starts_with(symbol)) return add(Token::Kind::Symbol, 2);
    if (std::string_view("()[],=+-*/@^.<>").find(c) != std::string_view::npos) {
      depth_ += c == '(' || c == '[' ? 1 : c == ')' || c == ']' ? -1 : 0;
      return add(Token::Kind::Symbol, 1);
    }
    size_t bytes = 1;  // all of a UTF-8 character
    while (bytes < rest_.size() && width(rest_.substr(bytes, 1)) == 0) bytes++;
    const auto byte = static_cast<unsigned char>(c);
    const bool text = bytes == 1 ? byte >= ' ' && byte < 0x7f : byte >= 0xc2 && byte < 0xf5;
    if (!text) refuse(path_, at_, "unexpected byte {:#04x}: a check file is text", byte);
    refuse(path_, at_, "unexpected character '{}'", rest_.substr(0, bytes));
  }

  void line_break() {
    if (depth_ <= 0) add(Token::Kind::NewLine, 0);
    rest_.remove_prefix(1);
    at_ = {at_.line + 1, 1};
  }
  void number() {
    double value;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    const auto length = static_cast<size_t>(end - rest_.data());
    if (error != std::errc()) refuse(path_, at_, "the number {} is out of range", rest_.substr(0, length));
    add(Token::Kind::Number, length, value);
  }
  void quoted() {
    const size_t end = rest_.find_first_of(std::string{rest_[0], '\n'}, 1);
    if (end == std::string_view::npos || rest_[end] == '\n')
      refuse(path_, at_, "the quote {} is not closed in this line", rest_[0]);
    add(Token::Kind::Text, end + 1);
    tokens_.back().text = tokens_.back().text.substr(1, end - 1);
  }

  template <class F>
  size_t count(F of_word) const {
    return static_cast<size_t>(std::ranges::find_if_not(rest_, of_word) - rest_.begin());
  }
  void add(Token::Kind kind, size_t bytes, double value = NAN) {
    tokens_.push_back({kind, std::string(rest_.substr(0, bytes)), value, at_});
    skip(bytes);
  }
  void skip(size_t bytes) {
    at_.column += static_cast<int>(width(rest_.substr(0, bytes)));
    rest_.remove_prefix(bytes);
  }

  const std::string& path_;
  std::string_view rest_;
  std::vector<Token> tokens_;
  Place at_{1, 1};
  int depth_ = 0;
};

}  // namespace

std::string Token::described() const {
  if (kind == Kind::NewLine) return "the end of the line";
  if (kind == Kind::End) return "the end of the file";
  return kind == Kind::Text ? fmt::format("\"{}\"", text) : fmt::format("'{}'", text);
}

std::vector<Token> tokenize(const std::string& path, std::string_view text) {
  return Tokenizer(path, text).run();
}

}  // namespace gradus::examples
