#include <common/drawing.h>
#include <gradus/autograd/base/error.h>

#include <algorithm>

namespace gradus::examples {
namespace {

/// A rule of the style sheet: what `property` is for a reader in the light, and in the dark.
struct Rule {
  std::string_view selector, property, light, dark;
};
// Every colour has a contrast of at least 4.5 to its paper, every line of an axis 3. The first two are told
// apart with any colour vision, and all curves also by their dashes.
constexpr Rule kRules[] = {
    {".paper", "fill", "#ffffff", "#14171c"},
    {".ink", "fill", "#1f2328", "#e6e9ee"},
    {".soft", "fill", "#57606a", "#a8b1bd"},
    {".axis", "stroke", "#858e99", "#75808d"},
    {".lines", "stroke", "#e4e8ec", "#2b323b"},
    {".line0", "stroke", "#0a6aab", "#5ab4f0"},
    {".line1", "stroke", "#bd4b06", "#ff9a57"},
    {".line2", "stroke", "#08785a", "#3fcb9d"},
    {".line3", "stroke", "#a23a80", "#ea8fc6"},
    {".line4", "stroke", "#7a6000", "#e0bd45"},
    {".line5", "stroke", "#57606a", "#b6bfca"},
    {".fill0", "fill", "#0a6aab", "#5ab4f0"},
    {".fill1", "fill", "#bd4b06", "#ff9a57"},
    {".fill2", "fill", "#08785a", "#3fcb9d"},
    {".fill3", "fill", "#a23a80", "#ea8fc6"},
    {".fill4", "fill", "#7a6000", "#e0bd45"},
    {".fill5", "fill", "#57606a", "#b6bfca"},
    {".region0", "fill", "#d9eaf7", "#15324b"},
    {".region1", "stroke", "#6b7683", "#a8b1bd"},
    {".region1", "fill", "#fce2d0", "#4d2b16"},
    {".point0", "fill", "#0a6aab", "#5ab4f0"},
    {".point1", "fill", "#bd4b06", "#ff9a57"},
    // Graphviz' pictures: nodes, edges, and edges along which a gradient has gone back.
    {".dot text", "fill", "#1f2328", "#e6e9ee"},
    {".dot .node *", "stroke", "#1f2328", "#a8b1bd"},
    {".dot .edge *", "stroke", "#57606a", "#a8b1bd"},
    {".dot .edge polygon", "fill", "#57606a", "#a8b1bd"},
    {".dot .back *", "stroke", "#bd4b06", "#ff9a57"},
    {".dot .back polygon", "fill", "#bd4b06", "#ff9a57"},
    {".dot .parameter polygon", "fill", "#d9eaf7", "#15324b"},
    {".dot .module polygon", "fill", "#f0f2f4", "#262d36"},
    {".point0,.point1", "stroke", "#ffffff", "#14171c"},
};
// Curves are told apart by more than their colour.
constexpr std::string_view kShapes =
    ".axis,.lines,.curve{fill:none}.curve{stroke-width:2;stroke-linejoin:round;stroke-linecap:round}"
    ".line1.curve{stroke-dasharray:7 4}.line2.curve{stroke-dasharray:2 4}.line3.curve{stroke-dasharray:9 4 2 "
    "4}"
    ".line4.curve{stroke-dasharray:4 3}.line5.curve{stroke-dasharray:12 5}"
    ".bars{fill-opacity:.3}.pixels{image-rendering:pixelated}.dot .node text{stroke:none}";
constexpr std::string_view kFont =
    R"(font-family="system-ui, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif" font-size="13")";

}  // namespace

const std::string& drawing_css() {
  static const std::string css = [] {
    std::string light, dark;
    for (const Rule& r : kRules) {
      light += fmt::format("{}{{{}:{}}}", r.selector, r.property, r.light);
      dark += fmt::format("{}{{{}:{}}}", r.selector, r.property, r.dark);
    }
    return fmt::format("{}{}@media (prefers-color-scheme:dark){{{}}}", light, kShapes, dark);
  }();
  return css;
}

std::string escape(std::string_view words) {
  std::string safe;
  for (const char c : words) {
    if (c == '&')
      safe += "&amp;";
    else if (c == '<')
      safe += "&lt;";
    else if (c == '>')
      safe += "&gt;";
    else if (c == '"')
      safe += "&quot;";
    else if (static_cast<unsigned char>(c) >= 0x20 || c == '\t' || c == '\n')
      safe += c;
  }
  return safe;
}

double width_of(std::string_view words) {
  // The bytes that begin a character of UTF-8; letters are a bit more than half as wide as their size.
  return 0.58 * static_cast<double>(std::ranges::count_if(words, [](char c) { return (c & 0xc0) != 0x80; }));
}

void Drawing::text(double x, double y, std::string_view words, std::string_view attributes) {
  if (!words.empty()) add("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, attributes, escape(words));
}

std::string to_svg(const Drawing& d) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" "
      "width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" {2}>\n<title>{3}</title>\n"
      "<style>{4}</style>\n<rect class=\"paper\" width=\"{0:.0f}\" height=\"{1:.0f}\"/>\n{5}</svg>\n",
      d.width, d.height, kFont, escape(d.title), drawing_css(), d.elements);
}

std::string to_inline_svg(const Drawing& d, const std::string& words) {
  return fmt::format(
      "<svg role=\"img\" aria-label=\"{}\" width=\"{:.0f}\" viewBox=\"0 0 {:.0f} {:.0f}\" {}>\n{}</svg>\n",
      escape(words), d.width, d.width, d.height, kFont, d.elements);
}

Drawing side_by_side(const std::string& title, const std::vector<Drawing>& drawings, int64_t columns) {
  if (columns < 1) fail<ShapeError>("side_by_side: columns must be at least 1: {}", columns);
  constexpr double kGap = 12;
  double cell_width = 0, cell_height = 0;
  for (const Drawing& d : drawings) {
    cell_width = std::max(cell_width, d.width);
    cell_height = std::max(cell_height, d.height);
  }
  const auto count = static_cast<int64_t>(drawings.size());
  const int64_t across = std::clamp<int64_t>(count, 1, columns), rows = (count + across - 1) / across;
  const double top = title.empty() ? 0 : 40;
  Drawing all{static_cast<double>(across) * (cell_width + kGap) - kGap,
              top + static_cast<double>(rows) * cell_height, title};
  if (!title.empty())
    all.text(all.width / 2, 28, title,
             R"(class="ink" text-anchor="middle" font-size="17" font-weight="600")");
  for (int64_t i = 0; i < count; i++) {
    const Drawing& d = drawings[static_cast<size_t>(i)];
    const int64_t row = i / across;
    all.add("<svg x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\">\n{}</svg>\n",
            static_cast<double>(i % across) * (cell_width + kGap) + (cell_width - d.width) / 2,
            top + static_cast<double>(row) * cell_height, d.width, d.height, d.elements);
  }
  return all;
}

}  // namespace gradus::examples
