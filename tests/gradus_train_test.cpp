#include <common/hdf5.h>
#include <gmock/gmock.h>
#include <gradus/autograd/base/error.h>

#include "browser.h"
#include "text_support.h"

namespace gradus {
namespace {

using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

/// Runs gradus with another PATH; nothing is found on that which does not exist.
Outcome without_tools(const std::string& arguments, const std::string& path = "/nonexistent") {
  const std::string before = std::getenv("PATH");
  setenv("PATH", path.c_str(), 1);
  Outcome outcome = run_program("gradus", arguments);
  setenv("PATH", before.c_str(), 1);
  return outcome;
}

TEST(GradusTrain, WritesPicturesAndAReport) {
  GRADUS_SKIP_WITHOUT("gradus");
  const TemporaryFolder folder;
  const std::string out = folder / "new/out";
  const Outcome outcome = run_program("gradus", "train planar --iterations 100 --out " + out);
  EXPECT_EQ(outcome.code, 0) << outcome.text;
  EXPECT_THAT(outcome.text, HasSubstr("accuracy"));
  EXPECT_THAT(outcome.text, Not(HasSubstr("\x1b"))) << "plain in a pipe";
  EXPECT_THAT(outcome.text, Not(HasSubstr("\r")));
  for (const char* name : {"/planar.svg", "/planar_curves.svg", "/planar_activations.svg",
                           "/planar_graph.dot", "/planar.html"}) {
    EXPECT_TRUE(fs::exists(out + name)) << name;
    EXPECT_THAT(outcome.text, HasSubstr(out + name));
  }
  EXPECT_EQ(fs::exists(out + "/planar_graph.svg"), graphviz().there);
}

TEST(GradusTrain, WithoutGraphvizTheGraphIsDot) {
  GRADUS_SKIP_WITHOUT("gradus");
  const TemporaryFolder folder;
  const Outcome outcome = without_tools("train planar --iterations 10 --quiet --out " + folder.path());
  EXPECT_EQ(outcome.code, 0) << outcome.text;
  EXPECT_THAT(outcome.text, HasSubstr("no Graphviz that writes SVG (the program dot)"));
  EXPECT_FALSE(fs::exists(folder / "planar_graph.svg"));
  EXPECT_THAT(text_of(folder / "planar.html"), HasSubstr("digraph gradus"));
}

// It may start, and know its version, without the plugins that write.
TEST(GradusTrain, AGraphvizThatWritesNoSvgIsNone) {
  GRADUS_SKIP_WITHOUT("gradus");
  const TemporaryFolder folder;
  std::ofstream(folder / "dot")
      << "#!/bin/sh\n[ $1 = -V ] || { echo 'Format: \"svg\" not recognized' >&2; exit 1; }\n";
  fs::permissions(folder / "dot", fs::perms::owner_all);
  const Outcome outcome =
      without_tools("train planar --iterations 10 --quiet --out " + folder.path(), folder.path());
  EXPECT_EQ(outcome.code, 0) << outcome.text;
  EXPECT_THAT(outcome.text, HasSubstr("no Graphviz that writes SVG (the program dot)"));
  EXPECT_FALSE(fs::exists(folder / "planar_graph.svg"));
  EXPECT_THAT(text_of(folder / "planar.html"), HasSubstr("digraph gradus"));
}

TEST(GradusTrain, AnUnwritableFolderIsRefusedBeforeTheTraining) {
  GRADUS_SKIP_WITHOUT("gradus");
  const Outcome outcome = run_program("gradus", "train planar --out /dev/null/out");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.text, HasSubstr("train: /dev/null/out: can't write there: Not a directory"));
  EXPECT_THAT(outcome.text, Not(HasSubstr("Cost")));
}

TEST(GradusTrain, TheTutorialsTanhIsReportedToo) {
  GRADUS_SKIP_WITHOUT("gradus");
  const TemporaryFolder folder;
  const Outcome outcome =
      run_program("gradus", "train planar --output tanh --iterations 10 --out " + folder.path());
  EXPECT_EQ(outcome.code, 0) << outcome.text;
  EXPECT_THAT(text_of(folder / "planar.html"), HasSubstr("Nothing could be checked"));
}

TEST(GradusTrain, BadOptionsAreRefused) {
  GRADUS_SKIP_WITHOUT("gradus");
  const std::pair<const char*, const char*> cases[] = {
      {"train", "subcommand is required"},
      {"train roses", "subcommand is required"},
      {"train planar --hidden 0", "--hidden: must be above 0: 0"},
      {"train cats --data x --layers 5,1", "--layers: must begin with 12288"},
      {"graph", "NAME is required"},
      {"graph rose", "rose not in {"},
      {"graph planar --most-nodes 0", "must be above 0"},
  };
  for (const auto& [options, reason] : cases) {
    const Outcome outcome = run_program("gradus", options);
    EXPECT_EQ(outcome.code, 2) << options << outcome.text;
    EXPECT_THAT(outcome.text, HasSubstr(reason)) << options;
  }
  for (const char* command : {"train", "train planar", "train cats", "graph"}) {
    const Outcome outcome = run_program("gradus", command + std::string(" --help"));
    EXPECT_EQ(outcome.code, 0);
    EXPECT_THAT(outcome.text, HasSubstr("Example: gradus ")) << command;
  }
  const Outcome outcome = run_program("gradus", "train cats --data /nowhere");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.text, HasSubstr("/nowhere")) << outcome.text;
}

TEST(GradusTrainSlow, TheReportOfARunWorksInABrowser) {
  GRADUS_SKIP_WITHOUT("gradus");
  GRADUS_SKIP_WITHOUT(chromium());
  const TemporaryFolder folder;
  ASSERT_EQ(run_program("gradus", "train planar --iterations 300 --out " + folder.path()).code, 0);
  Browser browser;
  browser.set_width(375);
  browser.open(folder / "planar.html");
  for (const char* heading :
       {"Settings", "Curves", "The decision boundary over time", "Activations and their gradients",
        "The model", "Gradient check, at the start", "The graph, and its backward pass"})
    EXPECT_EQ(browser.evaluate("[...document.querySelectorAll('h2')].filter(e => e.innerText === '" +
                               std::string(heading) + "').length"),
              1)
        << heading;
  EXPECT_GE(browser.evaluate("document.querySelectorAll('figure svg').length"), 8);
  EXPECT_EQ(browser.evaluate("document.querySelectorAll('input[type=range]').length"),
            graphviz().there ? 2 : 1);
  EXPECT_LE(browser.evaluate("document.documentElement.scrollWidth"), 375);
  // Every frame of every slider shows something of its own.
  EXPECT_EQ(browser.evaluate(R"([...document.querySelectorAll('.frames')].every(figure => {
    const slider = figure.querySelector('input');
    const seen = new Set();
    for (let i = 0; i <= slider.max; i++) {
      slider.value = i;
      slider.dispatchEvent(new Event('input'));
      const parts = [...figure.querySelectorAll('[data-frame]')].filter(e => e.getClientRects().length > 0);
      if (parts.length !== 2) return false;
      seen.add(parts[0].outerHTML);
    }
    return seen.size > slider.max * 0.9;
  }))"),
            true);
  for (const auto& e : browser.events) {
    EXPECT_NE(e["method"], "Runtime.exceptionThrown") << e;
    EXPECT_NE(e["method"], "Log.entryAdded") << e;
    EXPECT_NE(e["method"], "Runtime.consoleAPICalled") << e;
    if (e["method"] == "Network.requestWillBeSent") {
      const std::string url = e["params"]["request"]["url"];
      EXPECT_TRUE(url.starts_with("data:") || url == "file://" + (folder / "planar.html")) << url;
    }
  }
}

TEST(GradusTrainSlow, CatsLeaveAReportToo) {
  GRADUS_SKIP_WITHOUT("gradus");
  GRADUS_SKIP_WITHOUT(examples::reads_hdf5(), "libhdf5");
  GRADUS_SKIP_WITHOUT(environment("GRADUS_DATA"));
  const TemporaryFolder folder;
  const Outcome outcome =
      run_program("gradus", "train cats --dtype float32 --iterations 20 --data '" +
                                std::string(std::getenv("GRADUS_DATA")) + "' --out " + folder.path());
  EXPECT_EQ(outcome.code, 0) << outcome.text;
  for (const char* name : {"cats.html", "cats_mislabelled.svg", "cats_curves.svg"})
    EXPECT_TRUE(fs::exists(folder / name)) << name;
  EXPECT_THAT(text_of(folder / "cats.html"), HasSubstr("The gradients are right"));
}

TEST(GradusGraph, WritesDotAndPictures) {
  GRADUS_SKIP_WITHOUT("gradus");
  for (const char* name : {"chain-rule", "neuron", "planar", "deep", "residual"}) {
    const Outcome outcome = run_program("gradus", std::string("graph ") + name);
    EXPECT_EQ(outcome.code, 0) << name;
    EXPECT_THAT(outcome.text, testing::StartsWith("digraph gradus {")) << name;
    EXPECT_THAT(outcome.text, HasSubstr("gradient ")) << name;
    EXPECT_EQ(outcome.text.find("class=\"module\"") != std::string::npos, name == std::string("residual"));
  }
  const TemporaryFolder folder;
  const Outcome frames =
      run_program("gradus", "graph chain-rule --frames --out " + (folder / "new/back.dot"));
  EXPECT_EQ(frames.code, 0) << frames.text;
  for (int i = 0; i < 4; i++) EXPECT_TRUE(fs::exists(folder / fmt::format("new/back_{}.dot", i))) << i;
  EXPECT_FALSE(fs::exists(folder / "new/back_4.dot"));
  GRADUS_SKIP_WITHOUT(graphviz());
  EXPECT_EQ(run_program("gradus", "graph neuron --out " + (folder / "a.svg")).code, 0);
  EXPECT_THAT(text_of(folder / "a.svg"), testing::StartsWith("<svg "));
}

TEST(GradusGraph, WhatCannotBeDrawnIsSaid) {
  GRADUS_SKIP_WITHOUT("gradus");
  const TemporaryFolder folder;
  const Outcome missing = without_tools("graph neuron --frames --out " + (folder / "a.svg"));
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.text, HasSubstr("install the package graphviz"));
  EXPECT_TRUE(fs::is_empty(folder.path())) << "nothing half-written";
  const Outcome kind = run_program("gradus", "graph neuron --out " + (folder / "a.png"));
  EXPECT_EQ(kind.code, 1);
  EXPECT_THAT(kind.text, HasSubstr("must end in .svg"));
  const Outcome place = run_program("gradus", "graph neuron --out /dev/null/a.dot");
  EXPECT_EQ(place.code, 1);
  EXPECT_THAT(place.text, HasSubstr("/dev/null/a.dot"));
}

}  // namespace
}  // namespace gradus
