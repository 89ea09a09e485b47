#include <fmt/format.h>
#include <gradus/autograd/check/dot.h>
#include <gradus/autograd/check/graph.h>
#include <gradus/autograd/check/trace.h>
#include <gradus/autograd/core/describe.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

namespace gradus {
namespace {

enum class Kind { Op, Module, Parameter, Input };

/// A node of the picture.
struct Box {
  Kind kind;
  std::string title, detail;
  Tensor value, gradient;
  Shape shape;
  std::set<size_t> inputs = {};  // the boxes whose values it reads
  size_t consumers = 0;
};

std::string escaped(std::string_view text) {
  std::string s;
  for (const char c : text) {
    if (c == '&')
      s += "&amp;";
    else if (c == '<')
      s += "&lt;";
    else if (c == '>')
      s += "&gt;";
    else if (c == '"')
      s += "&quot;";
    else if (static_cast<unsigned char>(c) >= 0x20)
      s += c;
  }
  return s;
}

/// The numbers of a small tensor; of a large one its range.
std::string brief(const Tensor& x) {
  const std::vector<double> v = x.to_vector();
  const auto bad = std::count_if(v.begin(), v.end(), [](double e) { return std::isnan(e); });
  if (v.size() == 1) return fmt::format("{:.4g}", v[0]);
  if (v.size() <= 4) return fmt::format("[{:.3g}]", fmt::join(v, ", "));
  if (bad > 0) return fmt::format("NaN in {} of {}", bad, v.size());
  const auto [low, high] = std::minmax_element(v.begin(), v.end());
  return fmt::format("{:.3g} … {:.3g}", *low, *high);
}

/// "blocks.0" of "blocks.0.up.weight" at depth 2; all of its module where that is less deep, and nothing
/// where it has none.
std::string module_of(const std::string& parameter, size_t depth) {
  size_t end = 0;
  for (size_t at = 0; depth > 0 && (at = parameter.find('.', at)) != std::string::npos; at++, depth--)
    end = at;
  return parameter.substr(0, end);
}

/// The graph as it is drawn.
class Picture {
 public:
  Picture(const Tensor& y, const NamedTensors& names, const DotOptions& options) : nodes_(graph_nodes(y)) {
    if (nodes_.empty()) fail<GradError>("to_dot: the tensor has no history: nothing was recorded");
    for (const auto& [name, x] : names) {
      if (!x.defined()) continue;
      names_[key_of(x)] = name;
      if (const Edge& e = x.edge()) node_names_[e.node.get()] = name;
    }
    // The values that were kept can be read also where the gradients can't be had.
    try {
      trace_.emplace(y);
      has_gradients_ = options.gradients && y.numel() == 1;
    } catch (const GradError&) {
    }
    fold(options.most_nodes);
    add_ops();
    add_leaves(options);
    for (const Box& box : boxes)
      for (const size_t i : box.inputs) boxes[i].consumers++;
  }

  /// Ops and modules first, in the order in which a backward pass runs them.
  std::vector<Box> boxes;
  size_t ops = 0;
  bool has_gradients() const { return has_gradients_; }

 private:
  using Key = std::pair<const void*, int64_t>;
  static Key key_of(const Tensor& x) { return {&x.storage(), x.layout().offset}; }

  /// Decides which nodes are drawn as one: groups_[i] is the module of node i, and runs_[i] the run of nodes
  /// that it is in. Runs follow one another in order of creation, so what is folded has no cycle.
  void fold(int64_t most_nodes) {
    const auto count = static_cast<int64_t>(nodes_.size());
    groups_.assign(nodes_.size(), "");
    size_t deepest = 0;
    for (const Node* node : nodes_)
      if (const auto name = node_names_.find(node); name != node_names_.end())
        deepest =
            std::max(deepest, static_cast<size_t>(std::count(name->second.begin(), name->second.end(), '.')));
    if (count <= most_nodes) deepest = 0;
    for (size_t depth = deepest; depth > 0; depth--) {
      std::string module;
      int64_t drawn = 0;
      for (size_t i = nodes_.size(); i-- > 0;) {
        if (nodes_[i]->is_leaf()) continue;
        for (const Edge& e : nodes_[i]->edges())
          if (e && e.node->is_leaf())
            if (const auto name = node_names_.find(e.node.get()); name != node_names_.end())
              module = module_of(name->second, depth);
        groups_[i] = i == 0 ? "" : module;
        if (groups_[i].empty() || groups_[i] != before_of(i)) drawn++;
      }
      if (drawn <= most_nodes) break;
    }
  }
  /// The module of the op that was made before node i.
  std::string before_of(size_t i) const {
    for (i++; i < nodes_.size(); i++)
      if (!nodes_[i]->is_leaf()) return groups_[i];
    return "";
  }

  void add_ops() {
    for (size_t i = 0; i < nodes_.size(); i++) {
      const Node& node = *nodes_[i];
      if (node.is_leaf()) continue;
      const bool joins = !boxes.empty() && !groups_[i].empty() && boxes.back().kind == Kind::Module &&
                         boxes.back().title == groups_[i];
      if (joins) {
        boxes.back().detail = std::string(node.name()) + ", " + boxes.back().detail;
      } else {
        Box box{groups_[i].empty() ? Kind::Op : Kind::Module, node.name(), "", {}, {}, node.shape(0)};
        Describe attributes;
        node.describe(attributes);
        box.detail = attributes.str();
        if (trace_) {
          box.value = trace_->value(i);
          if (has_gradients_) box.gradient = trace_->steps()[i].g[0];
        }
        if (box.kind == Kind::Module) {
          box.title = groups_[i];
          box.detail = node.name();
        } else if (const auto name = node_names_.find(&node); name != node_names_.end()) {
          box.title = name->second + " = " + box.title;
        }
        boxes.push_back(std::move(box));
      }
      box_of_[&node] = boxes.size() - 1;
    }
    ops = boxes.size();
    for (size_t i = 0; i < nodes_.size(); i++)
      if (!nodes_[i]->is_leaf()) connect(i);
  }

  /// The boxes that node i reads; inputs that want no gradient get theirs here.
  void connect(size_t i) {
    const Node& node = *nodes_[i];
    const size_t to = box_of_.at(&node);
    for (uint32_t k = 0; k < node.num_inputs(); k++) {
      const Edge& e = node.edges()[k];
      if (e && !e.node->is_leaf()) {
        if (const size_t from = box_of_.at(e.node.get()); from != to) boxes[to].inputs.insert(from);
      } else if (e) {
        readers_[e.node.get()].insert(to);
      } else if (trace_) {
        const Tensor x = trace_->input_value(i, k);
        if (!x.defined()) continue;
        const auto name = names_.find(key_of(x));
        // What nobody named is not worth a box beside a folded module.
        if (name == names_.end() && boxes[to].kind == Kind::Module) continue;
        auto [known, is_new] = inputs_.try_emplace(key_of(x), boxes.size());
        if (is_new)
          boxes.push_back(
              {Kind::Input, name == names_.end() ? "constant" : name->second, "", x, {}, x.shape()});
        boxes[to].inputs.insert(known->second);
      }
    }
  }

  void add_leaves(const DotOptions& options) {
    for (size_t i = 0; i < nodes_.size(); i++) {
      const Node& node = *nodes_[i];
      const auto readers = readers_.find(&node);
      if (!node.is_leaf()) continue;
      const std::set<size_t>& to = readers == readers_.end() ? std::set<size_t>() : readers->second;
      // A parameter of one folded module is inside of it.
      if (to.size() == 1 && boxes[*to.begin()].kind == Kind::Module) continue;
      Box box{Kind::Parameter, "leaf", "", {}, {}, node.shape(0)};
      if (const auto name = node_names_.find(&node); name != node_names_.end()) box.title = name->second;
      if (TensorImpl* owner = static_cast<const Leaf&>(node).owner()) {
        box.value = Tensor(Ref<TensorImpl>(owner)).detach();
        if (options.gradients) box.gradient = owner->grad;
      }
      if (has_gradients_) box.gradient = trace_->steps()[i].g[0];
      for (const size_t reader : to) boxes[reader].inputs.insert(boxes.size());
      boxes.push_back(std::move(box));
    }
  }

  std::vector<const Node*> nodes_;
  std::map<Key, std::string> names_;
  std::unordered_map<const Node*, std::string> node_names_;
  std::optional<detail::Trace> trace_;
  bool has_gradients_ = false;
  std::vector<std::string> groups_;
  std::unordered_map<const Node*, size_t> box_of_;
  std::map<Key, size_t> inputs_;
  std::unordered_map<const Node*, std::set<size_t>> readers_;
};

/// Attributes of each kind, alike in colour and in grey; `class` is for style sheets of the SVG.
std::string_view look_of(Kind kind) {
  switch (kind) {
    case Kind::Op: return R"(class="op", shape=box, style="rounded")";
    case Kind::Module: return R"(class="module", shape=box3d, style="filled", fillcolor="#f0f2f4")";
    case Kind::Parameter:
      return R"(class="parameter", shape=box, style="filled", fillcolor="#d9eaf7", penwidth=2)";
    case Kind::Input: return R"(class="input", shape=box, style="dashed")";
  }
  return "";
}

/// The picture, or a moment of the backward pass: when the first `ran` ops have passed their gradients on.
std::string dot_of(const Picture& picture, std::optional<size_t> moment) {
  const std::vector<Box>& boxes = picture.boxes;
  std::vector<size_t> arrived(boxes.size());
  const size_t ran = moment.value_or(picture.ops);
  for (size_t i = 0; i < ran; i++)
    for (const size_t k : boxes[i].inputs) arrived[k]++;

  std::string dot =
      "digraph gradus {\n  rankdir=BT; bgcolor=\"transparent\"; ranksep=0.35;\n  node "
      "[fontname=\"Helvetica,Arial,sans-serif\", fontsize=12];\n";
  for (size_t i = 0; i < boxes.size(); i++) {
    const Box& box = boxes[i];
    std::string label = fmt::format("<B>{}</B>&#160;&#160;{}", escaped(box.title), box.shape.str());
    if (!box.detail.empty()) label += fmt::format("<BR/><I>{}</I>", escaped(box.detail));
    size_t widest = 0;
    const auto row = [&](const std::string& text, bool shown) {
      widest = std::max(widest, text.size());
      label += fmt::format("<BR/><FONT POINT-SIZE=\"11\">{}</FONT>", shown ? text : "&#160;");
    };
    if (box.value.defined()) row("value " + brief(box.value), true);
    if (box.gradient.defined()) row("gradient " + brief(box.gradient), arrived[i] == box.consumers);
    std::string look(look_of(box.kind));
    if (i == 0) look += ", peripheries=2";
    if (moment && i + 1 == ran) look += ", penwidth=3";
    // Room for a gradient that is not there yet, so that all pictures are laid out alike.
    if (moment) look += fmt::format(", width={:.2f}", (16 + 6.0 * static_cast<double>(widest)) / 72);
    dot += fmt::format("  n{} [label=<{}>, {}];\n", i, label, look);
  }
  for (size_t i = 0; i < boxes.size(); i++)
    for (const size_t from : boxes[i].inputs) {
      const bool back = moment && i < ran && boxes[from].kind != Kind::Input;
      dot += fmt::format("  n{} -> n{}{};\n", from, i, back ? " [class=\"back\", dir=back, penwidth=2]" : "");
    }
  return dot + "}\n";
}

}  // namespace

std::string to_dot(const Tensor& y, const NamedTensors& names, const DotOptions& options) {
  detail::check_defined("to_dot", y);
  return dot_of(Picture(y, names, options), {});
}

std::vector<BackwardFrame> backward_frames(const Tensor& y, const NamedTensors& names,
                                           const DotOptions& options) {
  detail::check_defined("backward_frames", y);
  const Picture picture(y, names, options);
  if (!picture.has_gradients())
    fail<GradError>(
        "backward_frames: there is no backward pass to show: {} (it takes one element, a graph whose saved "
        "values "
        "were not freed, and DotOptions::gradients)",
        y.shape());
  std::vector<BackwardFrame> frames;
  for (size_t ran = 0; ran <= picture.ops; ran++)
    frames.push_back({ran == 0 ? "The forward pass is done; the gradient of the result is 1"
                               : fmt::format("Step {} of {}: {} passes its gradient on", ran, picture.ops,
                                             picture.boxes[ran - 1].title),
                      dot_of(picture, ran)});
  return frames;
}

}  // namespace gradus
