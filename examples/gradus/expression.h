#pragma once
#include <gradus/autograd/core/tensor.h>

#include <functional>
#include <map>
#include <set>

#include "functions.h"
#include "tokens.h"

namespace gradus::examples {

/// Tensors by name.
using Values = std::map<std::string, Tensor>;

/// An expression, ready to be computed. Its errors say where in the file the refused step stands.
using Expression = std::function<Tensor(const Values&)>;

/// Reads tokens from the front on. Everything that is not as it should be throws FileError
/// `path:line:column: what was expected`.
class Reader {
 public:
  Reader(const std::string& path, std::vector<Token> tokens);

  const Token& peek() const { return tokens_[next_]; }
  Token take() { return tokens_[next_ + 1 < tokens_.size() ? next_++ : next_]; }
  bool accept(std::string_view symbol);
  Token expect(Token::Kind kind, std::string_view what);
  void expect(std::string_view symbol);
  void expect_end_of_line();

  /// An expression over `names`, in which nothing is computed yet:
  ///
  ///     a < b, <=, >, >=, ==, !=;   a + b, a - b;   a * b, a / b, a @ b;   -a;   a ^ b or a ** b;   a.T
  ///     numbers, names, (a), [[1, 2], [3, 4]], "file.npy", function(a, b, keyword=1)
  ///
  /// from the loosest to the tightest; the power binds to the right. Names must be known, functions those of
  /// functions.h. All arrays become float64.
  Expression expression(const std::set<std::string>& names);

 private:
  using Kind = Token::Kind;
  class Nesting;

  template <class... Args>
  [[noreturn]] void refuse(Place at, fmt::format_string<Args...> text, Args&&... args) const {
    examples::refuse(path_, at, text, std::forward<Args>(args)...);
  }
  /// The ')' or ']' of a bracket that was opened at `open`.
  void close(std::string_view symbol, const Token& open);

  Expression comparison();
  Expression sum();
  Expression product();
  Expression negation();
  Expression power();
  Expression postfix();
  Expression primary();
  Expression name_or_call();
  Expression call(const Token& name);
  /// What calls f; `at` is where its errors are. Counts calls, which nest when they are computed.
  Expression apply(const Function& f, Place at, std::vector<Expression> inputs, Attrs attrs = {});
  Expression apply(const char* op, Place at, std::vector<Expression> inputs) {
    return apply(*find_function(op), at, std::move(inputs));
  }
  Attrs::Value keyword_value(const std::string& keyword);
  Tensor array();
  void row(const Token& open, std::vector<double>& values, Shape& shape, int dim);
  double signed_number();
  Tensor file(const Token& name) const;

  const std::string& path_;
  std::vector<Token> tokens_;
  size_t next_ = 0;
  int depth_ = 0, calls_ = 0;
  const std::set<std::string>* names_ = nullptr;
};

}  // namespace gradus::examples
