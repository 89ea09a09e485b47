#pragma once
#include <common/drawing.h>

#include <array>
#include <span>

namespace gradus::examples {

/// A curve through (x[i], y[i]). It has a gap where a number is not finite.
struct Series {
  std::string name;
  std::vector<double> x, y;
};

/// Curves over common axes; a legend where there are several. On a log scale numbers up to 0 are gaps, too.
struct LineChart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
  bool log_y = false;
};

/// How often values lie in each of `bins` equal parts of their common range. Those not finite are left out,
/// and counted in the legend.
struct Histogram {
  std::string title, x_label;
  std::vector<std::pair<std::string, std::vector<double>>> values;  // by name
  int64_t bins = 40;
};

/// Nodes over a part of the plane, `columns` along x and `rows` along y, both edges included.
struct Grid {
  double x_min, x_max, y_min, y_max;
  int64_t columns, rows;

  /// A square grid of n x n nodes around points (x0, y0, x1, y1 …), with a margin.
  static Grid around(std::span<const double> points, int64_t n = 100);
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
  std::vector<std::string> caption = {};
};

/// Pictures in rows of `columns`.
struct PictureGrid {
  std::string title;
  std::vector<Picture> pictures;
  int64_t columns = 5;
};

/// Weights as a picture of height x width pixels: from blue (the largest |w|, negative) over white (0) to
/// orange (positive). With three numbers for each pixel they are red, green and blue, and 0 is grey.
Picture picture_of_weights(std::span<const double> w, int64_t height, int64_t width);

/// ShapeError where the lists of a drawing differ in length.
Drawing draw(const LineChart& chart);
Drawing draw(const Histogram& histogram);
Drawing draw(const BoundaryPlot& plot);
Drawing draw(const PictureGrid& grid);
/// The boundary at several times: frames[i] is what plot.values is at the i-th. Elements of a frame have the
/// attribute data-frame="i", and all but the last are hidden.
Drawing draw(const BoundaryPlot& plot, std::span<const std::vector<double>> frames);

template <class Chart>
requires requires(const Chart& c) { draw(c); }
std::string to_svg(const Chart& chart) { return to_svg(draw(chart)); }

/// Round numbers (1, 2 or 5 times a power of ten apart) in [low, high], about `about` of them; low < high.
std::vector<double> ticks(double low, double high, int about);

}  // namespace gradus::examples
