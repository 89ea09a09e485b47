#include <common/file.h>
#include <common/report.h>
#include <common/svg.h>
#include <gmock/gmock.h>
#include <gradus/gradus.h>

#include <set>

#include "browser.h"

namespace gradus::examples {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using json = Browser::json;

constexpr int kRight = 39, kHome = 36, kEnd = 35;

/// What pages complained about: messages on the console, exceptions, errors of the browser.
std::vector<std::string> complaints(const Browser& browser) {
  std::vector<std::string> found;
  for (const json& e : browser.events)
    for (const char* event : {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"})
      if (e["method"] == event) found.push_back(e["params"].dump());
  return found;
}

/// What pages asked for, other than themselves and data that they hold.
std::vector<std::string> requests(const Browser& browser) {
  std::vector<std::string> found;
  for (const json& e : browser.events) {
    if (e["method"] != "Network.requestWillBeSent") continue;
    const std::string url = e["params"]["request"]["url"];
    if (!url.starts_with("data:") && url != e["params"]["documentURL"]) found.push_back(url);
  }
  return found;
}

/// A report with one of everything.
Report example() {
  Report report("A <title>", "What it is about & why.");
  report.section("Settings");
  report.table("The settings", {"setting", "value"}, {{"learning rate", "1.2"}, {"data", "flower"}});
  report.section("Curves");
  report.figure(draw(LineChart{"Cost", "iteration", "cost", {{"a", {0, 1}, {1, 0}}, {"b", {0, 1}, {0, 1}}}}),
                "A falling and a rising curve");
  const BoundaryPlot plot{.title = "Boundary",
                          .x_label = "x",
                          .y_label = "y",
                          .grid = {0, 1, 0, 1, 2, 2},
                          .values = {},
                          .points = {0.2, 0.5, 0.8, 0.5},
                          .labels = {0, 1}};
  const std::vector<std::vector<double>> frames = {{0, 1, 0, 1}, {0, 0, 1, 1}, {1, 0, 1, 0}, {1, 1, 0, 0}};
  report.frames(draw(plot, frames), "Two points and their regions", "Time",
                {"iteration 0", "iteration 10", "iteration 20", "iteration 30"});
  const Drawing wide =
      draw(PictureGrid{"Pictures", std::vector<Picture>(9, {1, 1, {9, 99, 199}, {"one"}}), 9});
  report.frames({wide, wide}, "Nine pictures", "Step", {"first", "second"});
  report.details("More", "a < b");
  return report;
}

TEST(Report, IsOnePageWithAllThatWasAdded) {
  const std::string html = example().html();
  EXPECT_THAT(html, testing::StartsWith("<!DOCTYPE html>"));
  EXPECT_THAT(html, HasSubstr("<title>A &lt;title&gt;</title>"));
  EXPECT_THAT(html, HasSubstr("<th scope=\"row\">learning rate</th><td>1.2</td>"));
  EXPECT_THAT(html, HasSubstr("aria-label=\"A falling and a rising curve\""));
  EXPECT_THAT(html, HasSubstr("a &lt; b"));
  EXPECT_THAT(html, Not(HasSubstr("http:"))) << "but for name spaces, which inline SVG needs none of";
  Report report("", "");
  EXPECT_THROW(report.table("t", {"a", "b"}, {{"1"}}), ShapeError);
  EXPECT_THROW(report.frames(Drawing{1, 1, ""}, "", "", {}), ShapeError);
  EXPECT_THROW(report.frames(std::vector{Drawing{1, 1, ""}}, "", "", {"a", "b"}), ShapeError);
}

TEST(Report, TablesOfAModelAndOfItsGradientCheck) {
  nn::Sequential model{nn::Linear(2, 1, true, kFloat64)};
  const Tensor x = tensor({{1., 2.}}, kFloat64);
  const auto check = gradcheck([&] { return square(model(x)).sum(); }, nn::named_parameters(model));
  Report report("", "");
  add_summary(report, model);
  add_gradcheck(report, check);
  const std::string html = report.html();
  EXPECT_THAT(html, HasSubstr("<th scope=\"row\">0.weight</th><td>[1, 2]</td><td>2</td>"));
  EXPECT_THAT(html, HasSubstr("<th scope=\"row\">total</th><td></td><td>3</td>"));
  EXPECT_THAT(html, HasSubstr("The gradients are right"));
  Report nothing("", "");
  add_gradcheck(nothing,
                gradcheck([&] { return log(-square(model(x))).sum(); }, nn::named_parameters(model)));
  EXPECT_THAT(nothing.html(), HasSubstr("Nothing could be checked"));
}

/// Which frame of a figure is to be seen, asked of the page as it is drawn: "2", or "0 1" if there are two.
std::string shown(Browser& browser, const std::string& figure) {
  return browser.evaluate("[...document.querySelectorAll('" + figure +
                          " svg [data-frame]')].filter(e => e.getClientRects().length > 0).map(e => "
                          "e.dataset.frame).join(' ')");
}

TEST(ReportSlow, TheSliderWorksByKeyboardAndByMouse) {
  GRADUS_SKIP_WITHOUT(chromium());
  const TemporaryFolder folder;
  const std::string path = folder / "report.html";
  write_file(path, example().html());
  Browser browser;
  browser.open(path);
  const std::string figure = ".frames:not(.wide)";
  EXPECT_EQ(shown(browser, figure), "3") << "the last one";

  browser.evaluate("document.querySelector('" + figure + " input').focus()");
  browser.press("Home", kHome);
  EXPECT_EQ(shown(browser, figure), "0");
  const std::string says = "document.querySelector('" + figure + " output').innerText";
  EXPECT_EQ(browser.evaluate(says), "iteration 0");
  browser.press("ArrowRight", kRight);
  EXPECT_EQ(shown(browser, figure), "1");
  EXPECT_EQ(browser.evaluate(says), "iteration 10");
  EXPECT_EQ(browser.evaluate("document.querySelector('" + figure + " input').getAttribute('aria-valuetext')"),
            "iteration 10");
  browser.press("End", kEnd);
  EXPECT_EQ(shown(browser, figure), "3");

  browser.evaluate("document.querySelector('" + figure + " input').scrollIntoView()");
  const json box =
      browser.evaluate("document.querySelector('" + figure + " input').getBoundingClientRect().toJSON()");
  const double y = box["y"].get<double>() + box["height"].get<double>() / 2;
  browser.click(box["x"].get<double>() + 3, y);
  EXPECT_EQ(shown(browser, figure), "0");
  browser.click(box["x"].get<double>() + box["width"].get<double>() * 2 / 3, y);
  EXPECT_EQ(shown(browser, figure), "2");

  const std::string other =
      "[...document.querySelectorAll('.wide [data-frame]')].filter(e => e.tagName === 'DIV' && "
      "e.getClientRects().length > 0).length";
  EXPECT_EQ(browser.evaluate(other), 1) << "the other slider's figure has its own frame";
  EXPECT_THAT(complaints(browser), IsEmpty());
  EXPECT_THAT(requests(browser), IsEmpty());
}

TEST(ReportSlow, ThemesDifferAndANarrowWindowHoldsAll) {
  GRADUS_SKIP_WITHOUT(chromium());
  const TemporaryFolder folder;
  const std::string path = folder / "report.html";
  write_file(path, example().html());
  Browser browser;
  browser.set_width(375);
  browser.open(path);
  const auto colour = [&](const std::string& element, const std::string& property) {
    return browser.evaluate("getComputedStyle(document.querySelector('" + element + "'))." + property)
        .get<std::string>();
  };
  browser.set_theme("light");
  EXPECT_EQ(colour("body", "backgroundColor"), "rgb(255, 255, 255)");
  EXPECT_EQ(colour("svg .ink", "fill"), "rgb(31, 35, 40)");
  browser.set_theme("dark");
  EXPECT_EQ(colour("body", "backgroundColor"), "rgb(20, 23, 28)");
  EXPECT_EQ(colour("svg .ink", "fill"), "rgb(230, 233, 238)");

  EXPECT_LE(browser.evaluate("document.documentElement.scrollWidth"), 375) << "nothing sticks out";
  EXPECT_GT(browser.evaluate("document.querySelector('.wide .scroll').scrollWidth"), 375)
      << "it scrolls instead";
  EXPECT_GE(browser.evaluate("13 * document.querySelector('figure svg').getBoundingClientRect().width / 460"),
            9)
      << "words are legible, in pixels";
}

TEST(ReportSlow, AReaderWhoCannotSeeItIsToldAll) {
  GRADUS_SKIP_WITHOUT(chromium());
  const TemporaryFolder folder;
  const std::string path = folder / "report.html";
  write_file(path, example().html());
  Browser browser;
  browser.open(path);
  browser.call("Accessibility.enable");
  std::vector<std::string> seen;
  const json tree = browser.call("Accessibility.getFullAXTree");
  for (const json& node : tree["nodes"])
    if (!node["ignored"].get<bool>()) {
      const std::string role = node["role"]["value"], name = node["name"]["value"];
      if (role != "StaticText" && role != "InlineTextBox") seen.push_back(role + ": " + name);
      const std::set<std::string> named = {"image", "img", "slider", "region", "table"};
      EXPECT_FALSE(named.contains(role) && name.empty()) << "a nameless " << role;
    }
  for (const char* expected : {"heading: A <title>", "heading: Curves", "slider: Time", "slider: Step",
                               "rowheader: learning rate", "columnheader: value"})
    EXPECT_THAT(seen, testing::Contains(expected));
  EXPECT_THAT(seen, testing::Contains(testing::MatchesRegex("ima?ge?: A falling and a rising curve")));

  // Every control and every box that scrolls is reached by the tabulator key, and the focus is seen.
  browser.set_width(375);
  const int reached = browser.evaluate(
      "[...document.querySelectorAll('input, .scroll, summary')].filter(e => { "
      "e.focus(); return document.activeElement === e; }).length");
  EXPECT_EQ(reached, browser.evaluate("document.querySelectorAll('input, .scroll, summary').length"));
  browser.evaluate("document.querySelector('h1').tabIndex = -1, document.querySelector('h1').focus()");
  browser.press("Tab", 9);
  EXPECT_EQ(browser.evaluate("getComputedStyle(document.activeElement).outlineWidth"), "3px");
}

TEST(ReportSlow, AComplaintOrARequestWouldBeSeen) {
  GRADUS_SKIP_WITHOUT(chromium());
  const TemporaryFolder folder;
  const std::string path = folder / "page.html";
  write_file(path,
             "<img src=\"http://127.0.0.1:9/missing.png\"><script>console.error('no'); nowhere();</script>");
  Browser browser;
  browser.open(path);
  EXPECT_GE(complaints(browser).size(), 2u);
  EXPECT_THAT(requests(browser), testing::ElementsAre("http://127.0.0.1:9/missing.png"));

  // The report's own policy keeps such a picture out, even if a bug put one in.
  std::string html = example().html();
  html.replace(html.find("<h1>"), 0, "<img alt=\"\" src=\"http://127.0.0.1:9/missing.png\">");
  write_file(path, html);
  browser.events.clear();
  browser.open(path);
  EXPECT_GE(complaints(browser).size(), 1u);
}

}  // namespace
}  // namespace gradus::examples
