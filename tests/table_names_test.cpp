#include "table_support.h"

#include <gmock/gmock.h>
#include <gradus/autograd/engine/custom.h>

#include <filesystem>
#include <map>
#include <regex>
#include <set>

#include "text_support.h"

/// The table is whole: every public op has a row, and every node that an op records belongs to one.
namespace gradus::table {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

std::string code_of(const fs::path& path) {
  return std::regex_replace(text_of(path), std::regex("//[^\n]*"), "");
}

/// What of Tensor's is no op: its history, and what only passes on to another member.
const Names kNoOps = {"Tensor::grad",       "Tensor::requires_grad_", "Tensor::retain_grad",
                      "Tensor::operator+=", "Tensor::operator-=",     "Tensor::operator*=",
                      "Tensor::operator/="};

/// The functions in a header that take tensors and give some; indented ones are Tensor's members.
Names ops_in(const std::string& header) {
  static const std::regex declaration(
      R"((?:^|\n)(  )?(?:Tensors|Tensor&?|std::tuple<Tensor, Tensor>) (operator\S+?|\w+)\(([^;{]*))");
  Names ops;
  for (auto d = std::sregex_iterator(header.begin(), header.end(), declaration); d != std::sregex_iterator();
       ++d) {
    const bool member = (*d)[1].matched;
    const std::string name = (member ? "Tensor::" : "") + (*d)[2].str();
    const bool takes_tensor = member || (*d)[3].str().find("Tensor") != std::string::npos;
    if (takes_tensor && name != "Tensor::operator=" && !kNoOps.contains(name)) ops.insert(name);
  }
  return ops;
}

std::string unqualified(const std::string& name) {
  return name.starts_with("Tensor::") ? name.substr(8) : name;
}

/// A member may be covered by the free function of its name; an operator stands for itself.
Names without_row(const Names& ops, const Names& functions) {
  Names plain, missing;
  for (const std::string& f : functions) plain.insert(unqualified(f));
  for (const std::string& op : ops) {
    const bool is_operator = unqualified(op).starts_with("operator");
    if (is_operator ? !functions.contains(op) : !plain.contains(unqualified(op))) missing.insert(op);
  }
  return missing;
}

Names functions_of_rows() {
  Names functions;
  for (const OpRow& row : op_table()) functions.insert(row.function);
  return functions;
}

Names public_ops() {
  const fs::path root = fs::path(GRADUS_SOURCE_DIR) / "autograd";
  Names ops = ops_in(code_of(root / "core" / "tensor.h"));
  for (const auto& entry : fs::directory_iterator(root / "ops")) {
    // Entry points for ops, and the table itself.
    const std::string name = entry.path().filename();
    if (entry.path().extension() == ".h" && name != "pointwise.h" && name != "table.h")
      ops.merge(ops_in(code_of(entry.path())));
  }
  return ops;
}

TEST(Table, EveryPublicOpHasARow) {
  const Names ops = public_ops();
  EXPECT_GT(ops.size(), 60u);
  for (const char* known : {"exp", "cross_entropy", "max", "scatter_add", "Tensor::slice", "Tensor::add_",
                            "Tensor::operator-", "Tensor::operator[]", "operator/", "operator<="})
    EXPECT_TRUE(ops.contains(known)) << known << " was not found in the headers";
  EXPECT_THAT(without_row(ops, functions_of_rows()), testing::IsEmpty());
}

TEST(Table, EveryRowStandsForAPublicOp) {
  const Names ops = public_ops();
  for (const OpRow& row : op_table())
    EXPECT_TRUE(ops.contains(row.function)) << row.name << ": " << row.function;
}

TEST(Table, AnOpWithoutARowIsFound) {
  const std::string header =
      "/// y = x\nTensor known(const Tensor& x);\nTensor fresh(\n    const Tensor& x = {}, double a);\n"
      "std::tuple<Tensor, Tensor> pair(const Tensor& x);\nTensor zeros(const Shape& shape);\n"
      "class Tensor {\n  Tensor& fresh_(Scalar s);\n  Tensor sum() const;\n  Tensor grad() const;\n"
      "  Tensor operator-() const;\n};\nTensor operator-(const Tensor& a, const Tensor& b);\n";
  const Names ops = ops_in(header);
  EXPECT_THAT(ops, testing::ElementsAre("Tensor::fresh_", "Tensor::operator-", "Tensor::sum", "fresh",
                                        "known", "operator-", "pair"));
  EXPECT_THAT(without_row(ops, {"known", "sum", "operator-"}),
              testing::ElementsAre("Tensor::fresh_", "Tensor::operator-", "fresh", "pair"));
}

TEST(Table, NamesAreUnique) {
  Names names;
  for (const OpRow& row : op_table()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name << " is there twice";
    EXPECT_EQ(find_op(row.name), &row);
  }
  EXPECT_EQ(find_op("no_such_op"), nullptr);
}

// ---- nodes

/// Nodes that are no row's own: what views and in-place writes are made of, and variants of a row's rule.
const Names kOtherNodes = {"leaf",
                           "as_strided",
                           "embed",
                           "blank",
                           "view_write",
                           "copy",                  // fill_, zero_
                           "bce_with_pos_weight"};  // binary_cross_entropy_with_logits

Names strange_nodes(const Tensors& results) {
  static const Names known = [] {
    Names names = kOtherNodes;
    for (const OpRow& row : op_table()) {
      names.insert(row.name);
      names.insert(unqualified(row.function));
    }
    return names;
  }();
  Names strange;
  std::set<const Node*> seen;
  std::vector<const Node*> todo;
  for (const Tensor& y : results)
    if (y.requires_grad()) todo.push_back(y.edge().node.get());
  while (!todo.empty()) {
    const Node* node = todo.back();
    todo.pop_back();
    if (!seen.insert(node).second) continue;
    if (!known.contains(node->name())) strange.insert(node->name());
    for (const Edge& e : node->edges())
      if (e) todo.push_back(e.node.get());
  }
  return strange;
}

TEST(Table, EveryNodeBelongsToARow) {
  for_each_sample(differentiable, [](const OpRow& row, const OpSample& sample, size_t k) {
    const Tensors x = leaves(sample.inputs);
    const Tensors y = recorded_of(run(row, x, sample.attrs));
    EXPECT_THAT(strange_nodes(y), testing::IsEmpty()) << place(row, k);
    EXPECT_THAT(strange_nodes(gradients(y, floating_of(x), random_gradients(y, 3), true)), testing::IsEmpty())
        << place(row, k, "its gradient");
  });
}

TEST(Table, ANodeWithoutARowIsFound) {
  Tensor x = scattered({2});
  x.requires_grad_();
  const Tensor y = custom(
      "mystery", {x}, [](Context&, const Tensors& in) { return in[0] * 2; },
      [](const Context&, const Tensor& g) -> Tensors { return {g * 2}; });
  EXPECT_THAT(strange_nodes({exp(y) + x}), testing::ElementsAre("mystery"));
}

}  // namespace
}  // namespace gradus::table
