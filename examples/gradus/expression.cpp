#include "expression.h"

#include <common/npy.h>
#include <fmt/format.h>
#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/table.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "functions.h"
#include "words.h"

namespace gradus::examples {
namespace {

constexpr int kDeepest = 200, kMostCalls = 1000;

std::vector<std::string> names_of_functions() {
  std::vector<std::string> names;
  for (const Function& f : functions()) names.push_back(f.name);
  return names;
}

/// "1 tensor", "2 to 3 tensors"
std::string inputs_of(const Function& f) {
  if (f.min_inputs == f.max_inputs)
    return fmt::format("{} tensor{}", f.min_inputs, f.min_inputs == 1 ? "" : "s");
  if (f.max_inputs == std::numeric_limits<size_t>::max())
    return fmt::format("at least {} tensors", f.min_inputs);
  return fmt::format("{} to {} tensors", f.min_inputs, f.max_inputs);
}

std::string keywords_of(const Function& f) {
  return f.keywords.empty() ? "it has none" : fmt::format("it has {}", fmt::join(f.keywords, ", "));
}

}  // namespace

/// Refuses what would overflow the stack.
class Reader::Nesting {
 public:
  explicit Nesting(Reader& reader) : reader_(reader) {
    if (++reader_.depth_ > kDeepest)
      reader_.refuse(reader_.peek().place, "nested more than {} levels deep", kDeepest);
  }
  ~Nesting() { reader_.depth_--; }
  Nesting(const Nesting&) = delete;

 private:
  Reader& reader_;
};

Reader::Reader(const std::string& path, std::vector<Token> tokens)
    : path_(path), tokens_(std::move(tokens)) {}

bool Reader::accept(std::string_view symbol) {
  if (!peek().is(symbol)) return false;
  take();
  return true;
}

Token Reader::expect(Kind kind, std::string_view what) {
  if (peek().kind != kind) refuse(peek().place, "expected {}, found {}", what, peek().described());
  return take();
}

void Reader::expect(std::string_view symbol) {
  if (!accept(symbol)) refuse(peek().place, "expected '{}', found {}", symbol, peek().described());
}

void Reader::expect_end_of_line() {
  if (peek().kind != Kind::NewLine)
    refuse(peek().place, "expected an operator or the end of the line, found {}", peek().described());
  take();
}

void Reader::close(std::string_view symbol, const Token& open) {
  if (!accept(symbol))
    refuse(peek().place, "expected '{}' for the '{}' of {}:{}, found {}", symbol, open.text, open.place.line,
           open.place.column, peek().described());
}

Expression Reader::expression(const std::set<std::string>& names) {
  names_ = &names;
  calls_ = 0;
  return comparison();
}

Expression Reader::apply(const Function& f, Place at, std::vector<Expression> inputs, Attrs attrs) {
  if (++calls_ > kMostCalls) refuse(at, "more than {} operations in one expression", kMostCalls);
  return [&f, at, inputs = std::move(inputs), attrs = std::move(attrs), path = path_](const Values& values) {
    Tensors x;
    for (const Expression& input : inputs) x.push_back(input(values));
    try {
      return f.call(x, attrs);
    } catch (const std::exception& error) {
      // A row of the op table does not know its name when it reads its keywords.
      std::string_view reason = error.what();
      const bool keyword = reason.starts_with("attrs: ");
      if (keyword) reason.remove_prefix(7);
      examples::refuse(path, at, "{}{}", keyword ? f.name + ": keyword " : "", reason);
    }
  };
}

Expression Reader::comparison() {
  const Nesting level(*this);
  Expression left = sum();
  static const std::pair<const char*, const char*> kOps[] = {{"<", "lt"},  {"<=", "le"}, {">", "gt"},
                                                             {">=", "ge"}, {"==", "eq"}, {"!=", "ne"}};
  for (const auto& [symbol, op] : kOps) {
    const Place at = peek().place;
    if (accept(symbol)) return apply(op, at, {left, sum()});
  }
  return left;
}

Expression Reader::sum() {
  Expression left = product();
  while (peek().is("+") || peek().is("-")) {
    const Token op = take();
    left = apply(op.text == "+" ? "add" : "sub", op.place, {left, product()});
  }
  return left;
}

Expression Reader::product() {
  Expression left = negation();
  while (peek().is("*") || peek().is("/") || peek().is("@")) {
    const Token op = take();
    left = apply(op.text == "*" ? "mul" : op.text == "/" ? "div" : "matmul", op.place, {left, negation()});
  }
  return left;
}

Expression Reader::negation() {
  const Nesting level(*this);
  const Place at = peek().place;
  if (accept("-")) return apply("neg", at, {negation()});
  return power();
}

Expression Reader::power() {
  Expression base = postfix();
  const Place at = peek().place;
  if (!accept("^") && !accept("**")) return base;
  return apply("pow", at, {base, negation()});
}

Expression Reader::postfix() {
  Expression x = primary();
  while (peek().is(".")) {
    const Place at = take().place;
    const Token member = expect(Kind::Name, "T, the transpose, after the point");
    if (member.text != "T")
      refuse(member.place, "'.{}' is not known; .T is the transpose, functions are called as {}(x)",
             member.text, member.text);
    x = apply("t", at, {x});
  }
  return x;
}

Expression Reader::primary() {
  const Token& token = peek();
  if (token.kind == Kind::Name) return name_or_call();
  Tensor constant;
  if (token.kind == Kind::Number) {
    constant = tensor(take().value, kFloat64);
  } else if (token.kind == Kind::Text) {
    constant = file(take());
  } else if (token.is("[")) {
    constant = array();
  } else if (token.is("(")) {
    const Token open = take();
    Expression inner = comparison();
    close(")", open);
    return inner;
  } else {
    refuse(token.place, "expected a number, a name, an array, a \"file.npy\" or '(', found {}",
           token.described());
  }
  return [constant](const Values&) { return constant; };
}

Expression Reader::name_or_call() {
  const Token name = take();
  if (peek().is("(")) return call(name);
  if (names_->contains(name.text))
    return [name = name.text](const Values& values) { return values.at(name); };
  if (name.text == "nan" || name.text == "inf") {
    const double value = name.text == "nan" ? NAN : INFINITY;
    return [constant = tensor(value, kFloat64)](const Values&) { return constant; };
  }
  if (find_function(name.text))
    refuse(name.place, "'{}' is a function: it needs its arguments in brackets", name.text);
  refuse(name.place, "unknown name '{}'{}", name.text,
         did_you_mean(name.text, {names_->begin(), names_->end()}));
}

Expression Reader::call(const Token& name) {
  const Function* f = find_function(name.text);
  if (!f)
    refuse(name.place, "unknown function '{}'{}", name.text, did_you_mean(name.text, names_of_functions()));
  const Token open = take();
  std::vector<Expression> inputs;
  Attrs attrs;
  while (!peek().is(")")) {
    if (peek().kind == Kind::Name && tokens_[next_ + 1].is("=")) {
      const Token keyword = take();
      take();
      if (std::ranges::find(f->keywords, keyword.text) == f->keywords.end())
        refuse(keyword.place, "{} has no keyword '{}': {}", name.text, keyword.text, keywords_of(*f));
      attrs.set(keyword.text, keyword_value(keyword.text));
    } else {
      inputs.push_back(comparison());
    }
    if (!accept(",")) break;
  }
  close(")", open);
  if (inputs.size() < f->min_inputs || inputs.size() > f->max_inputs)
    refuse(name.place, "{} takes {}, not {}; of keywords {}", name.text, inputs_of(*f), inputs.size(),
           keywords_of(*f));
  return apply(*f, name.place, std::move(inputs), std::move(attrs));
}

Attrs::Value Reader::keyword_value(const std::string& keyword) {
  const Token& value = peek();
  const Place at = value.place;
  if (value.kind == Kind::Text) return take().text;
  if (value.kind == Kind::Name && (value.text == "True" || value.text == "False"))
    return take().text == "True" ? 1.0 : 0.0;
  const Tensor numbers = value.is("[") ? array() : tensor(signed_number(), kFloat64);
  if (numbers.dim() > 1) refuse(at, "expected a number or a list of numbers for {}", keyword);
  for (const double v : numbers.to_vector())
    if (!(std::abs(v) <= 0x1p53)) refuse(at, "{} cannot be {}", keyword, v);
  if (numbers.dim() == 1) return numbers.to_vector();
  return numbers.item();
}

Tensor Reader::array() {
  std::vector<double> values;
  Shape shape;
  row(take(), values, shape, 0);
  return tensor(values, shape, kFloat64);
}

void Reader::row(const Token& open, std::vector<double>& values, Shape& shape, int dim) {
  if (dim == kMaxRank) refuse(open.place, "an array of more than {} dims", kMaxRank);
  // The first row of each dim decides; all others must be like it.
  const bool first = dim == shape.rank();
  if (first) shape.push_back(0);
  int64_t elements = 0;
  while (!peek().is("]")) {
    const Token at = peek();
    const bool nested = at.is("[");
    if (elements > 0 || !first) {
      if (nested && dim + 1 == shape.rank()) refuse(at.place, "expected a number as before, found a row");
      if (!nested && dim + 1 < shape.rank())
        refuse(at.place, "expected a row as before, found {}", at.described());
    }
    if (nested) {
      row(take(), values, shape, dim + 1);
    } else {
      const bool number = at.kind == Kind::Number || at.is("-") || at.text == "nan" || at.text == "inf";
      if (!number) close("]", open);
      values.push_back(signed_number());
    }
    elements++;
    accept(",");  // NumPy prints none
  }
  close("]", open);
  if (elements == 0) refuse(open.place, "an array without elements");
  if (first)
    shape[dim] = elements;
  else if (shape[dim] != elements)
    refuse(open.place, "rows of different lengths: {} here, {} in the first one", elements, shape[dim]);
}

double Reader::signed_number() {
  const Place at = peek().place;
  const bool negative = accept("-");
  const Token token = take();
  if (negative && token.place.column != at.column + 1)
    refuse(at, "expected a number: nothing is computed within an array");
  if (token.kind == Kind::Name && token.text == "nan") return NAN;
  if (token.kind == Kind::Name && token.text == "inf") return negative ? -INFINITY : INFINITY;
  if (token.kind != Kind::Number) refuse(token.place, "expected a number, found {}", token.described());
  return negative ? -token.value : token.value;
}

Tensor Reader::file(const Token& name) const {
  const std::filesystem::path path = std::filesystem::path(path_).parent_path() / name.text;
  try {
    const Array array = read_npy(path.string(), true);
    NoGrad no_grad;
    Tensor x = empty(array.shape, array.dtype);
    std::ranges::copy(array.data, x.raw());
    return x.to(kFloat64);
  } catch (const Error& error) {
    refuse(name.place, "{}", error.what());
  }
}

}  // namespace gradus::examples
