#include <gmock/gmock.h>
#include <gradus/autograd/check/graph.h>
#include <gradus/gradus.h>

#include <algorithm>

namespace gradus {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// loss = mean(tanh(x w) · tanh(x w)): two paths meet at the tanh.
struct TwoPaths {
  Tensor x = ones({3, 2}), w = ones({2, 4}).requires_grad_();
  Tensor h = tanh(matmul(x, w));
  Tensor loss = (h * h).mean();
};

TEST(Graph, NodesComeInBackwardOrderOnceEach) {
  const TwoPaths e;
  const auto nodes = graph_nodes(e.loss);
  std::vector<std::string> names(nodes.size());
  std::transform(nodes.begin(), nodes.end(), names.begin(), [](const Node* n) { return n->name(); });
  EXPECT_THAT(names, ElementsAre("mean", "mul", "tanh", "matmul", "leaf"));
  for (size_t i = 1; i < nodes.size(); i++) EXPECT_GT(nodes[i - 1]->seq(), nodes[i]->seq());
  EXPECT_THAT(graph_nodes(e.x), IsEmpty());
}

TEST(Graph, DeepGraphsAreWalkedWithoutRecursion) {
  Tensor y = ones({1}).requires_grad_();
  for (int i = 0; i < 200'000; i++) y = y + 1;
  EXPECT_EQ(graph_nodes(y).size(), 200'001u);
}

}  // namespace
}  // namespace gradus
