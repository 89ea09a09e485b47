#pragma once
#include <string>
#include <vector>

namespace gradus::examples {

/// Points, all drawn with one character.
struct TextSeries {
  char mark;
  std::vector<double> x, y;
};

/// The points in characters, both axes logarithmic with a tick at every third power of 10; about 70 columns
/// and 20 lines. Points that have no logarithm are left out; where series meet, the first one is seen. An
/// Error where nothing is left to draw.
std::string text_plot(const std::vector<TextSeries>& series, const std::string& x_label,
                      const std::string& y_label);

}  // namespace gradus::examples
