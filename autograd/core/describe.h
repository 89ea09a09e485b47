#pragma once
#include <gradus/autograd/base/dtype.h>
#include <gradus/autograd/base/shape.h>

#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#pragma GCC visibility push(default)

namespace gradus {

/// The attributes of an op by name, as it tells them in one line:
///
///   void describe(Describe& d) const { d("dim", dim), d("keepdim", keepdim); }
class Describe {
 public:
  /// What an attribute may be.
  using Value = std::variant<bool, int64_t, double, std::string, Shape>;
  /// One of them.
  struct Attribute {
    std::string name /** as in the public function */;
    Value value /** of it */;
  };

  /// A bool, a number, a word, a dtype, or a list of sizes or dims.
  template <class T>
  void operator()(const char* name, const T& value) {
    if constexpr (std::is_same_v<T, bool>)
      attributes_.push_back({name, value});
    else if constexpr (std::is_integral_v<T>)
      attributes_.push_back({name, static_cast<int64_t>(value)});
    else if constexpr (std::is_floating_point_v<T>)
      attributes_.push_back({name, static_cast<double>(value)});
    else if constexpr (std::is_same_v<T, Dtype>)
      attributes_.push_back({name, std::string(name_of(value))});
    else if constexpr (std::is_same_v<T, Shape>)
      attributes_.push_back({name, value});
    else
      attributes_.push_back({name, std::string(value)});
  }
  /// All that were told, in order.
  const std::vector<Attribute>& attributes() const noexcept { return attributes_; }
  /// "dim=1, keepdim=true"
  std::string str() const;

 private:
  std::vector<Attribute> attributes_;
};

}  // namespace gradus

#pragma GCC visibility pop
