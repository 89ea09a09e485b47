#include <gradus/autograd/core/describe.h>

#include <fmt/format.h>

namespace gradus {

std::string Describe::str() const {
  std::string text;
  for (const auto& [name, value] : attributes_)
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", name,
                        std::visit([](const auto& v) { return fmt::format("{}", v); }, value));
  return text;
}

}  // namespace gradus
