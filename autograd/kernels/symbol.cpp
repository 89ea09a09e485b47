#include <gradus/autograd/kernels/symbol.h>

#include <fmt/core.h>

#include <cctype>

namespace gradus {
namespace {

constexpr const char* kSuperscripts[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
std::string to_the(int n) {
  std::string text;
  for (char digit : std::to_string(n)) text += kSuperscripts[digit - '0'];
  return text;
}

}  // namespace

const char* detail::operand_name(int k, int n) {
  constexpr const char* names[] = {"a", "b", "c", "d", "e", "f", "u", "v"};
  return n == 1 ? "x" : names[k];
}

std::string detail::gradient_text(const Symbol& x, const Symbol& gradient) {
  return fmt::format("{}d{} = {}", kGap, x.text(), gradient.text());
}

Symbol::Symbol(double number) : last_(fmt::format("{:.6g}", number)) {}

std::string Symbol::text() const { return first_ + last_ + (times_ == 1 ? "" : to_the(times_)); }

bool Symbol::is_number() const {
  return level_ == atom && (std::isdigit(static_cast<unsigned char>(last_[0])) || negative());
}

std::string Symbol::within(Level level, bool at_the_left) const {
  const bool alone = level_ >= level && (at_the_left || !negative());
  return alone ? text() : fmt::format("({})", text());
}

// What the header says of visibility, g++ 12 forgets for friends.
#pragma GCC visibility push(default)

Symbol operator+(const Symbol& a, const Symbol& b) {
  return {Symbol::sum, fmt::format("{} + {}", a.within(Symbol::sum), b.within(Symbol::sum, false))};
}
Symbol operator-(const Symbol& a, const Symbol& b) {
  return {Symbol::sum, fmt::format("{} - {}", a.within(Symbol::sum), b.within(Symbol::quotient, false))};
}

Symbol operator*(const Symbol& a, const Symbol& b) {
  if (a.is("1")) return b;
  if (b.is("1")) return a;
  if (b.is_number() && !a.is_number()) return b * a;
  Symbol y = a.level_ >= Symbol::product ? a : Symbol(Symbol::atom, a.within(Symbol::product));
  const std::string factor = b.within(Symbol::power, false);
  y.level_ = Symbol::product;
  if (factor == y.last_) {
    if (a.level_ >= Symbol::power) y.level_ = Symbol::power;
    y.times_++;
  } else {
    y.first_ = y.text() + " ";
    y.last_ = factor;
    y.times_ = 1;
  }
  return y;
}
Symbol operator/(const Symbol& a, const Symbol& b) {
  if (b.is("1")) return a;
  return {Symbol::quotient,
          fmt::format("{} / {}", a.within(Symbol::product), b.within(Symbol::power, false))};
}
Symbol operator-(const Symbol& a) {
  Symbol y =
      a.level_ >= Symbol::quotient && !a.negative() ? a : Symbol(Symbol::atom, fmt::format("({})", a.text()));
  if (y.level_ > Symbol::product) y.level_ = Symbol::product;
  y.first_.insert(0, 1, '-');
  return y;
}

Symbol Symbol::compared(const Symbol& a, const char* sign, const Symbol& b) {
  return {comparison, fmt::format("{} {} {}", a.within(sum), sign, b.within(sum))};
}
Symbol Symbol::called(const char* function, const Symbol& a, const Symbol* b) {
  return {atom, b ? fmt::format("{}({}, {})", function, a.text(), b->text())
                  : fmt::format("{}({})", function, a.text())};
}
Symbol abs(const Symbol& a) { return {Symbol::atom, fmt::format("|{}|", a.text())}; }

Symbol pow(const Symbol& a, const Symbol& b) {
  if (b.is("1")) return a;
  const std::string base = a.within(Symbol::atom, false);
  if (b.is_number() && b.last_.size() == 1) {
    Symbol y(Symbol::power, base);
    y.times_ = b.last_[0] - '0';
    return y;
  }
  return {Symbol::power, fmt::format("{}^{}", base, b.within(Symbol::atom, false))};
}

Symbol where(const Symbol& mask, const Symbol& a, const Symbol& b) {
  return {Symbol::choice,
          fmt::format("{} where {}, {}{}", a.within(Symbol::sum), mask.within(Symbol::comparison),
                      b.level_ == Symbol::choice ? "" : "else ", b.text())};
}

#pragma GCC visibility pop

}  // namespace gradus
