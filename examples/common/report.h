#pragma once
#include <common/drawing.h>
#include <gradus/autograd/check/report.h>
#include <gradus/nn/module.h>

namespace gradus::examples {

/// A page about a training run as one HTML file, which opens from a disk: nothing in it is loaded from
/// elsewhere. It is light or dark as its reader's system is, fits a narrow window, and works by keyboard and
/// with a screen reader. All words are escaped.
class Report {
 public:
  Report(std::string title, std::string lead) : title_(std::move(title)), lead_(std::move(lead)) {}

  /// What follows belongs under this heading.
  void section(const std::string& heading);
  void paragraph(const std::string& words);
  /// Each row has as many cells as `head`; its first cell is what it is about.
  void table(const std::string& caption, const std::vector<std::string>& head,
             const std::vector<std::vector<std::string>>& rows);
  /// `words` say what the drawing shows to a reader who can't see it. Figures stand side by side where there
  /// is room; a wide one takes all of it and scrolls rather than shrink.
  void figure(const Drawing& drawing, const std::string& words, bool wide = false);
  /// A drawing whose elements with data-frame="i" are shown one i at a time, with a slider that has a label,
  /// and beside it captions[i].
  void frames(const Drawing& drawing, const std::string& words, const std::string& label,
              const std::vector<std::string>& captions);
  /// The same of several drawings of one size.
  void frames(const std::vector<Drawing>& drawings, const std::string& words, const std::string& label,
              const std::vector<std::string>& captions);
  /// A text that is shown as it is, once its summary is opened.
  void details(const std::string& summary, const std::string& text);

  std::string html() const;

 private:
  void add_figure(const std::string& svgs, const std::string& words, bool wide, const std::string& caption);
  std::string slider(const std::string& label, const std::vector<std::string>& captions);

  std::string title_, lead_, body_;
  bool open_ = false;
  int sliders_ = 0;
};

/// A row for each parameter of a model: its name, shape and number of elements; and their sum.
void add_summary(Report& report, const nn::Parts& model);
/// A row for each input of a gradient check, and what was found where one is not right.
void add_gradcheck(Report& report, const GradcheckReport& check);

}  // namespace gradus::examples
