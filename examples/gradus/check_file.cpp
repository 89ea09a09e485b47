#include "check_file.h"

#include <common/file.h>
#include <fmt/format.h>
#include <gradus/autograd/check/gradcheck.h>
#include <gradus/autograd/ops/elementwise.h>

#include <cmath>
#include <memory>

#include "expression.h"
#include "words.h"

namespace gradus::examples {
namespace {

/// "the number of rows of x" is how a diagnosis goes on.
std::string counted(const std::string& name, int dim, int rank) {
  if (rank == 1) return fmt::format("elements of {}", name);
  if (rank == 2) return fmt::format("{} of {}", dim == 0 ? "rows" : "columns", name);
  return fmt::format("dim {} of {}", dim, name);
}

std::string text_of(const std::string& path) {
  const std::vector<std::byte> bytes = read_file("check", path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// One name of the file.
struct Definition {
  std::string name;
  Place place;
  Expression expression;  // of a let; an input keeps its value
  bool before_function;
};

class FileReader {
 public:
  explicit FileReader(const std::string& path)
      : path_(path), reader_(path_, tokenize(path_, text_of(path_))) {}

  CheckFile run() {
    NoGrad no_grad;
    while (reader_.peek().kind != Token::Kind::End) statement();
    if (!function_) fail<FileError>("{}: no statement `function EXPRESSION`", path_);
    if (claims_.empty()) fail<FileError>("{}: no statement `gradient NAME = VALUE`: nothing to check", path_);
    return finish();
  }

 private:
  struct Claim {
    const Definition* of;
    Tensor gradient;
  };

  void statement() {
    const Token first = reader_.take();
    if (first.kind == Token::Kind::NewLine) return;
    using Read = void (FileReader::*)(Place);
    static const std::pair<const char*, Read> kStatements[] = {{"input", &FileReader::read_input},
                                                               {"let", &FileReader::read_let},
                                                               {"function", &FileReader::read_function},
                                                               {"gradient", &FileReader::read_gradient},
                                                               {"tolerance", &FileReader::read_tolerance}};
    std::vector<std::string> words;
    for (const auto& [word, read] : kStatements) {
      words.emplace_back(word);
      if (first.kind != Token::Kind::Name || first.text != word) continue;
      (this->*read)(first.place);
      reader_.expect_end_of_line();
      return;
    }
    refuse(path_, first.place, "expected a statement ({}), found {}{}", fmt::join(words, ", "),
           first.described(), did_you_mean(first.text, words));
  }

  /// NAME =, not defined yet.
  Definition& define() {
    const Token name = reader_.expect(Token::Kind::Name, "a name");
    if (const Definition* before = find(name.text))
      refuse(path_, name.place, "'{}' is defined already, in line {}", name.text, before->place.line);
    reader_.expect("=");
    return *definitions_.emplace_back(
        std::make_shared<Definition>(Definition{name.text, name.place, {}, !function_}));
  }
  const Definition* find(const std::string& name) const {
    for (const auto& d : definitions_)
      if (d->name == name) return d.get();
    return nullptr;
  }
  /// An expression of what is above it, and its value.
  std::pair<Expression, Tensor> expression() {
    const Expression e = reader_.expression(names_);
    return {e, e(values_)};
  }
  void keep(const Definition& d, const Tensor& value) {
    names_.insert(d.name);
    values_[d.name] = value;
  }
  void require_finite(const Tensor& x, Place at, const std::string& what) const {
    const std::vector<double> values = x.to_vector();
    for (size_t i = 0; i < values.size(); i++) {
      if (std::isfinite(values[i])) continue;
      const Shape index = detail::unravel(static_cast<int64_t>(i), x.shape());
      const char* value = std::isnan(values[i]) ? "NaN" : values[i] > 0 ? "inf" : "-inf";
      refuse(path_, at, "{} is {}{}", what, value, x.dim() == 0 ? "" : fmt::format(" at {}", index));
    }
  }

  void read_input(Place) {
    const Definition& d = define();
    const Place at = reader_.peek().place;
    const Tensor value = expression().second;
    require_finite(value, at, d.name);
    keep(d, value);
  }
  void read_let(Place) {
    Definition& d = define();
    const auto [e, value] = expression();
    d.expression = e;
    keep(d, value);
  }
  void read_function(Place at) {
    if (function_) refuse(path_, at, "a second function: there must be one");
    const Place start = reader_.peek().place;
    const auto [e, value] = expression();
    if (value.numel() != 1)
      refuse(path_, start, "the function must give one number, not {}: take its sum or mean", value.shape());
    require_finite(value.reshape({}), start, "at this point nothing can be checked: the function");
    function_ = e;
    file_.value = value.item();
  }
  void read_gradient(Place) {
    const Token name = reader_.expect(Token::Kind::Name, "the name of an input or let");
    const Definition* d = find(name.text);
    if (!d)
      refuse(path_, name.place, "unknown name '{}'{}", name.text,
             did_you_mean(name.text, {names_.begin(), names_.end()}));
    if (!d->before_function)
      refuse(path_, name.place, "the function does not depend on '{}', which is defined below it", name.text);
    for (const Claim& c : claims_)
      if (c.of == d) refuse(path_, name.place, "a second gradient of '{}'", name.text);
    reader_.expect("=");
    const Place at = reader_.peek().place;
    const Tensor g = expression().second;
    require_finite(g, at, fmt::format("the claimed gradient of {}", name.text));
    claims_.push_back({d, g});
  }
  void read_tolerance(Place at) {
    if (file_.tolerance) refuse(path_, at, "a second tolerance");
    const Token number = reader_.expect(Token::Kind::Number, "a number above 0");
    if (!(number.value > 0)) refuse(path_, number.place, "expected a number above 0, found {}", number.text);
    file_.tolerance = number.value;
  }

  CheckFile finish() {
    std::vector<const Definition*> claimed;
    for (const Claim& c : claims_) {
      claimed.push_back(c.of);
      file_.names.push_back(c.of->name);
      file_.point.push_back(values_.at(c.of->name));
      file_.claims.push_back(c.gradient);
    }
    for (const auto& d : definitions_) {
      const bool is_claimed = std::ranges::find(claimed, d.get()) != claimed.end();
      if (is_claimed || d->expression || !d->before_function) continue;
      const Shape& shape = values_.at(d->name).shape();
      for (int k = 0; k < shape.rank(); k++)
        file_.sizes.emplace_back(counted(d->name, k, shape.rank()), shape[k]);
    }
    // So that 4 is a size of 4 rather than the square of a size of 2.
    std::ranges::stable_sort(file_.sizes, std::greater(), &std::pair<std::string, int64_t>::second);
    file_.function = [definitions = std::move(definitions_), function = *function_, claimed,
                      point = values_](const Tensors& x) {
      Values values = point;
      for (const auto& d : definitions) {
        if (!d->before_function) break;
        Tensor& value = values.at(d->name);
        if (d->expression) value = d->expression(values);
        const auto at = std::ranges::find(claimed, d.get()) - claimed.begin();
        if (at == std::ssize(claimed)) continue;
        // A let is moved by as much as its place among the claimed ones is.
        const Tensor& moved = x[static_cast<size_t>(at)];
        value = d->expression ? value + (moved - point.at(d->name)) : moved;
      }
      return function(values);
    };
    return std::move(file_);
  }

  const std::string path_;
  Reader reader_;
  std::vector<std::shared_ptr<Definition>> definitions_;
  std::set<std::string> names_;
  Values values_;
  std::optional<Expression> function_;
  std::vector<Claim> claims_;
  CheckFile file_;
};

}  // namespace

CheckFile read_check_file(const std::string& path) { return FileReader(path).run(); }

}  // namespace gradus::examples
