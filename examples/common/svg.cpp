#include <common/png.h>
#include <common/svg.h>
#include <gradus/autograd/base/error.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace gradus::examples {
namespace {

constexpr size_t kColours = 6;

// Beyond this a span between two numbers could overflow; a curve has a gap there too.
constexpr double kLargest = 1e300;
bool drawable(double v) { return std::abs(v) < kLargest; }

/// A coordinate with one decimal, or none where that is 0.
double tenths(double v) { return std::round(10 * v) / 10; }

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
  if (value < 0) return "−" + tick_label(-value, step);
  const int decimals = std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9)));
  if (decimals > 5 || value >= 1e7) return fmt::format("{:.6g}", value);
  return fmt::format("{:.{}f}", value, decimals);
}

/// 10 to a power, as it is printed.
std::string power_of_ten(double exponent) {
  constexpr std::string_view kDigits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  if (exponent == 0) return "1";
  if (exponent == 1) return "10";
  std::string text = "10";
  for (const char c : fmt::format("{:.0f}", exponent)) text += c == '-' ? "⁻" : kDigits[c - '0'];
  return text;
}

/// The rectangle inside the axes: where numbers become places. On a log scale, y is the exponent of ten.
struct Frame {
  double left, top, width, height;
  Range x, y;
  bool log_y = false;

  double right() const { return left + width; }
  double bottom() const { return top + height; }
  double place_x(double v) const { return left + (v - x.low) / (x.high - x.low) * width; }
  double place_y(double v) const {
    return top + height - ((log_y ? std::log10(v) : v) - y.low) / (y.high - y.low) * height;
  }
};

constexpr int kTicksX = 5, kTicksY = 5;

void draw_title(Drawing& d) {
  d.text(d.width / 2, 24, d.title, R"(class="ink" text-anchor="middle" font-size="15" font-weight="600")");
}

void draw_tick_y(Drawing& d, const Frame& f, double v, const std::string& label, bool lines) {
  const double y = f.bottom() - (v - f.y.low) / (f.y.high - f.y.low) * f.height;
  if (lines) d.add("<path class=\"lines\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", f.left, y, f.right());
  d.add("<path class=\"axis\" d=\"M{:.1f} {:.1f}h-5\"/>\n", f.left, y);
  d.text(f.left - 8, y + 4, label, R"(class="soft" font-size="12" text-anchor="end")");
}

/// How many ticks the x axis has room for.
int ticks_across(const Frame& f) {
  int about = kTicksX;
  for (; about > 1; about--) {
    const double step = tick_step(f.x.low, f.x.high, about);
    double widest = 0;
    for (const double v : ticks(f.x.low, f.x.high, about))
      widest = std::max(widest, 12 * width_of(tick_label(v, step)) + 8);
    if (widest <= step / (f.x.high - f.x.low) * f.width) break;
  }
  return about;
}

void draw_axes(Drawing& d, const Frame& f, const std::string& x_label, const std::string& y_label,
               bool lines) {
  if (f.log_y) {
    const double step = std::max(1.0, std::ceil((f.y.high - f.y.low) / 6));
    for (double e = f.y.low; e <= f.y.high; e += step) draw_tick_y(d, f, e, power_of_ten(e), lines);
    if (f.y.high - f.y.low <= 2)
      for (double e = f.y.low; e < f.y.high; e++)
        for (const double lead : {2, 5})
          draw_tick_y(d, f, e + std::log10(lead), fmt::format("{:g}", lead * std::pow(10, e)), lines);
  } else {
    for (const double v : ticks(f.y.low, f.y.high, kTicksY))
      draw_tick_y(d, f, v, tick_label(v, tick_step(f.y.low, f.y.high, kTicksY)), lines);
  }
  const int across = ticks_across(f);
  for (const double v : ticks(f.x.low, f.x.high, across)) {
    const double x = f.place_x(v);
    d.add("<path class=\"axis\" d=\"M{:.1f} {:.1f}v5\"/>\n", x, f.bottom());
    d.text(x, f.bottom() + 19, tick_label(v, tick_step(f.x.low, f.x.high, across)),
           R"(class="soft" font-size="12" text-anchor="middle")");
  }
  d.add("<rect class=\"axis\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>\n", f.left,
        f.top, f.width, f.height);
  d.text(f.left + f.width / 2, f.bottom() + 40, x_label, R"(class="ink" text-anchor="middle")");
  const double x = 16, y = f.top + f.height / 2;
  d.text(
      x, y, y_label,
      fmt::format(R"svg(class="ink" text-anchor="middle" transform="rotate(-90 {:.1f} {:.1f})")svg", x, y));
}

/// Names in a row, or in as many rows as they need, each after a mark of 26 x 12 that `mark(i, x, y)` draws
/// around its middle. Returns where the next row would be.
template <class Mark>
double draw_legend(Drawing& d, double left, double top, double right, const std::vector<std::string>& names,
                   Mark mark) {
  double x = left, y = top;
  for (size_t i = 0; i < names.size(); i++) {
    const double wide = 34 + 13 * width_of(names[i]) + 16;
    if (x > left && x + wide - 16 > right) {
      x = left;
      y += 20;
    }
    mark(i, x + 13, y - 4);
    d.text(x + 34, y, names[i], R"(class="ink")");
    x += wide;
  }
  return y + 20;
}

/// Traces the line around {value >= level}, interpolating along the edges between neighbouring nodes
/// ("marching squares"). The grid is framed by nodes outside the region, so every line is closed.
class Contour {
 public:
  Contour(const BoundaryPlot& plot, std::span<const double> values, const Frame& frame)
      : plot_(plot),
        values_(values),
        frame_(frame),
        columns_(plot.grid.columns + 2),
        rows_(plot.grid.rows + 2) {
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
        fmt::format_to(std::back_inserter(d), "{}{} {}", command, tenths(x), tenths(y));
        edge = std::exchange(next_[static_cast<size_t>(edge)], -1);
      }
      if (command == 'L') d += 'Z';
    }
    return d;
  }

 private:
  bool framing(int64_t c, int64_t r) const { return c == 0 || r == 0 || c == columns_ - 1 || r == rows_ - 1; }
  double height(int64_t c, int64_t r) const {
    const double v = framing(c, r) ? NAN : values_[static_cast<size_t>((r - 1) * plot_.grid.columns + c - 1)];
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
  std::span<const double> values_;
  const Frame& frame_;
  int64_t columns_, rows_;
  std::vector<int64_t> next_;
};

/// The data of an SVG path through the series' points.
std::string path_of(const Series& series, const Frame& f) {
  std::string d;
  bool pen_down = false;
  for (size_t i = 0; i < series.x.size(); i++) {
    const double x = series.x[i], y = series.y[i];
    const bool draw = drawable(x) && drawable(y) && (!f.log_y || y > 0);
    if (draw)
      fmt::format_to(std::back_inserter(d), "{}{} {}", pen_down ? 'L' : 'M', tenths(f.place_x(x)),
                     tenths(f.place_y(y)));
    pen_down = draw;
  }
  return d;
}

}  // namespace

std::vector<double> ticks(double low, double high, int about) {
  const double step = tick_step(low, high, about);
  const double first = std::ceil(low / step - 1e-9), last = std::floor(high / step + 1e-9);
  std::vector<double> values;
  for (double k = first; k <= last && values.size() < 100; k++) values.push_back(k * step);
  return values;
}

Drawing draw(const LineChart& chart) {
  RangeOf of_x, of_y;
  std::vector<std::string> names;
  for (const Series& series : chart.series) {
    if (series.x.size() != series.y.size())
      fail<ShapeError>("draw: series '{}' has {} x and {} y", series.name, series.x.size(), series.y.size());
    names.push_back(series.name);
    for (size_t i = 0; i < series.x.size(); i++) {
      const double y = chart.log_y ? std::log10(series.y[i]) : series.y[i];
      if (!drawable(series.x[i]) || !drawable(y)) continue;
      of_x(series.x[i]);
      of_y(y);
    }
  }
  Drawing d{460, 320, chart.title};
  draw_title(d);
  Frame f{68, 40, 368, 0, of_x.range(), of_y.range(), chart.log_y};
  const double step = chart.log_y ? 1 : tick_step(f.y.low, f.y.high, kTicksY);
  f.y = {std::floor(f.y.low / step) * step, std::ceil(f.y.high / step) * step};
  const auto mark = [&](size_t i, double x, double y) {
    d.add("<path class=\"curve line{}\" d=\"M{:.1f} {:.1f}h26\"/>\n", i % kColours, x - 13, y);
  };
  if (names.size() > 1) f.top = draw_legend(d, f.left, 48, f.right(), names, mark) - 8;
  f.height = 268 - f.top;
  draw_axes(d, f, chart.x_label, chart.y_label, true);
  for (size_t i = 0; i < chart.series.size(); i++)
    d.add("<path class=\"curve line{}\" d=\"{}\"/>\n", i % kColours, path_of(chart.series[i], f));
  return d;
}

Drawing draw(const Histogram& histogram) {
  if (histogram.bins < 1) fail<ShapeError>("draw: a histogram has at least 1 bin: {}", histogram.bins);
  RangeOf of;
  for (const auto& [name, values] : histogram.values) std::ranges::for_each(values, std::ref(of));
  const Range range = of.range();
  const auto bins = static_cast<size_t>(histogram.bins);
  const double width = (range.high - range.low) / static_cast<double>(bins);
  std::vector<Series> outlines;
  std::vector<std::string> names;
  RangeOf of_y;
  of_y(0);
  for (const auto& [name, values] : histogram.values) {
    std::vector<double> share(bins);
    size_t lost = 0;
    for (const double v : values) {
      if (!drawable(v)) {
        lost++;
        continue;
      }
      const auto bin = static_cast<size_t>(std::max(0.0, (v - range.low) / width));
      share[std::min(bin, bins - 1)] += 100 / static_cast<double>(values.size());
    }
    Series outline{name, {range.low}, {0}};
    for (size_t k = 0; k < bins; k++) {
      of_y(share[k]);
      for (const size_t edge : {k, k + 1}) {
        outline.x.push_back(range.low + width * static_cast<double>(edge));
        outline.y.push_back(share[k]);
      }
    }
    outline.x.push_back(range.high);
    outline.y.push_back(0);
    outlines.push_back(std::move(outline));
    names.push_back(lost ? fmt::format("{} ({} not finite)", name, lost) : name);
  }
  Drawing d{460, 320, histogram.title};
  draw_title(d);
  Frame f{68, 40, 368, 0, range, of_y.range()};
  f.y = {0, std::ceil(f.y.high / tick_step(0, f.y.high, kTicksY)) * tick_step(0, f.y.high, kTicksY)};
  const auto mark = [&](size_t i, double x, double y) {
    d.add(
        "<path class=\"bars fill{0}\" d=\"M{1:.1f} {2:.1f}h26v-10h-26z\"/>\n"
        "<path class=\"curve line{0}\" d=\"M{1:.1f} {3:.1f}h26\"/>\n",
        i % kColours, x - 13, y + 5, y - 5);
  };
  if (names.size() > 1 || (names.size() == 1 && names[0] != histogram.values[0].first))
    f.top = draw_legend(d, f.left, 48, f.right(), names, mark) - 8;
  f.height = 268 - f.top;
  draw_axes(d, f, histogram.x_label, "share of the values (%)", true);
  for (size_t i = 0; i < outlines.size(); i++) {
    const std::string path = path_of(outlines[i], f);
    d.add("<path class=\"bars fill{0}\" d=\"{1}\"/>\n<path class=\"curve line{0}\" d=\"{1}\"/>\n",
          i % kColours, path);
  }
  return d;
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

Drawing draw(const BoundaryPlot& plot) { return draw(plot, {&plot.values, 1}); }

Drawing draw(const BoundaryPlot& plot, std::span<const std::vector<double>> frames) {
  const Grid& grid = plot.grid;
  for (const std::vector<double>& values : frames)
    if (grid.columns < 2 || grid.rows < 2 || static_cast<int64_t>(values.size()) != grid.columns * grid.rows)
      fail<ShapeError>("draw: {} values for a grid of {} x {} nodes (at least 2 x 2)", values.size(),
                       grid.columns, grid.rows);
  if (plot.points.size() != 2 * plot.labels.size())
    fail<ShapeError>("draw: {} coordinates for {} labels", plot.points.size(), plot.labels.size());

  Drawing d{460, 480, plot.title};
  draw_title(d);
  const auto dot = [&](size_t k, double x, double y) {
    if (k == 0)
      d.add("<circle cx=\"{}\" cy=\"{}\" r=\"4\"/>\n", tenths(x), tenths(y));
    else
      d.add("<path d=\"M{} {}l4.5 4.5 4.5-4.5-4.5-4.5z\"/>\n", tenths(x - 4.5), tenths(y));
  };
  const double top = draw_legend(d, 52, 48, 444, {plot.class_names[0], plot.class_names[1]},
                                 [&](size_t k, double x, double y) {
                                   d.add("<g class=\"point{}\">", k);
                                   dot(k, x + 6, y);
                                   d.add("</g>\n");
                                 });
  const Frame f{52, top - 8, 392, 368, {grid.x_min, grid.x_max}, {grid.y_min, grid.y_max}};
  // An svg within an svg cuts off what is outside of it.
  d.add(
      "<svg x=\"{0}\" y=\"{1}\" width=\"{2}\" height=\"{3}\" viewBox=\"{0} {1} {2} {3}\">\n"
      "<rect class=\"region0\" x=\"{0}\" y=\"{1}\" width=\"{2}\" height=\"{3}\"/>\n",
      f.left, f.top, f.width, f.height);
  for (size_t i = 0; i < frames.size(); i++) {
    d.add("<path class=\"region1\" fill-rule=\"evenodd\" d=\"{}\"", Contour(plot, frames[i], f).path());
    if (frames.size() > 1)
      d.add(" data-frame=\"{}\"{}", i, i + 1 < frames.size() ? " style=\"display:none\"" : "");
    d.add("/>\n");
  }
  for (size_t k = 0; k < 2; k++) {
    d.add("<g class=\"point{}\">\n", k);
    for (size_t i = 0; i < plot.labels.size(); i++) {
      const double x = plot.points[2 * i], y = plot.points[2 * i + 1];
      if ((plot.labels[i] >= 0.5) == (k == 1) && drawable(x) && drawable(y))
        dot(k, f.place_x(x), f.place_y(y));
    }
    d.add("</g>\n");
  }
  d.add("</svg>\n");
  draw_axes(d, f, plot.x_label, plot.y_label, false);
  return d;
}

Drawing draw(const PictureGrid& grid) {
  if (grid.columns < 1) fail<ShapeError>("draw: columns must be at least 1: {}", grid.columns);
  size_t lines = 0;
  for (const Picture& picture : grid.pictures) lines = std::max(lines, picture.caption.size());
  const auto count = static_cast<int64_t>(grid.pictures.size());
  const int64_t columns = std::max<int64_t>(1, std::min(grid.columns, count)),
                rows = (count + columns - 1) / columns;
  constexpr double kSide = 116, kGap = 16, kTop = 44, kLine = 16;
  const double cell = kSide + 8 + kLine * static_cast<double>(lines) + kGap / 2;
  const double needed = static_cast<double>(columns) * (kSide + kGap) + kGap;
  const double width = std::max(needed, 32 + 15 * width_of(grid.title));

  Drawing d{width, kTop + static_cast<double>(rows) * cell + kGap / 2, grid.title};
  draw_title(d);
  for (int64_t i = 0; i < count; i++) {
    const Picture& picture = grid.pictures[static_cast<size_t>(i)];
    const double x = (width - needed) / 2 + kGap + static_cast<double>(i % columns) * (kSide + kGap);
    const int64_t row = i / columns;
    const double y = kTop + static_cast<double>(row) * cell;
    d.add(
        "<image class=\"pixels\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" "
        "xlink:href=\"data:image/png;base64,{}\"/>\n",
        x, y, kSide, kSide, base64(encode_png(picture.width, picture.height, picture.rgb)));
    for (size_t line = 0; line < picture.caption.size(); line++)
      d.text(x + kSide / 2, y + kSide + kLine * static_cast<double>(line + 1), picture.caption[line],
             R"(class="ink" text-anchor="middle" font-size="12")");
  }
  return d;
}

Picture picture_of_weights(std::span<const double> w, int64_t height, int64_t width) {
  const bool coloured = static_cast<int64_t>(w.size()) == 3 * height * width;
  if (height < 1 || width < 1 || (!coloured && static_cast<int64_t>(w.size()) != height * width))
    fail<ShapeError>("picture_of_weights: {} weights for {} x {} pixels", w.size(), height, width);
  double largest = 0;
  for (const double v : w)
    if (drawable(v)) largest = std::max(largest, std::abs(v));
  Picture picture{width, height, {}};
  for (const double v : w) {
    const double at = largest > 0 && drawable(v) ? v / largest : 0;
    const auto add = [&](double level) { picture.rgb.push_back(static_cast<uint8_t>(std::lround(level))); };
    if (coloured) {
      add(127.5 + 127.5 * at);
      continue;
    }
    // Towards blue, (10, 106, 171), or orange, (189, 75, 6).
    const double to[2][3] = {{10, 106, 171}, {189, 75, 6}};
    for (const double c : to[at > 0]) add(std::lerp(255.0, c, std::abs(at)));
  }
  return picture;
}

}  // namespace gradus::examples
