#pragma once
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace gradus::examples {

/// A progress bar with a live message: on a terminal one line that redraws itself, elsewhere nothing at all,
/// so that a log holds no remnants of it.
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
  void update(int64_t done, const std::string& message);
  /// Prints a line on stdout, above the bar where there is one.
  void print(const std::string& line);

 private:
  void draw();
  void erase();

  std::string title_, message_;
  int64_t total_, done_ = 0;
  std::FILE* to_;
  bool terminal_, drawn_ = false;
  std::chrono::steady_clock::time_point start_, last_;
};

/// The bar's text in at most `width` characters:
/// "planar  42% |########            | 4200/10000  cost 0.2881  ETA 0:07"
std::string progress_line(const std::string& title, int64_t done, int64_t total, double seconds,
                          const std::string& message, int64_t width);

}  // namespace gradus::examples
