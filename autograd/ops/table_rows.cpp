#include <gradus/autograd/ops/create.h>
#include <gradus/autograd/ops/table.h>

#include <algorithm>
#include <cmath>

namespace gradus {

const Attrs::Value* Attrs::find(const std::string& name) const {
  for (const auto& [key, value] : values_)
    if (key == name) return &value;
  return nullptr;
}

double Attrs::number(const std::string& name) const {
  const Value* value = find(name);
  if (!value) fail("attrs: '{}' is missing", name);
  if (const double* number = std::get_if<double>(value)) return *number;
  fail("attrs: '{}' is no number", name);
}

Shape Attrs::shape(const std::string& name) const {
  const Value* value = find(name);
  if (!value) fail("attrs: '{}' is missing", name);
  if (const double* number = std::get_if<double>(value)) return {static_cast<int64_t>(*number)};
  const auto* list = std::get_if<std::vector<double>>(value);
  if (!list) fail("attrs: '{}' is no list of numbers", name);
  return std::vector<int64_t>(list->begin(), list->end());
}

std::string Attrs::word(const std::string& name, const std::string& otherwise) const {
  const Value* value = find(name);
  if (!value) return otherwise;
  const auto* word = std::get_if<std::string>(value);
  if (!word) fail("attrs: '{}' is no word", name);
  return *word;
}

Tensor scattered(const Shape& shape, double low, double high, int set) {
  // Multiples of an irrational number, modulo 1, never meet and cover the interval evenly.
  const double step = std::sqrt(std::vector{2.0, 3.0, 5.0, 7.0}.at(static_cast<size_t>(set)));
  std::vector<double> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); i++) {
    const double at = static_cast<double>(i + 1) * step;
    values[i] = low + (high - low) * (at - std::floor(at));
  }
  return tensor(values, shape, kFloat64);
}

const std::vector<OpRow>& op_table() {
  static const std::vector<OpRow> table = [] {
    std::vector<OpRow> rows;
    for (auto part :
         {elementwise_rows, view_rows, reduce_rows, matmul_rows, join_rows, index_rows, loss_rows})
      for (const OpRow& row : part()) rows.push_back(row);
    std::sort(rows.begin(), rows.end(),
              [](const OpRow& a, const OpRow& b) { return std::string(a.name) < b.name; });
    return rows;
  }();
  return table;
}

const OpRow* find_op(const std::string& name) {
  const auto& table = op_table();
  const auto row = std::lower_bound(table.begin(), table.end(), name,
                                    [](const OpRow& a, const std::string& b) { return a.name < b; });
  return row != table.end() && row->name == name ? &*row : nullptr;
}

}  // namespace gradus
