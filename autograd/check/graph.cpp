#include <gradus/autograd/check/graph.h>

#include <algorithm>
#include <unordered_set>

namespace gradus {

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

}  // namespace gradus
