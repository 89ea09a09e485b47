#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace gradus::examples {

/// " (did you mean 'tanh'?)" with the candidate that is fewest single-letter changes away from `word`, upper
/// and lower case being one; or nothing where none is near.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

/// How many columns of a terminal the UTF-8 text takes, at one a character.
size_t width(std::string_view text);

/// The text in lines of at most `columns`, broken at spaces, each after `indent`.
std::string wrapped(std::string_view text, size_t columns, std::string_view indent = "");

}  // namespace gradus::examples
