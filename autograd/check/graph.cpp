#include <gradus/autograd/check/graph.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace gradus {
namespace {

std::string escaped(const std::string& text) {
  std::string s;
  for (char c : text) {
    if (c == '"' || c == '\\') s += '\\';
    s += c;
  }
  return s;
}

}  // namespace

std::vector<const Node*> graph_nodes(const Tensor& y) {
  std::vector<const Node*> nodes;
  std::unordered_set<const Node*> seen;
  const auto visit = [&](const Edge& e) {
    if (e && seen.insert(e.node.get()).second) nodes.push_back(e.node.get());
  };
  visit(y.edge());
  for (size_t i = 0; i < nodes.size(); i++)
    for (const Edge& e : nodes[i]->edges()) visit(e);
  std::sort(nodes.begin(), nodes.end(), [](const Node* a, const Node* b) { return a->seq() > b->seq(); });
  return nodes;
}

std::string to_dot(const Tensor& y, const NamedTensors& names) {
  const std::vector<const Node*> nodes = graph_nodes(y);
  std::unordered_map<const Node*, size_t> at;
  for (size_t i = 0; i < nodes.size(); i++) at[nodes[i]] = i;
  std::vector<std::string> labels;
  for (const Node* node : nodes) labels.emplace_back(node->name());
  for (const auto& [name, x] : names)
    if (const auto found = at.find(x.edge().node.get()); found != at.end()) labels[found->second] = name;
  std::string dot = "digraph gradus {\n  rankdir=BT;\n";
  for (size_t i = 0; i < nodes.size(); i++) {
    std::string label = escaped(labels[i]);
    for (uint32_t k = 0; k < nodes[i]->num_outputs(); k++) label += "\\n" + nodes[i]->shape(k).str();
    dot += fmt::format("  n{} [label=\"{}\", shape={}{}];\n", i, label,
                       nodes[i]->is_leaf() ? "box" : "ellipse", i == 0 ? ", peripheries=2" : "");
  }
  for (size_t i = 0; i < nodes.size(); i++)
    for (const Edge& e : nodes[i]->edges())
      if (e) dot += fmt::format("  n{} -> n{};\n", at[e.node.get()], i);
  return dot + "}\n";
}

}  // namespace gradus
