#include <cxxabi.h>
#include <gradus/nn/sequential.h>

#include <cstdlib>

namespace gradus::nn {
namespace {

/// "Linear" of gradus::nn::Linear; what has no name is a function.
std::string short_name(const std::type_info& type) {
  int failed;
  const std::unique_ptr<char, void (*)(void*)> text(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &failed), std::free);
  std::string name = failed ? type.name() : text.get();
  if (name.ends_with('}') || name.find('$') != std::string::npos || name.ends_with(')') ||
      name.starts_with("std::function<"))
    return "function";
  name = name.substr(0, name.find('<'));
  return name.substr(name.rfind(':') + 1);
}

}  // namespace

void detail::name_layer(Error& e, size_t i, const std::type_info& layer) {
  static_cast<std::runtime_error&>(e) =
      std::runtime_error(fmt::format("Sequential: layer {} ({}): {}", i, short_name(layer), e.what()));
}

}  // namespace gradus::nn
