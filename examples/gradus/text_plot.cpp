#include "text_plot.h"

#include <fmt/format.h>
#include <gradus/autograd/base/error.h>

#include <algorithm>
#include <cmath>

namespace gradus::examples {
namespace {

constexpr int kPlotColumns = 58, kPlotLines = 17;

/// Whole powers of 10 around some numbers, in equal cells.
struct Axis {
  double low = INFINITY, high = -INFINITY;
  int cells;

  void take(double v) {
    low = std::min(low, std::floor(std::log10(v)));
    high = std::max(high, std::ceil(std::log10(v)));
  }
  int cell(double power) const {
    return static_cast<int>(std::lround((power - low) / std::max(high - low, 1.0) * (cells - 1)));
  }
};

bool drawn(double x, double y) { return x > 0 && y > 0 && std::isfinite(x) && std::isfinite(y); }

}  // namespace

std::string text_plot(const std::vector<TextSeries>& series, const std::string& x_label,
                      const std::string& y_label) {
  Axis across{.cells = kPlotColumns}, up{.cells = kPlotLines};
  for (const TextSeries& s : series)
    for (size_t i = 0; i < s.x.size(); i++)
      if (drawn(s.x[i], s.y[i])) {
        across.take(s.x[i]);
        up.take(s.y[i]);
      }
  if (!(across.low <= across.high)) fail("text_plot: no point can be drawn");

  std::vector<std::string> lines(kPlotLines, std::string(kPlotColumns, ' '));
  for (const TextSeries& s : series)
    for (size_t i = 0; i < s.x.size(); i++) {
      if (!drawn(s.x[i], s.y[i])) continue;
      const int line = kPlotLines - 1 - up.cell(std::log10(s.y[i]));
      char& at = lines[static_cast<size_t>(line)][static_cast<size_t>(across.cell(std::log10(s.x[i])))];
      if (at == ' ') at = s.mark;
    }

  std::vector<std::string> ticks(kPlotLines);
  for (double p = up.low; p <= up.high; p += 3)
    ticks[static_cast<size_t>(kPlotLines - 1 - up.cell(p))] = fmt::format("1e{:+03.0f}", p);
  std::string text = y_label + "\n";
  for (size_t i = 0; i < kPlotLines; i++) {
    const std::string line = fmt::format("{:>6} │{}", ticks[i], lines[i]);
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  std::string axis, labels(kPlotColumns + 8, ' ');
  for (int c = 0; c < kPlotColumns; c++) axis += "─";
  for (double p = across.low; p <= across.high; p += 3)
    labels.replace(static_cast<size_t>(across.cell(p)) + 6, 5, fmt::format("1e{:+03.0f}", p));
  labels = labels.substr(0, labels.find_last_not_of(' ') + 1);
  return text + "       └" + axis + "\n" + labels + "   " + x_label + "\n";
}

}  // namespace gradus::examples
