#pragma once
#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gradus::examples {

/// A picture as SVG elements, from (0, 0) at the upper left to (width, height). It takes its colours from the
/// classes of drawing_css(), so it is dark where its reader is.
struct Drawing {
  double width, height;
  std::string title;
  std::string elements = {};

  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(elements), format, std::forward<Args>(args)...);
  }
  /// Words at a place; `attributes` as SVG writes them. Nothing where there are no words.
  void text(double x, double y, std::string_view words, std::string_view attributes);
};

/// The rules of the classes: `ink`, `soft` for words; `axis`, `lines`; `line0` … `line5`, `fill0` … for
/// series; `region0`, `region1`, `point0`, `point1` for classes of points; `paper` behind all of it.
const std::string& drawing_css();

/// The text of an SVG file.
std::string to_svg(const Drawing& drawing);
/// The same as an element of a page that has drawing_css(); `words` say to a reader who can't see it what it
/// shows.
std::string to_inline_svg(const Drawing& drawing, const std::string& words);

/// Drawings in rows of `columns`, under a title where one is given.
Drawing side_by_side(const std::string& title, const std::vector<Drawing>& drawings, int64_t columns);

/// Words for XML and HTML: & < > " are escaped, control characters dropped.
std::string escape(std::string_view words);

/// About how wide words are, in widths of their font's size.
double width_of(std::string_view words);

}  // namespace gradus::examples
