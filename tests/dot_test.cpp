#include <gmock/gmock.h>
#include <gradus/gradus.h>

#include <algorithm>
#include <fstream>
#include <regex>

#include "needs.h"
#include "text_support.h"

namespace gradus {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

/// loss = mean(h h), h = tanh(x w): two paths meet at h.
struct Example {
  KeepValues keep;
  Tensor x = ones({3, 2}), w = full({2, 4}, 0.5).requires_grad_();
  Tensor h = tanh(matmul(x, w));
  Tensor loss = (h * h).mean();
  NamedTensors names{{"w", w}, {"x", x}, {"h", h}};
};

/// The line of the node whose label begins with a title.
std::string node_of(const std::string& dot, const std::string& title) {
  const size_t at = dot.find("[label=<<B>" + title + "</B>");
  if (at == std::string::npos) return "no node " + title;
  const size_t begin = dot.rfind('\n', at) + 1;
  return dot.substr(begin, dot.find('\n', at) - begin);
}

/// What Graphviz makes of a graph, or nothing where it refuses it.
std::string laid_out(const std::string& dot, const std::string& format) {
  const TemporaryFolder folder;
  std::ofstream(folder / "graph.dot") << dot;
  if (std::system(
          ("dot -T" + format + " '" + (folder / "graph.dot") + "' >'" + (folder / "out") + "' 2>&1").c_str()))
    return "";
  return text_of(folder / "out");
}

TEST(Dot, EachNodeHasItsOpShapeValueAndGradient) {
  const Example e;
  const std::string dot = to_dot(e.loss, e.names);
  EXPECT_THAT(dot, testing::StartsWith("digraph gradus {"));
  const double h = std::tanh(1), dh = 2 * h / 12, dw = 3 * dh * (1 - h * h);
  const auto range = [](double v) { return fmt::format("{0:.3g} … {0:.3g}", v); };
  const std::string loss = node_of(dot, "mean"), tanh = node_of(dot, "h = tanh"), w = node_of(dot, "w");
  EXPECT_THAT(loss, HasSubstr(fmt::format(">value {:.4g}<", h * h)));
  EXPECT_THAT(loss, HasSubstr(">gradient 1<"));
  EXPECT_THAT(tanh, HasSubstr("[3, 4]"));
  EXPECT_THAT(tanh, HasSubstr(">value " + range(h) + "<"));
  EXPECT_THAT(tanh, HasSubstr(">gradient " + range(dh) + "<"));
  EXPECT_THAT(w, HasSubstr(">value 0.5 … 0.5<"));
  EXPECT_THAT(w, HasSubstr(">gradient " + range(dw) + "<"));
  EXPECT_THAT(node_of(dot, "x"), Not(HasSubstr("gradient"))) << "x wants none";
  EXPECT_THAT(to_dot(e.loss, e.names, {.gradients = false}), Not(HasSubstr("gradient ")));
}

TEST(Dot, KindsAreToldApartWithoutColour) {
  const Example e;
  const std::string dot = to_dot(e.loss, e.names);
  EXPECT_THAT(node_of(dot, "w"), HasSubstr("penwidth=2"));
  EXPECT_THAT(node_of(dot, "x"), HasSubstr("style=\"dashed\""));
  EXPECT_THAT(node_of(dot, "h = tanh"), HasSubstr("style=\"rounded\""));
  EXPECT_THAT(node_of(dot, "mean"), HasSubstr("peripheries=2"));
  EXPECT_EQ(count_of(dot, "peripheries=2"), 1u);
}

TEST(Dot, ValuesThatNobodyKeptAreLeftOut) {
  const Tensor w = ones({2}, kFloat64).requires_grad_();
  const std::string dot = to_dot((w + 1).sum(), {{"w", w}});
  EXPECT_THAT(node_of(dot, "add"), Not(HasSubstr("value")));
  EXPECT_THAT(node_of(dot, "w"), HasSubstr("value [1, 1]"));
}

TEST(Dot, NotANumberIsSaid) {
  const KeepValues keep;
  const Tensor w = tensor({-1., 1., 2., 3., 4.}).requires_grad_();
  EXPECT_THAT(to_dot(log(w).sum()), HasSubstr("value NaN in 1 of 5"));
}

TEST(Dot, NamesAreEscapedAndGraphvizReadsThem) {
  const Example e;
  const std::string dot = to_dot(e.loss, {{"the \"w\" <&>\\", e.w}});
  EXPECT_THAT(dot, HasSubstr("<B>the &quot;w&quot; &lt;&amp;&gt;\\</B>"));
  GRADUS_SKIP_WITHOUT(graphviz());
  EXPECT_THAT(laid_out(dot, "svg"), HasSubstr("the &quot;w&quot; &lt;&amp;&gt;\\</text>"));
}

TEST(Dot, ThePassOnTheSideChangesNothing) {
  const Example e;
  const std::string before = to_dot(e.loss, e.names);
  EXPECT_FALSE(e.w.grad().defined());
  EXPECT_EQ(to_dot(e.loss, e.names), before);
  e.loss.backward();
  const std::string after = to_dot(e.loss, e.names);
  EXPECT_THAT(node_of(after, "w"), HasSubstr("gradient")) << "a leaf has its gradient still";
  EXPECT_THAT(node_of(after, "h = tanh"), Not(HasSubstr("gradient"))) << "the graph can't run any more";
}

/// A network of four blocks of five ops, and a loss.
struct ResidualBlock {
  nn::Linear up{3, 3}, down{3, 3};
  Tensor operator()(const Tensor& x) const { return x + down(relu(up(x))); }
  void visit(nn::Visitor& v) { v("up", up), v("down", down); }
};
struct Deep {
  std::vector<ResidualBlock> blocks{4};
  nn::Linear last{3, 1};
  Tensor operator()(const Tensor& x) const {
    Tensor h = x;
    for (const ResidualBlock& b : blocks) h = b(h);
    return last(h);
  }
  void visit(nn::Visitor& v) { v("blocks", blocks), v("last", last); }
};

TEST(Dot, LargeGraphsAreFoldedByModule) {
  Deep model;
  const Tensor loss = square(model(ones({5, 3}))).mean();
  const NamedTensors names = nn::named_parameters(model);
  EXPECT_THAT(to_dot(loss, names), Not(HasSubstr("class=\"module\""))) << "small enough";

  const std::string layers = to_dot(loss, names, {.most_nodes = 12});
  EXPECT_EQ(count_of(layers, "class=\"module\""), 9u);
  EXPECT_THAT(node_of(layers, "blocks.1.up"), HasSubstr("<I>linear, relu</I>"));
  const std::string blocks = to_dot(loss, names, {.most_nodes = 8});
  EXPECT_EQ(count_of(blocks, "class=\"module\""), 5u);
  EXPECT_THAT(node_of(blocks, "blocks.3"), HasSubstr("<I>linear, relu, linear, add</I>"));
  EXPECT_THAT(node_of(blocks, "blocks.3"), HasSubstr("gradient"));
  EXPECT_THAT(node_of(blocks, "mean"), HasSubstr("peripheries=2")) << "y stays on its own";
  EXPECT_THAT(blocks, Not(HasSubstr("class=\"parameter\"")));

  // Edges go from later to earlier numbers, since ops are numbered backwards: there is no cycle.
  const std::regex edge("n(\\d+) -> n(\\d+)");
  size_t edges = 0;
  for (std::sregex_iterator at(blocks.begin(), blocks.end(), edge), end; at != end; ++at, edges++)
    EXPECT_GT(std::stoi((*at)[1]), std::stoi((*at)[2]));
  EXPECT_EQ(edges, 5u);
}

TEST(Dot, GradientsAppearNodeByNode) {
  const Example e;
  const std::vector<BackwardFrame> frames = backward_frames(e.loss, e.names);
  ASSERT_EQ(frames.size(), 5u);
  std::vector<size_t> shown;
  shown.reserve(frames.size());
  for (const BackwardFrame& frame : frames) shown.push_back(count_of(frame.dot, ">gradient "));
  EXPECT_THAT(shown, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(node_of(frames[0].dot, "mean"), HasSubstr(">gradient 1<"));
  EXPECT_EQ(frames[2].caption, "Step 2 of 4: mul passes its gradient on");
  EXPECT_THAT(node_of(frames[2].dot, "h = tanh"), HasSubstr("gradient")) << "both paths have arrived";
  EXPECT_THAT(node_of(frames[2].dot, "mul"), HasSubstr("penwidth=3"));
  EXPECT_EQ(count_of(frames[2].dot, "dir=back"), 2u) << "mean to mul, mul to h";
}

TEST(Dot, GraphvizLaysAllFramesOutAlike) {
  GRADUS_SKIP_WITHOUT(graphviz());
  const Example e;
  // A line "node n0 x y width height …" for each.
  const std::regex place("node (n\\d+ \\S+ \\S+ \\S+ \\S+)");
  std::vector<std::vector<std::string>> places;
  for (const BackwardFrame& frame : backward_frames(e.loss, e.names)) {
    const std::string plain = laid_out(frame.dot, "plain");
    places.emplace_back();
    for (std::sregex_iterator at(plain.begin(), plain.end(), place), end; at != end; ++at)
      places.back().push_back((*at)[1]);
    EXPECT_EQ(places.back().size(), 6u);
    EXPECT_EQ(places.back(), places.front());
  }
}

TEST(Dot, WhatHasNoPictureIsRefused) {
  EXPECT_THROW(to_dot(ones({2})), GradError);
  const Tensor w = ones({2}).requires_grad_();
  EXPECT_THROW(backward_frames(w * 2), GradError) << "two elements";
  const Tensor loss = square(w).sum();
  loss.backward();
  EXPECT_THROW(backward_frames(loss), GradError) << "freed";
  EXPECT_THROW(backward_frames(square(w).sum(), {}, {.gradients = false}), GradError);
}

}  // namespace
}  // namespace gradus
