#pragma once
#include <gradus/autograd/core/tensor.h>

#include <string>
#include <variant>
#include <vector>

#pragma GCC visibility push(default)

/// The op table: one row for each op, beside its definition in NAME_rows.cpp. Tests, benchmarks and the
/// conformance runner know ops only through it. It is an object of its own, which only these link.
namespace gradus {

/// The attributes of a call: numbers, lists of numbers and words by name. An attribute that is null is
/// absent.
class Attrs {
 public:
  using Value = std::variant<double, std::vector<double>, std::string>;
  Attrs() = default;
  Attrs(std::initializer_list<std::pair<std::string, Value>> values) : values_(values) {}

  void set(std::string name, Value value) { values_.emplace_back(std::move(name), std::move(value)); }
  bool has(const std::string& name) const { return find(name) != nullptr; }
  /// The number; Error if it is absent or no number.
  double number(const std::string& name) const;
  double number(const std::string& name, double otherwise) const {
    return has(name) ? number(name) : otherwise;
  }
  int64_t integer(const std::string& name) const { return static_cast<int64_t>(number(name)); }
  int64_t integer(const std::string& name, int64_t otherwise) const {
    return has(name) ? integer(name) : otherwise;
  }
  bool flag(const std::string& name, bool otherwise = false) const {
    return has(name) ? number(name) != 0 : otherwise;
  }
  /// The list as sizes or dims; a single number is a list of one.
  Shape shape(const std::string& name) const;
  std::string word(const std::string& name, const std::string& otherwise) const;
  const std::vector<std::pair<std::string, Value>>& values() const { return values_; }

 private:
  const Value* find(const std::string& name) const;
  std::vector<std::pair<std::string, Value>> values_;
};

/// One call that is known to be good: float64 inputs away from kinks, in a shape that shows the op's rules.
struct OpSample {
  Tensors inputs;
  Attrs attrs;
};

struct OpRow {
  /// The op's name in the conformance corpus; an in-place form ends in _ and changes inputs[0].
  const char* name;
  /// The public function that it stands for ("softmax", "Tensor::transpose", "operator+"): a test finds ops
  /// without a row.
  const char* function;
  /// The results. Optional inputs that are missing are not in the list.
  Tensors (*call)(const Tensors& inputs, const Attrs& attrs);
  std::vector<OpSample> (*samples)();
  /// Pointwise rows are also checked on broadcast, empty, transposed and sliced inputs, special values, every
  /// dtype.
  bool pointwise = false;
  /// How often it can be differentiated: 0 for results without a gradient.
  int orders = 2;
  /// Calls that must be refused.
  std::vector<OpSample> (*bad)() = nullptr;
};

/// Numbers for samples: float64, scattered over [low, high), all different, the same on every call. Numbers
/// of different `set`s (0 … 3) differ, too.
Tensor scattered(const Shape& shape, double low = -2, double high = 2, int set = 0);

/// All rows, by name.
const std::vector<OpRow>& op_table();
/// The row of that name, or null.
const OpRow* find_op(const std::string& name);

/// The parts of the table.
std::vector<OpRow> elementwise_rows();
std::vector<OpRow> view_rows();
std::vector<OpRow> reduce_rows();
std::vector<OpRow> matmul_rows();
std::vector<OpRow> join_rows();
std::vector<OpRow> index_rows();
std::vector<OpRow> loss_rows();

}  // namespace gradus

#pragma GCC visibility pop
