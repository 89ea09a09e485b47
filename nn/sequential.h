#pragma once
#include <gradus/nn/visitor.h>

#include <memory>
#include <typeinfo>
#include <utility>

#pragma GCC visibility push(default)

namespace gradus::nn {

namespace detail {
/// Puts "Sequential: layer i (Linear): " before the text of an error, which stays of its class.
void name_layer(Error& e, size_t i, const std::type_info& layer);
}  // namespace detail

/// Layers applied one after another: y = layer_n(… layer_1(x)). A layer is anything that maps a Tensor to a
/// Tensor and can be copied: a module, a function, or a lambda that captures nothing.
///
///   nn::Sequential model{nn::Linear(2, 4), nn::Tanh(), nn::Linear(4, 1), [](const Tensor& x) { return
///   exp(x); }};
///
/// The layers are named "0", "1" …; a copy copies them. What a layer refuses is refused in its name:
/// `Sequential: layer 2 (Linear): linear: x [4, 3] does not end in …`.
class Sequential {
 public:
  Sequential() = default;
  /// The layers, in the order in which they are applied.
  template <class... L>
  requires(sizeof...(L) > 1 ||
           (sizeof...(L) == 1 && !(std::is_same_v<L, Sequential> || ...))) explicit Sequential(L... layers) {
    (push_back(std::move(layers)), ...);
  }
  Sequential(const Sequential& other) {
    for (const auto& layer : other.layers_) layers_.push_back(layer->clone());
  }
  Sequential(Sequential&&) noexcept = default;
  /// Layer by layer, where both have one of the same type: parameters of equal shapes stay the same leaves.
  Sequential& operator=(const Sequential& other) {
    if (this != &other) assign(other, [](const auto& layer) { return layer->clone(); });
    return *this;
  }
  // NOLINTNEXTLINE(performance-noexcept-move-constructor): elements are copied, which may throw
  Sequential& operator=(Sequential&& other) {
    if (this != &other) assign(other, [](auto& layer) { return std::move(layer); });
    return *this;
  }

  /// Appends a layer.
  template <class L>
  void push_back(L layer) {
    static_assert(std::is_invocable_r_v<Tensor, L&, const Tensor&>,
                  "nn::Sequential: a layer is called with one `const Tensor&` and returns a Tensor");
    detail::check_visit<L>();
    static_assert(HasVisit<L> || HasNoParts<L> || detail::NamesVisit<L>,
                  "nn::Sequential: this layer holds data but shows no parts (a lambda that captures?), so "
                  "its parameters "
                  "would not be trained; write a struct with `void visit(nn::Visitor& v)`");
    check_function("nn::Sequential", layer);
    layers_.push_back(std::make_unique<Holder<L>>(std::move(layer)));
  }
  /// The number of layers.
  size_t size() const noexcept { return layers_.size(); }
  /// The i-th layer, which must be an L: model.get<nn::Linear>(0).weight.
  template <class L>
  L& get(size_t i) {
    if (i >= size()) fail<IndexError>("Sequential: layer {} of {}", i, size());
    auto* holder = dynamic_cast<Holder<L>*>(layers_[i].get());
    if (!holder) fail("Sequential: layer {} is of another type", i);
    return holder->layer;
  }
  Tensor operator()(const Tensor& x) const {
    Tensor y = x;
    for (size_t i = 0; i < size(); i++) {
      try {
        y = layers_[i]->forward(y);
      } catch (Error& e) {
        layers_[i]->name_in(e, i);
        throw;
      }
    }
    return y;
  }
  void visit(Visitor& v) {
    for (size_t i = 0; i < size(); i++) layers_[i]->visit(v, std::to_string(i));
  }

 private:
  struct Layer {
    virtual ~Layer() = default;
    virtual Tensor forward(const Tensor& x) = 0;
    virtual void visit(Visitor& v, const std::string& name) = 0;
    /// Puts "Sequential: layer i (Linear): " before the text of an error.
    virtual void name_in(Error& e, size_t i) const = 0;
    virtual std::unique_ptr<Layer> clone() const = 0;
    /// Takes over a layer of the same type; returns false for another.
    virtual bool assign(const Layer& other) = 0;
  };
  template <class L>
  struct Holder final : Layer {
    L layer;
    explicit Holder(L l) : layer(std::move(l)) {}
    Tensor forward(const Tensor& x) override { return layer(x); }
    void visit(Visitor& v, const std::string& name) override { v(name, layer); }
    void name_in(Error& e, size_t i) const override { detail::name_layer(e, i, typeid(L)); }
    std::unique_ptr<Layer> clone() const override { return std::make_unique<Holder>(std::as_const(layer)); }
    bool assign(const Layer& other) override {
      const auto* same = dynamic_cast<const Holder*>(&other);
      if constexpr (std::is_copy_assignable_v<L>) return same && (layer = same->layer, true);
      return false;
    }
  };

  /// `take` gives the layers that those of here can't take over.
  template <class Other, class Take>
  void assign(Other& other, Take take) {
    std::vector<std::unique_ptr<Layer>> layers(other.size());
    for (size_t i = 0; i < layers.size(); i++)
      if (i >= size() || !layers_[i]->assign(*other.layers_[i])) layers[i] = take(other.layers_[i]);
    for (size_t i = 0; i < layers.size(); i++)
      if (!layers[i]) layers[i] = std::move(layers_[i]);
    layers_ = std::move(layers);
  }

  std::vector<std::unique_ptr<Layer>> layers_;
};

}  // namespace gradus::nn

#pragma GCC visibility pop
