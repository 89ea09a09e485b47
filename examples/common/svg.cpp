#include <common/png.h>
#include <common/svg.h>
#include <fmt/format.h>
#include <gradus/autograd/base/error.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <string_view>
#include <utility>

namespace gradus::examples {
namespace {

// Blue and vermilion of Okabe and Ito's palette: told apart with any colour vision. The others follow it too.
constexpr std::string_view kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"};
constexpr std::string_view kTints[] = {"#d6e8f4", "#fbe0cd"};

// Beyond this a span between two numbers could overflow; a curve has a gap there too.
constexpr double kLargest = 1e300;
bool drawable(double v) { return std::abs(v) < kLargest; }

std::string escape(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    if (c == '&')
      safe += "&amp;";
    else if (c == '<')
      safe += "&lt;";
    else if (c == '>')
      safe += "&gt;";
    else if (c == '"')
      safe += "&quot;";
    else if (static_cast<unsigned char>(c) >= 0x20 || c == '\t')
      safe += c;
  }
  return safe;
}

/// The text of an SVG file as it grows.
class Drawing {
 public:
  Drawing(double width, double height, const std::string& title) {
    add(R"(<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" )"
        R"(width="{0}" height="{1}" viewBox="0 0 {0} {1}" )"
        R"(font-family="system-ui, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif" font-size="13">)"
        "\n<title>{2}</title>\n"
        R"(<rect width="{0}" height="{1}" fill="#ffffff"/>)"
        "\n",
        width, height, escape(title));
    text(width / 2, 30, title, R"(text-anchor="middle" font-size="17" font-weight="600" fill="#222222")");
  }
  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(svg_), format, std::forward<Args>(args)...);
  }
  void text(double x, double y, std::string_view words, std::string_view style) {
    if (!words.empty()) add("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, style, escape(words));
  }
  std::string finish() && { return std::move(svg_) + "</svg>\n"; }

 private:
  std::string svg_;
};

struct Range {
  double low, high;
};

/// The range of the finite numbers among `values`, opened where it is a single point (or nothing at all).
class RangeOf {
 public:
  void operator()(double v) {
    if (!drawable(v)) return;
    low_ = std::min(low_, v);
    high_ = std::max(high_, v);
  }
  Range range() const {
    if (low_ > high_) return {0, 1};
    const double size = std::max(std::abs(low_), std::abs(high_));
    if (high_ - low_ > std::max(1e-9 * size, 1e-200)) return {low_, high_};
    const double open = size > 1e-100 ? 0.1 * size : 1;
    return {low_ - open, high_ + open};
  }

 private:
  double low_ = std::numeric_limits<double>::infinity(), high_ = -low_;
};

double tick_step(double low, double high, int about) {
  const double rough = (high - low) / about, power = std::pow(10, std::floor(std::log10(rough)));
  const double lead = rough / power;
  return (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10) * power;
}

/// A tick's number, with the decimals that its distance to the next one needs.
std::string tick_label(double value, double step) {
  if (std::abs(value) < step / 2) return "0";
  const int decimals = std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9)));
  if (decimals > 5 || std::abs(value) >= 1e7) return fmt::format("{:.6g}", value);
  return fmt::format("{:.{}f}", value, decimals);
}

/// The rectangle inside the axes: where numbers become places.
struct Frame {
  double left, top, width, height;
  Range x, y;

  double place_x(double v) const { return left + (v - x.low) / (x.high - x.low) * width; }
  double place_y(double v) const { return top + height - (v - y.low) / (y.high - y.low) * height; }
};

void draw_axes(Drawing& drawing, const Frame& f, const std::string& x_label, const std::string& y_label,
               bool grid_lines) {
  constexpr std::string_view kTick = R"(fill="#555555" font-size="12" text-anchor=)";
  const double right = f.left + f.width, bottom = f.top + f.height;
  const int about_x = 8, about_y = 6;
  for (const double v : ticks(f.y.low, f.y.high, about_y)) {
    const double y = f.place_y(v);
    if (grid_lines) drawing.add("<path d=\"M{:.1f} {:.1f}H{:.1f}\" stroke=\"#e8e8e8\"/>\n", f.left, y, right);
    drawing.add("<path d=\"M{:.1f} {:.1f}h-5\" stroke=\"#888888\"/>\n", f.left, y);
    drawing.text(f.left - 9, y + 4, tick_label(v, tick_step(f.y.low, f.y.high, about_y)),
                 fmt::format("{}\"end\"", kTick));
  }
  for (const double v : ticks(f.x.low, f.x.high, about_x)) {
    const double x = f.place_x(v);
    drawing.add("<path d=\"M{:.1f} {:.1f}v5\" stroke=\"#888888\"/>\n", x, bottom);
    drawing.text(x, bottom + 20, tick_label(v, tick_step(f.x.low, f.x.high, about_x)),
                 fmt::format("{}\"middle\"", kTick));
  }
  drawing.add(R"(<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="none" stroke="#888888"/>)"
              "\n",
              f.left, f.top, f.width, f.height);
  drawing.text(f.left + f.width / 2, bottom + 44, x_label, R"(text-anchor="middle" fill="#333333")");
  const double x = f.left - 58, y = f.top + f.height / 2;
  drawing.text(
      x, y, y_label,
      fmt::format(R"svg(text-anchor="middle" fill="#333333" transform="rotate(-90 {:.1f} {:.1f})")svg", x,
                  y));
}

/// Traces the line around {value >= level}, interpolating along the edges between neighbouring nodes
/// ("marching squares"). The grid is framed by nodes outside the region, so every line is closed.
class Contour {
 public:
  Contour(const BoundaryPlot& plot, const Frame& frame)
      : plot_(plot), frame_(frame), columns_(plot.grid.columns + 2), rows_(plot.grid.rows + 2) {
    // Edge 2k goes right from node k, edge 2k + 1 up from it.
    next_.assign(static_cast<size_t>(2 * columns_ * rows_), -1);
    for (int64_t r = 0; r + 1 < rows_; r++)
      for (int64_t c = 0; c + 1 < columns_; c++) cross(c, r);
  }

  /// The outlines as the data of an SVG path.
  std::string path() {
    std::string d;
    for (size_t start = 0; start < next_.size(); start++) {
      char command = 'M';
      for (int64_t edge = static_cast<int64_t>(start); next_[static_cast<size_t>(edge)] >= 0; command = 'L') {
        const auto [x, y] = crossing(edge);
        fmt::format_to(std::back_inserter(d), "{}{:.1f} {:.1f}", command, x, y);
        edge = std::exchange(next_[static_cast<size_t>(edge)], -1);
      }
      if (command == 'L') d += 'Z';
    }
    return d;
  }

 private:
  bool framing(int64_t c, int64_t r) const { return c == 0 || r == 0 || c == columns_ - 1 || r == rows_ - 1; }
  double height(int64_t c, int64_t r) const {
    const double v =
        framing(c, r) ? NAN : plot_.values[static_cast<size_t>((r - 1) * plot_.grid.columns + c - 1)];
    return v - plot_.level;
  }
  bool inside(int64_t c, int64_t r) const { return height(c, r) >= 0; }

  /// Links the edges on which the line enters and leaves a cell, with the region to the left of it.
  void cross(int64_t c, int64_t r) {
    const int64_t node = r * columns_ + c;
    // The four sides and corners, counterclockwise from the bottom and the lower left.
    const int64_t sides[4] = {2 * node, 2 * (node + 1) + 1, 2 * (node + columns_), 2 * node + 1};
    const bool in[4] = {inside(c, r), inside(c + 1, r), inside(c + 1, r + 1), inside(c, r + 1)};
    const double sum = height(c, r) + height(c + 1, r) + height(c + 1, r + 1) + height(c, r + 1);
    for (int side = 0; side < 4; side++) {
      if (!in[side] || in[(side + 1) % 4]) continue;
      // Going round, the region ends on this side: the line enters here and leaves where the region begins
      // again. Where two opposite corners are in (a saddle), the middle of the cell decides which ends belong
      // together.
      const bool saddle = in[(side + 2) % 4] && !in[(side + 3) % 4];
      int leave = (side + 1) % 4;
      if (!saddle || !(sum >= 0))
        for (leave = (side + 3) % 4; in[leave] || !in[(leave + 1) % 4]; leave = (leave + 3) % 4) {
        }
      next_[static_cast<size_t>(sides[side])] = sides[leave];
    }
  }

  std::pair<double, double> crossing(int64_t edge) const {
    const int64_t node = edge / 2, c = node % columns_, r = node / columns_;
    const bool up = edge % 2;
    const double from = height(c, r), to = height(c + !up, r + up);
    // Beyond the frame, and beside a NaN, halfway will do.
    const double at = std::isfinite(from) && std::isfinite(to) ? from / (from - to) : 0.5;
    const double x = static_cast<double>(c - 1) + (up ? 0 : at),
                 y = static_cast<double>(r - 1) + (up ? at : 0);
    return {frame_.left + x / static_cast<double>(plot_.grid.columns - 1) * frame_.width,
            frame_.top + frame_.height - y / static_cast<double>(plot_.grid.rows - 1) * frame_.height};
  }

  const BoundaryPlot& plot_;
  const Frame& frame_;
  int64_t columns_, rows_;
  std::vector<int64_t> next_;
};

}  // namespace

std::vector<double> ticks(double low, double high, int about) {
  const double step = tick_step(low, high, about);
  const double first = std::ceil(low / step - 1e-9), last = std::floor(high / step + 1e-9);
  std::vector<double> values;
  for (double k = first; k <= last && values.size() < 100; k++) values.push_back(k * step);
  return values;
}

std::string to_svg(const LineChart& chart) {
  RangeOf of_x, of_y;
  for (const Series& series : chart.series) {
    if (series.x.size() != series.y.size())
      fail<ShapeError>("to_svg: series '{}' has {} x and {} y", series.name, series.x.size(),
                       series.y.size());
    for (size_t i = 0; i < series.x.size(); i++)
      if (drawable(series.x[i]) && drawable(series.y[i])) {
        of_x(series.x[i]);
        of_y(series.y[i]);
      }
  }
  Frame frame{84, 52, 596, 340, of_x.range(), of_y.range()};
  const double step = tick_step(frame.y.low, frame.y.high, 6);
  frame.y = {std::floor(frame.y.low / step) * step, std::ceil(frame.y.high / step) * step};

  Drawing drawing(720, 460, chart.title);
  draw_axes(drawing, frame, chart.x_label, chart.y_label, true);
  for (size_t s = 0; s < chart.series.size(); s++) {
    const Series& series = chart.series[s];
    std::string d;
    bool pen_down = false;
    for (size_t i = 0; i < series.x.size(); i++) {
      const bool draw = drawable(series.x[i]) && drawable(series.y[i]);
      if (draw)
        fmt::format_to(std::back_inserter(d), "{}{:.1f} {:.1f}", pen_down ? 'L' : 'M',
                       frame.place_x(series.x[i]), frame.place_y(series.y[i]));
      pen_down = draw;
    }
    const std::string_view colour = kColours[s % std::size(kColours)];
    drawing.add(
        R"(<path d="{}" fill="none" stroke="{}" stroke-width="2" stroke-linejoin="round" stroke-linecap="round"/>)"
        "\n",
        d, colour);
    if (chart.series.size() < 2) continue;
    const double y = frame.top + 20 + 20 * static_cast<double>(s), x = frame.left + frame.width - 170;
    drawing.add("<path d=\"M{:.1f} {:.1f}h24\" stroke=\"{}\" stroke-width=\"3\"/>\n", x, y - 4, colour);
    drawing.text(x + 32, y, series.name, R"(fill="#333333")");
  }
  return std::move(drawing).finish();
}

Grid Grid::around(std::span<const double> points, int64_t n) {
  RangeOf of_x, of_y;
  for (size_t i = 0; i + 1 < points.size(); i += 2) {
    of_x(points[i]);
    of_y(points[i + 1]);
  }
  const Range x = of_x.range(), y = of_y.range();
  const double margin_x = 0.08 * (x.high - x.low), margin_y = 0.08 * (y.high - y.low);
  return {x.low - margin_x, x.high + margin_x, y.low - margin_y, y.high + margin_y, n, n};
}

std::vector<double> Grid::nodes() const {
  std::vector<double> at;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c++) {
      at.push_back(std::lerp(x_min, x_max, static_cast<double>(c) / static_cast<double>(columns - 1)));
      at.push_back(std::lerp(y_min, y_max, static_cast<double>(r) / static_cast<double>(rows - 1)));
    }
  return at;
}

std::string to_svg(const BoundaryPlot& plot) {
  const Grid& grid = plot.grid;
  if (grid.columns < 2 || grid.rows < 2 ||
      static_cast<int64_t>(plot.values.size()) != grid.columns * grid.rows)
    fail<ShapeError>("to_svg: {} values for a grid of {} x {} nodes (at least 2 x 2)", plot.values.size(),
                     grid.columns, grid.rows);
  if (plot.points.size() != 2 * plot.labels.size())
    fail<ShapeError>("to_svg: {} coordinates for {} labels", plot.points.size(), plot.labels.size());

  const Frame frame{84, 52, 520, 480, {grid.x_min, grid.x_max}, {grid.y_min, grid.y_max}};
  Drawing drawing(630, 630, plot.title);
  drawing.add(
      R"(<clipPath id="frame"><rect x="{0:.1f}" y="{1:.1f}" width="{2:.1f}" height="{3:.1f}"/></clipPath>)"
      "\n"
      R"(<rect x="{0:.1f}" y="{1:.1f}" width="{2:.1f}" height="{3:.1f}" fill="{4}"/>)"
      "\n<g clip-path=\"url(#frame)\">\n",
      frame.left, frame.top, frame.width, frame.height, kTints[0]);
  drawing.add("<path d=\"{}\" fill=\"{}\" fill-rule=\"evenodd\" stroke=\"#777777\" stroke-width=\"1.2\"/>\n",
              Contour(plot, frame).path(), kTints[1]);
  for (size_t i = 0; i < plot.labels.size(); i++) {
    const double x = plot.points[2 * i], y = plot.points[2 * i + 1];
    if (!drawable(x) || !drawable(y)) continue;
    drawing.add(R"(<circle cx="{:.1f}" cy="{:.1f}" r="3.8" fill="{}" stroke="#ffffff" stroke-width="0.9"/>)"
                "\n",
                frame.place_x(x), frame.place_y(y), kColours[plot.labels[i] >= 0.5]);
  }
  drawing.add("</g>\n");
  draw_axes(drawing, frame, plot.x_label, plot.y_label, false);
  for (size_t k = 0; k < 2; k++) {
    const double x = frame.left + frame.width / 2 - 110 + 140 * static_cast<double>(k), y = 608;
    drawing.add("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\" fill=\"{}\"/>\n", x, y - 4, kColours[k]);
    drawing.text(x + 12, y, plot.class_names[k], R"(fill="#333333")");
  }
  return std::move(drawing).finish();
}

std::string to_svg(const PictureGrid& grid) {
  if (grid.columns < 1) fail<ShapeError>("to_svg: columns must be at least 1: {}", grid.columns);
  size_t lines = 0;
  for (const Picture& picture : grid.pictures) lines = std::max(lines, picture.caption.size());
  const auto count = static_cast<int64_t>(grid.pictures.size());
  const int64_t columns = std::max<int64_t>(1, std::min(grid.columns, count)),
                rows = (count + columns - 1) / columns;
  constexpr double kSide = 128, kGap = 22, kTop = 54, kLine = 17;
  const double cell = kSide + 10 + kLine * static_cast<double>(lines) + kGap / 2;
  const double needed = 2 * kGap + static_cast<double>(columns) * (kSide + kGap) - kGap;
  const double width = std::max(needed, 60 + 9.5 * static_cast<double>(grid.title.size()));

  Drawing drawing(width, kTop + static_cast<double>(rows) * cell + kGap / 2, grid.title);
  for (int64_t i = 0; i < count; i++) {
    const Picture& picture = grid.pictures[static_cast<size_t>(i)];
    const double x = (width - needed) / 2 + kGap + static_cast<double>(i % columns) * (kSide + kGap);
    const double y = kTop + static_cast<double>(i / columns) * cell;
    drawing.add(
        R"(<image x="{:.1f}" y="{:.1f}" width="{}" height="{}" xlink:href="data:image/png;base64,{}"/>)"
        "\n",
        x, y, kSide, kSide, base64(encode_png(picture.width, picture.height, picture.rgb)));
    for (size_t line = 0; line < picture.caption.size(); line++)
      drawing.text(x + kSide / 2, y + kSide + kLine * static_cast<double>(line + 1), picture.caption[line],
                   R"(text-anchor="middle" font-size="12" fill="#333333")");
  }
  return std::move(drawing).finish();
}

}  // namespace gradus::examples
