#pragma once
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

namespace gradus::examples {

/// A progress bar with a live message, under a plot where there is a curve: on a terminal lines that redraw
/// themselves, elsewhere nothing at all, so that a log holds no remnants of them.
///
///     Progress progress("planar", 10000);
///     for (…) progress.update(i + 1, fmt::format("cost {:.4f}", cost));
class Progress {
 public:
  Progress(std::string title, int64_t total, std::FILE* to = stderr);
  /// Leaves the bar as it stands and ends its line.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` of the total are done. Redraws at most ten times a second.
  void update(int64_t done, const std::string& message, std::span<const double> curve = {});
  /// Prints a line on stdout, above the bar where there is one.
  void print(const std::string& line);

 private:
  void draw();
  void erase();

  std::string title_, message_;
  int64_t total_, done_ = 0;
  std::FILE* to_;
  std::vector<std::string> plot_;
  size_t lines_above_ = 0;  // of the plot, as drawn
  bool terminal_, drawn_ = false;
  std::chrono::steady_clock::time_point start_, last_;
};

/// The bar's text in at most `width` characters:
/// "planar  42% |########            | 4200/10000  cost 0.2881  ETA 0:07"
std::string progress_line(const std::string& title, int64_t done, int64_t total, double seconds,
                          const std::string& message, int64_t width);

/// A curve through numbers as `height` lines of at most `width` columns, in dots of braille characters, with
/// the largest and the smallest number beside the axis. There are gaps where numbers are not finite; nothing
/// where fewer than two are, or the width has no room.
std::vector<std::string> text_curve(std::span<const double> values, int64_t width, int64_t height);

}  // namespace gradus::examples
