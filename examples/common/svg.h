#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gradus::examples {

/// A curve through (x[i], y[i]). It has a gap where a number is not finite.
struct Series {
  std::string name;
  std::vector<double> x, y;
};

/// Curves over common axes; a legend where there are several.
struct LineChart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
};

/// Nodes over a part of the plane, `columns` along x and `rows` along y, both edges included.
struct Grid {
  double x_min, x_max, y_min, y_max;
  int64_t columns, rows;

  /// A square grid of n x n nodes around points (x0, y0, x1, y1 …), with a margin.
  static Grid around(std::span<const double> points, int64_t n = 150);
  /// The nodes as samples in rows: x and y of each, x running fastest.
  std::vector<double> nodes() const;
};

/// Points of two classes over the region where a model says class 1: where `values`, its output at
/// grid.nodes(), is at least `level`. The boundary is interpolated between nodes, so give outputs rather than
/// decided classes.
struct BoundaryPlot {
  std::string title, x_label, y_label;
  Grid grid;
  std::vector<double> values;
  double level = 0.5;
  std::vector<double> points, labels;
  std::array<std::string, 2> class_names = {"class 0", "class 1"};
};

/// A small RGB picture of width · height · 3 bytes and the lines of text under it.
struct Picture {
  int64_t width, height;
  std::vector<uint8_t> rgb;
  std::vector<std::string> caption;
};

/// Pictures in rows of `columns`.
struct PictureGrid {
  std::string title;
  std::vector<Picture> pictures;
  int64_t columns = 5;
};

/// A drawing as the text of an SVG file, for write_file. ShapeError where the lists of a drawing differ in
/// length.
std::string to_svg(const LineChart& chart);
std::string to_svg(const BoundaryPlot& plot);
std::string to_svg(const PictureGrid& grid);

/// Round numbers (1, 2 or 5 times a power of ten apart) in [low, high], about `about` of them; low < high.
std::vector<double> ticks(double low, double high, int about);

}  // namespace gradus::examples
