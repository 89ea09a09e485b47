#pragma once
#include <gradus/nn/param.h>

#include <string_view>
#include <tuple>
#include <unordered_set>

#pragma GCC visibility push(default)

namespace gradus::nn {

class Parts;
class Visitor;

/// Modules: types that name their parts.
template <class T>
concept HasVisit = requires(T& module, Visitor& v) {
  module.visit(v);
};
/// Functions, captureless lambdas and structs without members: there is nothing to name in them.
template <class T>
concept HasNoParts = std::is_empty_v<T> ||
    (std::is_pointer_v<T>&& std::is_function_v<std::remove_pointer_t<T>>);

namespace detail {
struct HasMemberVisit {
  int visit;
};
template <class T>
struct WithMemberVisit : T, HasMemberVisit {};
/// Whether anything in T is called visit, be it private: then the name is ambiguous here.
template <class T>
concept NamesVisit = std::is_class_v<T> && !std::is_final_v<T> && !requires {
  &WithMemberVisit<T>::visit;
};
template <class T>
void check_visit() {
  static_assert(HasVisit<T> || !NamesVisit<T>,
                "nn::Visitor: this type's visit() can't be called: it is public, not const, and takes one "
                "`nn::Visitor&`");
}

/// Numbers and texts, and lists of numbers that are packed.
template <class T>
concept HoldsNoTensor = std::is_arithmetic_v<T> || std::is_enum_v<T> ||
    std::is_convertible_v<T, std::string> || std::is_same_v<T, std::vector<bool>>;
template <class T>
concept IsMap = requires {
  typename T::key_type;
};
}  // namespace detail

/// What a module shows its parts to, in the one line that makes a struct a module:
///
///   void visit(nn::Visitor& v) { v("up", up); v("down", down); }
///
/// A part is a module, a Param, a Buffer (saved, not trained), the `bool training`, or a vector, array,
/// tuple, optional or pointer of such; elements are named "0", "1" …; an undefined tensor or empty pointer is
/// left out. A part visited twice (tied weights) counts once, under its first name.
class Visitor {
 public:
  /// Lists what it visits in `parts`.
  explicit Visitor(Parts& parts) : parts_(parts) {}
  Visitor(const Visitor&) = delete;

  /// Names a part, and the parts of that: "up.weight".
  template <class T>
  void operator()(std::string_view name, T& part) {
    const size_t before = path_.size();
    if (!path_.empty()) path_ += '.';
    path_ += name;
    enter(part);
    path_.resize(before);
  }

 private:
  friend class Parts;

  template <class T>
  void enter(T& part) {
    if constexpr (!std::is_same_v<T, bool> && detail::HoldsNoTensor<std::remove_const_t<T>>) {
      static_assert(
          std::is_same_v<T, bool>,
          "nn::Visitor: a number or text is no part: leave it out of visit(), or make it a nn::Buffer "
          "if it is to be saved");
    } else if constexpr (std::is_const_v<T>) {
      static_assert(
          !std::is_const_v<T>,
          "nn::Visitor: this part is const; a module is visited to be changed, so neither the module "
          "nor its visit() may be const");
    } else if constexpr (std::is_same_v<T, Param>) {
      add(part, &part);
    } else if constexpr (std::is_same_v<T, Buffer>) {
      add(part, nullptr);
    } else if constexpr (std::is_same_v<T, Tensor>) {
      add_tensor(part);
    } else if constexpr (std::is_same_v<T, bool>) {
      add_mode(part);
    } else if constexpr (HasVisit<T>) {
      part.visit(*this);
    } else if constexpr (detail::NamesVisit<T>) {
      detail::check_visit<T>();
    } else if constexpr (detail::IsMap<T>) {
      static_assert(!detail::IsMap<T>,
                    "nn::Visitor: a map or set has no numbered elements; name the parts of a map in visit(): "
                    "`for (auto& [name, part] : map) v(name, part);`");
    } else if constexpr (HasNoParts<T>) {
    } else if constexpr (requires { part.begin() != part.end(); }) {
      size_t i = 0;
      for (auto& element : part) (*this)(std::to_string(i++), element);
    } else if constexpr (requires { static_cast<bool>(part), *part; }) {
      if (part) enter(*part);
    } else if constexpr (requires { std::tuple_size<T>::value; }) {
      std::apply(
          [this, i = size_t(0)](auto&... element) mutable { ((*this)(std::to_string(i++), element), ...); },
          part);
    } else {
      static_assert(HasVisit<T>,
                    "nn::Visitor: this type is not a module yet; give it a public "
                    "`void visit(nn::Visitor& v) { v(\"weight\", weight); }` that names its parts");
    }
  }
  void add(Tensor& x, Param* param);
  void add_shared(Tensor& x);
  // A template, so that only a module that has such a part is warned of.
  template <std::same_as<Tensor> T>
  [[deprecated(
      "nn::Visitor: a copy of a module shares a Tensor's elements, and load_state_dict() gives it new ones, "
      "which "
      "a recorded step does not see; make this part a nn::Buffer")]] void
  add_tensor(T& x) {
    add_shared(x);
  }
  void add_mode(bool& training);

  Parts& parts_;
  std::string path_;
  std::unordered_set<const Tensor*> seen_;
  std::unordered_set<std::string> names_;
};

/// The parts of a model, listed. The functions of nn/module.h take it for "any module, vector of modules …",
/// which converts to it; it points into the model.
class Parts {
 public:
  /// A parameter or buffer.
  struct Part {
    std::string name;  // "up.weight"
    Tensor* tensor;    // in the model
    Param* param;      // the same as a parameter; null for a buffer
    bool shared;       // a Tensor, which copies of the module share; no Buffer yet
  };

  /// The parts that a model shows.
  template <class Model>
  requires(!std::is_same_v<std::remove_const_t<Model>, Parts>) Parts(Model& model) {
    Visitor(*this).enter(model);
  }

  std::vector<Part> tensors;  // in the order of visiting
  std::vector<bool*> modes;   // each `training`
};

}  // namespace gradus::nn

#pragma GCC visibility pop
