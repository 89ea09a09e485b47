#include <common/datasets.h>
#include <common/png.h>
#include <common/svg.h>
#include <gmock/gmock.h>
#include <gradus/autograd/base/error.h>
#include <gradus/autograd/base/random.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <regex>

#include "text_support.h"

namespace gradus::examples {
namespace {

/// Whether every tag of an XML text is closed, in order, and no bare & or < is left.
testing::AssertionResult well_formed(const std::string& xml) {
  std::vector<std::string> open;
  for (size_t at = 0; at < xml.size(); at++) {
    if (xml[at] == '&' && xml.substr(at, 7).find(';') == std::string::npos)
      return testing::AssertionFailure() << "bare &: " << xml.substr(at, 30);
    if (xml[at] != '<') continue;
    const size_t end = xml.find('>', at);
    if (end == std::string::npos) return testing::AssertionFailure() << "cut: " << xml.substr(at, 30);
    const std::string tag = xml.substr(at + 1, end - at - 1);
    if (tag.find('<') != std::string::npos || std::count(tag.begin(), tag.end(), '"') % 2)
      return testing::AssertionFailure() << "bad tag: " << tag;
    if (tag[0] == '/') {
      if (open.empty() || open.back() != tag.substr(1))
        return testing::AssertionFailure() << "stray: " << tag;
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
    at = end;
  }
  if (!open.empty()) return testing::AssertionFailure() << "never closed: " << open.back();
  return testing::AssertionSuccess();
}

TEST(Svg, TicksAreRound) {
  using Numbers = std::vector<double>;
  EXPECT_EQ(ticks(0, 10, 5), (Numbers{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(ticks(-4.2, 4.1, 8), (Numbers{-4, -3, -2, -1, 0, 1, 2, 3, 4}));
  EXPECT_EQ(ticks(0, 10000, 5), (Numbers{0, 2000, 4000, 6000, 8000, 10000}));
  EXPECT_EQ(ticks(0.217, 0.693, 5).size(), 4u) << "0.3 to 0.6";
  for (const auto& [low, high] :
       {std::pair{1e-12, 3e-12}, {-1e299, 1e299}, {1e17, 1e17 + 1e9}, {0.0, 1e-150}}) {
    const Numbers t = ticks(low, high, 6);
    EXPECT_GE(t.size(), 3u) << low;
    EXPECT_LE(t.size(), 15u) << low;
  }
}

TEST(Svg, ChartsHoldTheirCurves) {
  LineChart chart{"Learning <rate> = \"0.0075\" & more",
                  "iterations (per hundreds)",
                  "cost",
                  {{"a", {0, 1, 2}, {3, 2, 1}}}};
  const std::string one = to_svg(chart);
  EXPECT_TRUE(well_formed(one));
  EXPECT_TRUE(contains(one, "Learning &lt;rate&gt; = &quot;0.0075&quot; &amp; more"));
  EXPECT_TRUE(contains(one, "iterations (per hundreds)</text>") && contains(one, ">cost</text>"));
  EXPECT_TRUE(contains(one, "M68 40L252 154L436 268")) << "the curve crosses the frame";
  EXPECT_FALSE(contains(one, ">a</text>")) << "no legend for one curve";
  chart.series.push_back({"b", {0, 1, 2, 3, 4}, {1, NAN, 2, INFINITY, 1}});
  const std::string two = to_svg(chart);
  EXPECT_TRUE(well_formed(two));
  EXPECT_TRUE(contains(two, ">a</text>") && contains(two, ">b</text>"));
  EXPECT_FALSE(contains(two, "nan") || contains(two, "inf"));
  chart.series[1].y.pop_back();
  EXPECT_THROW(to_svg(chart), ShapeError);
}

TEST(Svg, LabelsOfTicksDoNotRunIntoOneAnother) {
  for (const double far : {1.0, 0.00011, 0.0026, 123456.0, 1e-9, 3e17}) {
    const std::string svg = to_svg(LineChart{"", "", "", {{"", {-far, far}, {0, 1}}}});
    // The places of ticks under the axis, and the words beside them.
    const std::regex tick("<text x=\"([0-9.]+)\" y=\"287.0\"[^>]*>([^<]*)<");
    double before = -INFINITY;
    for (std::sregex_iterator at(svg.begin(), svg.end(), tick), end; at != end; ++at) {
      const double x = std::stod((*at)[1]), half = 12 * width_of((*at)[2].str()) / 2;
      EXPECT_GT(x - half, before) << far << ": " << (*at)[2];
      before = x + half;
    }
    EXPECT_GT(before, 0) << "there are ticks at " << far;
  }
}

TEST(Svg, LogScalesHavePowersOfTen) {
  const std::string svg =
      to_svg(LineChart{"", "", "", {{"a", {0, 1, 2, 3, 4, 5}, {100, 1, 0, -5, NAN, 1e-4}}}, true});
  EXPECT_TRUE(well_formed(svg));
  for (const char* power : {">10²<", ">1<", ">10⁻²<", ">10⁻⁴<"}) EXPECT_TRUE(contains(svg, power)) << power;
  // 10² to 10⁻⁴ are the frame's top, 40, and bottom, 268; 0, -5 and NaN are gaps.
  EXPECT_TRUE(contains(svg, "d=\"M68 40L141.6 116M436 268\"")) << svg;
  const std::string narrow = to_svg(LineChart{"", "", "", {{"a", {0, 1}, {0.3, 0.7}}}, true});
  for (const char* label : {">0.2<", ">0.5<", ">1<", ">10⁻¹<"}) EXPECT_TRUE(contains(narrow, label)) << label;
  EXPECT_TRUE(well_formed(to_svg(LineChart{"", "", "", {{"none", {0, 1}, {-1, 0}}}, true})));
}

TEST(Svg, HistogramsCountShares) {
  Histogram histogram{"h", "x", {{"a", {0, 0.1, 0.2, 1, NAN}}}, 2};
  const Drawing drawing = draw(histogram);
  const std::string svg = to_svg(drawing);
  EXPECT_TRUE(well_formed(svg));
  EXPECT_TRUE(contains(svg, ">a (1 not finite)<")) << "what is left out is said";
  // Of five values 60 % are in the left half and 20 % in the right; the frame goes from 60 to 268, and to 60
  // %.
  EXPECT_TRUE(contains(svg, "d=\"M68 268L68 60L252 60L252 198.7L436 198.7L436 268\"")) << svg;
  EXPECT_FALSE(contains(to_svg(Histogram{"", "", {{"only", {1, 2}}}}), ">only<"));
  EXPECT_TRUE(well_formed(to_svg(Histogram{"", "", {}})));
  EXPECT_TRUE(well_formed(to_svg(Histogram{"", "", {{"", {3, 3, 3}}}})));
  histogram.bins = 0;
  EXPECT_THROW(to_svg(histogram), ShapeError);
}

TEST(Svg, DrawingsStandSideBySide) {
  const Drawing a{100, 50, "a", "<g id=\"a\"/>"}, b{80, 70, "b", "<g id=\"b\"/>"};
  const Drawing row = side_by_side("both", {a, b, a}, 2);
  EXPECT_TRUE(well_formed(to_svg(row)));
  EXPECT_EQ(row.width, 2 * 100 + 12);
  EXPECT_EQ(row.height, 40 + 2 * 70);
  EXPECT_TRUE(
      contains(row.elements, "<svg x=\"122.0\" y=\"40.0\" width=\"80.0\" height=\"70.0\">\n<g id=\"b\"/>"));
  EXPECT_TRUE(contains(row.elements, "<svg x=\"0.0\" y=\"110.0\""));
  EXPECT_TRUE(well_formed(to_svg(side_by_side("", {}, 3))));
  EXPECT_THROW(side_by_side("", {a}, 0), ShapeError);
}

TEST(Svg, WeightsBecomePictures) {
  const std::vector<double> w = {0, 2, -2, 1, NAN, 0};
  const Picture grey = picture_of_weights(w, 2, 3);
  EXPECT_EQ(std::vector<uint8_t>(grey.rgb.begin(), grey.rgb.begin() + 9),
            (std::vector<uint8_t>{255, 255, 255, 189, 75, 6, 10, 106, 171}));
  EXPECT_EQ(grey.width, 3);
  EXPECT_EQ(grey.height, 2);
  EXPECT_EQ(picture_of_weights(w, 1, 2).rgb, (std::vector<uint8_t>{128, 255, 0, 191, 128, 128}));
  EXPECT_THROW(picture_of_weights(w, 2, 2), ShapeError);
}

/// The contrast of two colours #rrggbb as the Web Content Accessibility Guidelines define it.
double contrast(const std::string& a, const std::string& b) {
  const auto luminance = [](const std::string& colour) {
    const double weights[] = {0.2126, 0.7152, 0.0722};
    double sum = 0;
    for (size_t i = 0; i < 3; i++) {
      const double c = std::stoi(colour.substr(1 + 2 * i, 2), nullptr, 16) / 255.0;
      sum += weights[i] * (c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4));
    }
    return sum;
  };
  const double x = luminance(a) + 0.05, y = luminance(b) + 0.05;
  return std::max(x, y) / std::min(x, y);
}

TEST(Svg, ColoursHaveContrastInTheLightAndInTheDark) {
  EXPECT_NEAR(contrast("#000000", "#ffffff"), 21, 1e-9);
  const std::string& css = drawing_css();
  const size_t dark = css.find("@media (prefers-color-scheme:dark){");
  ASSERT_NE(dark, std::string::npos);
  for (const std::string& sheet : {css.substr(0, dark), css.substr(dark)}) {
    const auto colour = [&](const std::string& rule) {
      const size_t at = sheet.find(rule);
      EXPECT_NE(at, std::string::npos) << rule;
      return sheet.substr(at + rule.size(), 7);
    };
    const std::string paper = colour(".paper{fill:");
    for (const char* rule :
         {".ink{fill:", ".soft{fill:", ".line0{stroke:", ".line1{stroke:", ".line2{stroke:", ".line3{stroke:",
          ".line4{stroke:", ".line5{stroke:", ".dot text{fill:"})
      EXPECT_GE(contrast(colour(rule), paper), 4.5) << rule << " on " << paper;
    EXPECT_GE(contrast(colour(".axis{stroke:"), paper), 3) << paper;
    for (const char* region : {"0", "1"})
      for (const char* point : {"0", "1"})
        EXPECT_GE(contrast(colour(std::string(".point") + point + "{fill:"),
                           colour(std::string(".region") + region + "{fill:")),
                  3)
            << point << " on " << region;
    EXPECT_GE(contrast(colour(".dot text{fill:"), colour(".dot .parameter polygon{fill:")), 4.5);
  }
}

TEST(Svg, OddNumbersStillGiveAPicture) {
  for (const std::vector<double>& y : std::vector<std::vector<double>>{{},
                                                                       {NAN},
                                                                       {5, 5},
                                                                       {0, 0},
                                                                       {1e308, -1e308},
                                                                       {1e-320, 0},
                                                                       {1e16, 1e16 + 2},
                                                                       {-1e299, 1e299},
                                                                       {INFINITY, 1}}) {
    std::vector<double> x;
    for (size_t i = 0; i < y.size(); i++) x.push_back(static_cast<double>(i));
    const std::string svg = to_svg(LineChart{"odd", "", "", {{"", x, y}}});
    EXPECT_TRUE(well_formed(svg));
    EXPECT_FALSE(contains(svg, "nan") || contains(svg, "inf")) << svg;
    EXPECT_LT(svg.size(), 10000u);
  }
}

using Loop = std::vector<std::pair<double, double>>;

/// The closed lines of the region in a boundary plot.
std::vector<Loop> region_of(const std::string& svg) {
  std::vector<Loop> loops;
  const size_t start = svg.find(" d=\"", svg.find("class=\"region1\"")) + 4;
  std::string d = svg.substr(start, svg.find('"', start) - start);
  for (const char* at = d.c_str(); *at;) {
    if (*at == 'M') loops.emplace_back();
    if (*at == 'Z') {
      at++;
      continue;
    }
    char* end;
    const double x = std::strtod(at + 1, &end), y = std::strtod(end, &end);
    loops.back().emplace_back(x, y);
    at = end;
  }
  return loops;
}

bool inside(const std::vector<Loop>& loops, double x, double y) {
  bool in = false;
  for (const Loop& loop : loops)
    for (size_t i = 0; i < loop.size(); i++) {
      const auto [x0, y0] = loop[i];
      const auto [x1, y1] = loop[(i + 1) % loop.size()];
      if ((y0 > y) != (y1 > y) && x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)) in = !in;
    }
  return in;
}

TEST(Svg, TheRegionHoldsExactlyTheNodesAboveTheLevel) {
  // Random heights make every kind of cell, saddles included.
  NumpyRandom random = numpy_random(5);
  for (int round = 0; round < 50; round++) {
    BoundaryPlot plot{.title = "",
                      .x_label = "",
                      .y_label = "",
                      .grid = {0, 11, 0, 8, 12, 9},
                      .values = random.rand(108),
                      .level = 0.45,
                      .points = {},
                      .labels = {}};
    if (round > 40) plot.values[static_cast<size_t>(round)] = NAN;
    const auto loops = region_of(to_svg(plot));
    for (size_t r = 0; r < 9; r++)
      for (size_t c = 0; c < 12; c++) {
        const double v = plot.values[12 * r + c];
        if (std::abs(v - plot.level) < 0.02) continue;
        EXPECT_EQ(inside(loops, 52 + 392.0 * c / 11, 60 + 368 - 368.0 * r / 8), v > plot.level)
            << r << ' ' << c;
      }
  }
}

TEST(Svg, TheMiddleOfASaddleDecides) {
  for (const double level : {0.4, 0.6}) {
    const BoundaryPlot plot{.title = "",
                            .x_label = "",
                            .y_label = "",
                            .grid = {0, 1, 0, 1, 2, 2},
                            .values = {1, 0, 0, 1},
                            .level = level,
                            .points = {},
                            .labels = {}};
    EXPECT_EQ(inside(region_of(to_svg(plot)), 52 + 196, 60 + 184), level < 0.5) << level;
  }
}

TEST(Svg, TheRegionIsSmooth) {
  BoundaryPlot plot{.title = "",
                    .x_label = "",
                    .y_label = "",
                    .grid = {-1, 1, -1, 1, 40, 40},
                    .values = {},
                    .level = 0,
                    .points = {},
                    .labels = {}};
  const auto nodes = plot.grid.nodes();
  for (size_t i = 0; i < nodes.size(); i += 2)
    plot.values.push_back(0.6 - std::hypot(nodes[i], nodes[i + 1] / 0.5));
  const auto loops = region_of(to_svg(plot));
  ASSERT_EQ(loops.size(), 1u);
  double area = 0;
  for (size_t i = 0; i < loops[0].size(); i++) {
    const auto [x0, y0] = loops[0][i];
    const auto [x1, y1] = loops[0][(i + 1) % loops[0].size()];
    area += (x0 * y1 - x1 * y0) / 2;
    EXPECT_NEAR(std::hypot((x0 - 248) / 196, (y0 - 244) / 184 / 0.5), 0.6, 0.004)
        << "on the ellipse, upright";
  }
  EXPECT_NEAR(std::abs(area), std::numbers::pi * 0.6 * 196 * 0.3 * 184, 300);
}

TEST(Svg, BoundaryPlotsHoldTheirPoints) {
  const Dataset data = load_planar_dataset(1, 100);
  BoundaryPlot plot{.title = "t",
                    .x_label = "x₁",
                    .y_label = "x₂",
                    .grid = Grid::around(data.x, 30),
                    .values = {},
                    .points = data.x,
                    .labels = data.y};
  EXPECT_THROW(to_svg(plot), ShapeError);
  for (const double value : {0.0, 1.0}) {
    plot.values.assign(900, value);
    const std::string svg = to_svg(plot);
    EXPECT_TRUE(well_formed(svg));
    EXPECT_EQ(count_of(svg, "<circle"), 51u) << "50 points, and one in the legend";
    EXPECT_EQ(count_of(svg, "l4.5 4.5"), 51u);
    EXPECT_EQ(region_of(svg).size(), value == 1 ? 1u : 0u);
  }
  const auto nodes = plot.grid.nodes();
  ASSERT_EQ(nodes.size(), 1800u);
  EXPECT_EQ((std::vector{nodes[0], nodes[1]}), (std::vector{plot.grid.x_min, plot.grid.y_min}));
  EXPECT_EQ(nodes[1798], plot.grid.x_max);
  EXPECT_LT(nodes[0], *std::min_element(data.x.begin(), data.x.end()) + 2);
  plot.labels.pop_back();
  EXPECT_THROW(to_svg(plot), ShapeError);
}

TEST(Svg, FramesShareTheirPoints) {
  const BoundaryPlot plot{.title = "",
                          .x_label = "",
                          .y_label = "",
                          .grid = {0, 1, 0, 1, 2, 2},
                          .values = {},
                          .points = {0.5, 0.5},
                          .labels = {1}};
  const std::vector<std::vector<double>> frames = {{1, 0, 0, 1}, {0, 0, 1, 1}, {1, 1, 1, 1}};
  const std::string svg = to_svg(draw(plot, frames));
  EXPECT_TRUE(well_formed(svg));
  EXPECT_EQ(count_of(svg, "data-frame="), 3u);
  EXPECT_TRUE(contains(svg, "data-frame=\"0\" style=\"display:none\"/>"));
  EXPECT_TRUE(contains(svg, "data-frame=\"2\"/>")) << "the last one is shown";
  EXPECT_EQ(count_of(svg, "l4.5 4.5"), 2u) << "the point, and the legend";
  EXPECT_THROW(draw(plot, std::vector<std::vector<double>>{{1, 2, 3}}), ShapeError);
}

TEST(Svg, PictureGridsEmbedTheirPictures) {
  const std::vector<uint8_t> rgb(12, 200);
  PictureGrid grid{.title = "Mislabelled", .pictures = {}, .columns = 3};
  EXPECT_TRUE(well_formed(to_svg(grid))) << "no picture is a picture too";
  for (int i = 0; i < 7; i++) grid.pictures.push_back({2, 2, rgb, {"said: cat", "is: a < b"}});
  const std::string svg = to_svg(grid);
  EXPECT_TRUE(well_formed(svg));
  EXPECT_EQ(count_of(svg, "data:image/png;base64," + base64(encode_png(2, 2, rgb)) + "\""), 7u);
  EXPECT_EQ(count_of(svg, ">is: a &lt; b</text>"), 7u);
  grid.pictures[0].width = 3;
  EXPECT_THROW(to_svg(grid), ShapeError);
}

}  // namespace
}  // namespace gradus::examples
