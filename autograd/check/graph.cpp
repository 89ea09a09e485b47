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

std::vector<BackwardStep> explain(const Tensor& y, const NamedTensors& names) {
  const std::vector<const Node*> nodes = graph_nodes(y);
  std::unordered_map<const Node*, size_t> at;
  for (size_t i = 0; i < nodes.size(); i++) at[nodes[i]] = i;
  std::vector<BackwardStep> steps(nodes.size());
  for (size_t i = 0; i < nodes.size(); i++) {
    steps[i].op = nodes[i]->name();
    steps[i].formula = nodes[i]->formula();
    for (uint32_t k = 0; k < nodes[i]->num_outputs(); k++) steps[i].outputs.push_back(nodes[i]->shape(k));
    for (const Edge& e : nodes[i]->edges())
      if (e) steps[i].inputs.push_back(at[e.node.get()]);
  }
  for (const auto& [name, x] : names)
    if (const auto found = at.find(x.edge().node.get()); found != at.end()) steps[found->second].name = name;
  return steps;
}

std::string str(const std::vector<BackwardStep>& steps) {
  std::string text;
  for (size_t i = 0; i < steps.size(); i++) {
    const BackwardStep& s = steps[i];
    text += fmt::format("{:>3}  {:<12}", i, s.name.empty() ? s.op : s.name);
    for (const Shape& shape : s.outputs) text += fmt::format(" {}", shape);
    for (size_t k = 0; k < s.inputs.size(); k++) text += fmt::format("{}{}", k ? ", " : "  -> ", s.inputs[k]);
    if (!s.formula.empty()) text += "   " + s.formula;
    text += '\n';
  }
  return text;
}

std::string to_dot(const Tensor& y, const NamedTensors& names) {
  const std::vector<BackwardStep> steps = explain(y, names);
  std::string dot = "digraph gradus {\n  rankdir=BT;\n";
  for (size_t i = 0; i < steps.size(); i++) {
    const BackwardStep& s = steps[i];
    std::string label = escaped(s.name.empty() ? s.op : s.name);
    for (const Shape& shape : s.outputs) label += "\\n" + shape.str();
    dot += fmt::format("  n{} [label=\"{}\", shape={}{}];\n", i, label, s.op == "leaf" ? "box" : "ellipse",
                       i == 0 ? ", peripheries=2" : "");
  }
  for (size_t i = 0; i < steps.size(); i++)
    for (size_t to : steps[i].inputs) dot += fmt::format("  n{} -> n{};\n", to, i);
  return dot + "}\n";
}

}  // namespace gradus
